//! The examples that operators start from.

use std::path::{Path, PathBuf};

use mcp_definition::{load_all, parse};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/definitions")
}

#[test]
fn the_examples_load() {
    let loaded = load_all(&examples()).unwrap();
    let names: Vec<_> = loaded.iter().map(|d| d.service.name.as_str()).collect();
    assert_eq!(names, ["guestbook", "hello"]);
}

#[test]
fn the_large_example_shows_every_key() {
    let text = std::fs::read_to_string(examples().join("guestbook.toml")).unwrap();
    // Its commented defaults are valid too, and mean what silence means.
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest
                    .split_once(" = ")
                    .is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                rest
            }
            _ => line,
        })
        .collect();
    let said = parse(&uncommented.join("\n"), "guestbook.toml").unwrap();
    let silent = parse(&text, "guestbook.toml").unwrap();
    assert_eq!(said.service.active, silent.service.active);
    for (name, spec) in &said.service.components {
        let quiet = &silent.service.components[name];
        assert_eq!(spec.effective(), quiet.effective());
        assert_eq!(spec.stop_timeout(), quiet.stop_timeout());
        assert_eq!(spec.pull_timeout(), quiet.pull_timeout());
    }
    for key in mcp_definition::keys() {
        let shown = |line: &&str| {
            line.split_once(" = ")
                .is_some_and(|(found, _)| found == key)
                || **line == format!("[components.{key}]")
                || **line == format!("[[{key}]]")
        };
        assert!(uncommented.iter().any(shown), "{key} is not shown");
    }
}
