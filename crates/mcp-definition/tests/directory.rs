//! A directory of definitions.

use std::fs;
use std::path::Path;

use mcp_definition::{DefinitionError, find, load_all};
use tempfile::TempDir;

fn definition(service: &str, node: &str, component: &str) -> String {
    format!(
        "name = \"{service}\"\nnode = \"{node}\"\n[[components]]\nname = \"{component}\"\nimage = \"a\"\n"
    )
}

fn directory(files: &[(&str, String)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[test]
fn every_toml_file_is_loaded_in_order_and_nothing_else() {
    let names: Vec<String> = (10..40).rev().map(|n| format!("s{n}")).collect();
    let mut files: Vec<(String, String)> = names
        .iter()
        .map(|name| (format!("{name}.toml"), definition(name, "n", "x")))
        .collect();
    for other in [".hidden.toml", "notes.txt", "c.toml.bak"] {
        files.push((other.to_owned(), "broken".to_owned()));
    }
    let files: Vec<_> = files.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let directory = directory(&files);
    let loaded = load_all(directory.path()).unwrap();
    let found = loaded.iter().map(|d| d.service.name.as_str());
    assert!(found.eq(names.iter().rev()));
    assert_eq!(loaded[0].path, directory.path().join("s10.toml"));
}

#[test]
fn one_broken_file_refuses_all_and_every_broken_file_is_named() {
    let directory = directory(&[
        ("a.toml", definition("a", "n", "x")),
        ("b.toml", "name = 1".into()),
        ("c.toml", "= broken".into()),
    ]);
    fs::write(directory.path().join("d.toml"), [0xff, 0xfe]).unwrap();
    let errors = load_all(directory.path()).unwrap_err();
    assert_eq!(errors.iter().len(), 3);
    let told = errors.to_string();
    for file in ["b.toml:1:8: ", "c.toml:1:1: ", "d.toml: "] {
        assert!(told.contains(file), "{file} in {told}");
    }
}

#[test]
fn a_service_in_two_files_is_refused_and_both_are_named() {
    let directory = directory(&[
        ("a.toml", definition("a", "n", "x")),
        ("b.toml", definition("a", "m", "y")),
    ]);
    let errors = load_all(directory.path()).unwrap_err().to_string();
    assert!(errors.starts_with("service a is defined twice"), "{errors}");
    assert!(errors.contains("a.toml") && errors.contains("b.toml"));
}

#[test]
fn colliding_container_names_on_one_node_are_refused_and_both_are_named() {
    let files = |second_node: &str| {
        directory(&[
            ("1.toml", definition("a", "n", "b-c")),
            ("2.toml", definition("a-b", second_node, "c")),
        ])
    };
    let errors = load_all(files("n").path()).unwrap_err();
    let told = errors.to_string();
    for part in ["a/b-c in ", "1.toml", "a-b/c in ", "2.toml", " a-b-c on n"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(load_all(files("m").path()).is_ok());
}

#[test]
fn a_missing_directory_is_an_error_that_names_it() {
    let errors = load_all(Path::new("/nonexistent/services")).unwrap_err();
    let first = errors.iter().next().unwrap();
    assert!(matches!(first, DefinitionError::Read { .. }));
    assert!(
        errors
            .to_string()
            .starts_with("cannot read /nonexistent/services: ")
    );
}

#[test]
fn a_service_is_found_by_what_its_file_says() {
    let directory = directory(&[
        ("web.toml", definition("web", "n", "x")),
        ("other.toml", definition("hello", "n", "x")),
        ("swapped.toml", definition("a", "n", "x")),
        ("a.toml", definition("swapped", "n", "x")),
    ]);
    let find = |service: &str| {
        let found = find(directory.path(), &service.parse().unwrap()).unwrap()?;
        Some(found.path.file_name()?.to_str()?.to_owned())
    };
    assert_eq!(find("web").unwrap(), "web.toml");
    assert_eq!(find("hello").unwrap(), "other.toml");
    assert_eq!(find("a").unwrap(), "swapped.toml");
    assert_eq!(find("swapped").unwrap(), "a.toml");
    assert_eq!(find("nobody"), None);
}

#[test]
fn a_broken_neighbour_matters_only_where_the_service_might_be_in_it() {
    let directory = directory(&[
        ("web.toml", definition("hello", "n", "x")),
        ("broken.toml", "name = ".into()),
    ]);
    let find = |service: &str| find(directory.path(), &service.parse().unwrap());
    assert!(find("hello").unwrap().is_some());
    assert!(
        find("nobody")
            .unwrap_err()
            .to_string()
            .contains("broken.toml")
    );
}

#[test]
fn without_a_directory_no_service_is_found() {
    let missing = Path::new("/nonexistent/services");
    assert_eq!(find(missing, &"a".parse().unwrap()).unwrap(), None);
}
