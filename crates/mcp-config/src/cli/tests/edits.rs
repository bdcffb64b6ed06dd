//! Adding and removing nodes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;

#[test]
fn a_node_is_added_below_everything_else() {
    let full = Node {
        token_path: Some("/t \"x\"".into()),
        ca_cert: Some("/c".into()),
        server_name: Some("n".to_owned()),
        ..node("n")
    };
    let block = "[[nodes]]\nname = \"n\"\naddress = \"192.0.2.1:9444\"\ntoken_path = '/t \"x\"'\nca_cert = \"/c\"\nserver_name = \"n\"\n";
    for (text, wanted) in [
        (String::new(), block.to_owned()),
        (
            "# only a comment".to_owned(),
            format!("# only a comment\n\n{block}"),
        ),
        (
            "[services]\n\n".to_owned(),
            format!("[services]\n\n\n{block}"),
        ),
        (
            "[services]\r\n".to_owned(),
            format!("[services]\n\n{block}").replace('\n', "\r\n"),
        ),
    ] {
        assert_eq!(edit::add_node(&text, &full, false).unwrap(), wanted);
        assert_eq!(parse(&wanted).unwrap().nodes, std::slice::from_ref(&full));
    }
}

#[test]
fn a_list_of_nodes_in_brackets_is_edited_as_one() {
    let add = |text: &str, name: &str| edit::add_node(text, &node(name), false).unwrap();
    let remove = |text: &str, name: &str| edit::remove_node(text, &name.parse().unwrap()).unwrap();
    let entry = |name: &str| format!("{{ name = \"{name}\", address = \"192.0.2.1:9444\" }}");
    let (a, b, c) = (entry("a"), entry("b"), entry("c"));
    assert_eq!(add("nodes = [] # x\n", "a"), format!("nodes = [{a}] # x\n"));
    let two = format!("nodes = [\n  {a}, # first\n  {b},\n]\n[auth]\n");
    let three = add(&two, "c");
    assert_eq!(
        three,
        format!("nodes = [\n  {a}, # first\n  {b}, {c},\n]\n[auth]\n")
    );
    assert_eq!(remove(&three, "c"), two);
    assert_eq!(remove(&two, "a"), format!("nodes = [\n  {b},\n]\n[auth]\n"));
    assert_eq!(remove(&format!("nodes = [ {a}, ]"), "a"), "nodes = []");
    let moved = Node {
        address: "h:1".parse().unwrap(),
        ..node("a")
    };
    let moved = edit::add_node(&two, &moved, true).unwrap();
    assert_eq!(moved, two.replacen("192.0.2.1:9444", "h:1", 1));
}

#[test]
fn a_removed_node_takes_only_its_own_comments_with_it() {
    let text = "# My settings.\n\n# The first.\n[[nodes]]\nname = 'a' # a\naddress = 'a:1'\n# token_path = 'x'\n\n# The second,\n  # on a hill.\n[[nodes]]\nname = 'b'\naddress = 'b:1'\n[auth]\n# tail\n";
    let without_a = "# My settings.\n\n# The second,\n  # on a hill.\n[[nodes]]\nname = 'b'\naddress = 'b:1'\n[auth]\n# tail\n";
    let without_b = "# My settings.\n\n# The first.\n[[nodes]]\nname = 'a' # a\naddress = 'a:1'\n# token_path = 'x'\n\n[auth]\n# tail\n";
    let remove = |name: &str| edit::remove_node(text, &name.parse().unwrap()).unwrap();
    assert_eq!(remove("a"), without_a);
    assert_eq!(remove("b"), without_b);
    let error = edit::remove_node(text, &"c".parse().unwrap()).unwrap_err();
    assert!(matches!(error, ConfigError::NoSuchNode(_)));
}

#[test]
fn a_node_is_replaced_only_on_request_and_keeps_its_comments() {
    let text =
        "[[nodes]]\n# why\nname = 'rift'\naddress = 'old:1' # moved\nca_cert = '/old'\n\n[auth]\n";
    let error = edit::add_node(text, &node("rift"), false).unwrap_err();
    assert!(matches!(error, ConfigError::NodeExists(_)));
    let new = Node {
        server_name: Some("n".to_owned()),
        ..node("rift")
    };
    let wanted = "[[nodes]]\n# why\nname = 'rift'\naddress = \"192.0.2.1:9444\" # moved\nserver_name = \"n\"\n\n[auth]\n";
    let replaced = edit::add_node(text, &new, true).unwrap();
    assert_eq!(replaced, wanted);
    assert_eq!(edit::add_node(&replaced, &new, true).unwrap(), replaced);
    // The last line may have no end.
    let text = "[[nodes]]\nname = 'rift'\naddress = '192.0.2.1:9444'";
    let replaced = edit::add_node(text, &new, true).unwrap();
    assert_eq!(parse(&replaced).unwrap().nodes, [new]);
}

#[test]
fn a_broken_file_is_not_edited() {
    for text in ["[[nodes]]", "x = 1", "[["] {
        assert!(edit::add_node(text, &node("a"), false).is_err(), "{text}");
        assert!(
            edit::remove_node(text, &"a".parse().unwrap()).is_err(),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn adding_and_removing_a_node_leaves_every_other_byte(
        comments in proptest::collection::vec("( {0,3}#[^\\r\\n\\p{C}]{0,9})?", 6),
        newline in "\n|\r\n",
        position in 0usize..3,
    ) {
        let blocks = ["[services]", "dir = 'x'", "[[nodes]]", "name = 'a'", "address = 'a:1'", "[auth]"];
        let lines: Vec<String> =
            blocks.iter().zip(&comments).map(|(line, comment)| format!("{comment}{newline}{line}{newline}")).collect();
        let text = lines.concat();
        let added = edit::add_node(&text, &node("n"), false).unwrap();
        prop_assert!(added.starts_with(&text));
        prop_assert_eq!(parse(&added).unwrap().nodes.len(), 2);
        prop_assert_eq!(edit::remove_node(&added, &"n".parse().unwrap()).unwrap(), text.as_str());

        // Three more, of which one goes: the others and all else stay.
        let names = ["x", "y", "z"];
        let grown = names.iter().fold(text.clone(), |text, name| edit::add_node(&text, &node(name), false).unwrap());
        let shrunk = edit::remove_node(&grown, &names[position].parse().unwrap()).unwrap();
        let wanted = names.iter().filter(|name| **name != names[position])
            .fold(text, |text, name| edit::add_node(&text, &node(name), false).unwrap());
        prop_assert_eq!(shrunk, wanted);
    }
}

#[test]
fn a_new_file_is_private_and_an_old_one_keeps_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/mcp.toml");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    edit::write(&path, "x").unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(mode(&directory.path().join("a")), 0o700);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = directory.path().join("link.toml");
    symlink(&path, &link).unwrap();
    edit::write(&link, "y").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        (fs::read_to_string(&path).unwrap().as_str(), mode(&path)),
        ("y", 0o640)
    );
    // Nothing half written is left beside it.
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}
