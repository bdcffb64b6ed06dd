//! `active` changes, and nothing else does (S53).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use mcp_definition::{
    DefinitionError, check_writable, parse, set_active, set_active_in_file, write,
};
use proptest::prelude::*;

fn set(text: &str, active: bool) -> String {
    set_active(text, "x.toml", active).unwrap()
}

#[test]
fn only_the_value_changes() {
    for (before, after) in [
        (
            "# head\n\nname = 'a'\n  active   =   true   # why\n\n# tail",
            "# head\n\nname = 'a'\n  active   =   false   # why\n\n# tail",
        ),
        (
            "active=true\r\nname='a' # \t x\r\n",
            "active=false\r\nname='a' # \t x\r\n",
        ),
        ("\u{feff}\"active\" = true", "\u{feff}\"active\" = false"),
        // Not there yet: below `node`, else below `name`, else at the top.
        (
            "name = 'a'\nnode = 'n' # c\n\n[[components]]\n",
            "name = 'a'\nnode = 'n' # c\nactive = false\n\n[[components]]\n",
        ),
        (
            "name = 'a'\r\n# c\r\n",
            "name = 'a'\r\nactive = false\r\n# c\r\n",
        ),
        ("name = 'a'", "name = 'a'\nactive = false\n"),
        (
            "[[components]]\nactive = true\n",
            "active = false\n[[components]]\nactive = true\n",
        ),
        ("[node]\nx = 1\n", "active = false\n[node]\nx = 1\n"),
    ] {
        assert_eq!(set(before, false), after);
    }
    assert_eq!(set("active = false # x", true), "active = true # x");
}

#[test]
fn what_is_so_already_is_not_touched() {
    for (text, active) in [
        ("active =  true #", true),
        ("active = false", false),
        ("name = 'a'", true),
    ] {
        assert_eq!(set(text, active), text);
    }
}

#[test]
fn what_cannot_be_edited_is_an_error_with_its_place() {
    for (text, place) in [
        ("\nactive = 'yes'", "x.toml:2:10: "),
        ("name = \n", "x.toml:1:"),
        ("active = true\nactive = true", "x.toml:2:1: "),
    ] {
        let error = set_active(text, "x.toml", false).unwrap_err().to_string();
        assert!(error.starts_with(place), "{error}");
    }
}

proptest! {
    #[test]
    fn comments_blanks_and_order_survive(
        lines in proptest::collection::vec("( {0,3}#[^\\r\\n\\p{C}]{0,9})?", 7),
        newline in "\n|\r\n",
        said in any::<Option<bool>>(),
        active in any::<bool>(),
    ) {
        let said_line = said.map(|said| format!("active = {said} # said")).unwrap_or_default();
        let keys = ["name = 'a'", "node = 'n'", &said_line, "[[components]]", "name = 'c'", "image = 'i'", ""];
        let blocks: Vec<String> =
            keys.iter().zip(&lines).map(|(key, line)| format!("{line}{newline}{key}")).collect();
        let text = blocks.join(&newline);
        let edited = set(&text, active);
        let mut wanted = parse(&text, "x").unwrap();
        wanted.service.active = active;
        prop_assert_eq!(parse(&edited, "x").unwrap(), wanted);
        prop_assert_eq!(set(&edited, active), edited.clone());
        // Whatever was there is there still, but for the one value.
        let rest = |text: &str| text.replace("active = true", "").replace("active = false", "");
        let added = if said.is_none() && !active { newline.as_str() } else { "" };
        prop_assert_eq!(rest(&edited).len(), rest(&text).len() + added.len());
    }
}

#[test]
fn a_file_keeps_its_mode_and_is_replaced_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.toml");
    fs::write(&path, "active = true # x\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    // A second name for the old content shows that it was replaced and not overwritten.
    let old = directory.path().join("old");
    fs::hard_link(&path, &old).unwrap();

    assert!(set_active_in_file(&path, false).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "active = false # x\n");
    assert_eq!(fs::read_to_string(&old).unwrap(), "active = true # x\n");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o640
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);

    let inode = fs::metadata(&path).unwrap().ino();
    assert!(!set_active_in_file(&path, false).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
}

#[test]
fn a_new_file_can_be_read_by_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.toml");
    let text = "name = 'a'\nnode = 'n'\n[[components]]\nname = 'a'\nimage = 'a'";
    write(&path, &parse(text, "a").unwrap()).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o644
    );
}

#[test]
fn a_link_stays_a_link_and_its_target_changes() {
    let directory = tempfile::tempdir().unwrap();
    let repository = directory.path().join("repository");
    fs::create_dir(&repository).unwrap();
    let target = repository.join("service.toml");
    fs::write(&target, "active = true\n").unwrap();
    let link = directory.path().join("a.toml");
    symlink("repository/service.toml", &link).unwrap();

    check_writable(&link).unwrap();
    set_active_in_file(&link, false).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&target).unwrap(), "active = false\n");
}

#[test]
fn writability_is_known_before_anything_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.toml");
    assert!(matches!(
        check_writable(&path),
        Err(DefinitionError::Read { .. })
    ));
    fs::write(&path, "active = 1").unwrap();
    assert!(matches!(
        check_writable(&path),
        Err(DefinitionError::Invalid { .. })
    ));
    fs::write(&path, "active = true").unwrap();
    check_writable(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "active = true");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_file_made_read_only_is_not_replaced_behind_its_owners_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.toml");
    fs::write(&path, "active = true").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    // Root may write to it all the same; then there is nothing to refuse.
    let may_write = fs::OpenOptions::new().write(true).open(&path).is_ok();
    assert_eq!(check_writable(&path).is_ok(), may_write);
}
