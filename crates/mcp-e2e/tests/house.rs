//! The rules of the house that can be read from the sources: who may import whom, and that the
//! documents name tests that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};
use mcp_e2e::repository;

/// What each crate may import of the others. Test code is exempt.
const LAYERS: [(&str, &[&str]); 16] = [
    ("hello-server", &[]),
    ("mcp-model", &[]),
    ("mcp-plan", &["mcp-model"]),
    ("mcp-definition", &["mcp-model"]),
    ("mcp-proto", &["mcp-model"]),
    ("mcp-config", &["mcp-model"]),
    ("mcp-identity", &["mcp-model"]),
    ("mcp-registry", &["mcp-model"]),
    ("mcp-runtime", &["mcp-model"]),
    ("mcp-files", &["mcp-model"]),
    ("mcp-controller", &["mcp-model", "mcp-plan"]),
    (
        "mcp-agent",
        &[
            "mcp-config",
            "mcp-controller",
            "mcp-files",
            "mcp-identity",
            "mcp-model",
            "mcp-plan",
            "mcp-proto",
            "mcp-registry",
            "mcp-runtime",
        ],
    ),
    (
        "mcp",
        &[
            "mcp-config",
            "mcp-definition",
            "mcp-identity",
            "mcp-model",
            "mcp-proto",
        ],
    ),
    // It uses the end-to-end harness, which nothing that is shipped may.
    ("mcp-bench", ANYTHING),
    ("mcp-e2e", ANYTHING),
    // It calls whatever reads input, and nothing calls it.
    ("mcp-fuzz", ANYTHING),
];

const ANYTHING: &[&str] = &["*"];

#[test]
fn crates_import_only_what_their_layer_allows() {
    let metadata = MetadataCommand::new()
        .manifest_path(repository().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned(), "--locked".to_owned()])
        .exec()
        .expect("cargo describes the workspace");
    let own: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let layers = BTreeMap::from(LAYERS);

    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name: &str = &package.name;
        let Some(allowed) = layers.get(name) else {
            wrong.push(format!("{name} is in no layer"));
            continue;
        };
        for dependency in &package.dependencies {
            let imports = dependency.name.as_str();
            let test_only = dependency.kind == DependencyKind::Development;
            if own.contains(imports)
                && !test_only
                && *allowed != ANYTHING
                && !allowed.contains(&imports)
            {
                wrong.push(format!("{name} imports {imports}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_test_that_the_documents_name_exists() {
    let functions = functions();
    let mut missing = Vec::new();
    for document in documents() {
        for name in test_names(&read(&document)) {
            if !functions.contains(name.as_str()) {
                missing.push(format!("{document} names `{name}`"));
            }
        }
    }
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

#[test]
fn every_criterion_of_the_plan_has_a_test() {
    let text = read("docs/testing.md");
    let (_, criteria) = text
        .split_once("## Criteria")
        .expect("the document has that part");
    let without: Vec<&str> = criteria
        .lines()
        .filter(|line| line.starts_with("| P"))
        .filter(|line| test_names(line).is_empty() && !line.contains("`make "))
        .collect();
    assert!(without.is_empty(), "no test named:\n{}", without.join("\n"));
}

#[test]
fn every_threat_has_a_test() {
    let text = read("docs/security.md");
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let heads = ["| input |", "| fault |", "| attack |"];
    let rows: Vec<&str> = rows
        .filter(|row| !heads.iter().any(|head| row.starts_with(head)))
        .collect();
    assert!(rows.len() > 25, "only {} rows were found", rows.len());
    let without: Vec<&&str> = rows
        .iter()
        .filter(|row| test_names(row).is_empty())
        .collect();
    assert!(without.is_empty(), "no test named:\n{without:#?}");
}

/// Rules of what a later release brings.
const NOT_DUE: [&str; 4] = ["S49", "S50", "S54", "S55"];

#[test]
fn every_rule_that_is_due_has_a_test() {
    let text = read("docs/semantics.md");
    let rules: Vec<(&str, &str)> = text
        .split("\n**S")
        .skip(1)
        .map(|rule| rule.split_once(".**").expect("a number and a full stop"))
        .collect();
    let numbers: Vec<String> = rules
        .iter()
        .map(|(number, _)| format!("S{number}"))
        .collect();
    let all: Vec<String> = (1..=55).map(|number| format!("S{number}")).collect();
    assert_eq!(numbers, all, "each rule once, in order");
    let without: Vec<&String> = numbers
        .iter()
        .zip(&rules)
        .filter(|(number, (_, text))| {
            test_names(text).is_empty() != NOT_DUE.contains(&number.as_str())
        })
        .map(|(number, _)| number)
        .collect();
    assert!(
        without.is_empty(),
        "due without a test, or not due with one: {without:?}"
    );
}

#[test]
fn every_link_to_a_test_leads_to_its_file() {
    let mut wrong = Vec::new();
    for document in documents() {
        for (name, path) in links(&read(&document)) {
            let file = repository().join("docs").join(&path);
            let text = fs::read_to_string(&file).unwrap_or_default();
            if is_test_name(&name) && !text.contains(&format!("fn {name}")) {
                wrong.push(format!("{document}: {name} is not in {path}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Links whose text is in back quotes: that text, and where they lead.
fn links(text: &str) -> Vec<(String, String)> {
    let parts = text.split("[`").skip(1);
    let link = |part: &str| {
        let (name, rest) = part.split_once("`](")?;
        let (path, _) = rest.split_once(')')?;
        Some((name.to_owned(), path.to_owned()))
    };
    parts.filter_map(link).collect()
}

fn documents() -> Vec<String> {
    let entries = fs::read_dir(repository().join("docs")).expect("the project has documents");
    let names = entries.map(|entry| entry.expect("it is readable").file_name());
    let texts = names.filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "md"));
    texts
        .map(|name| format!("docs/{}", name.to_string_lossy()))
        .collect()
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of tests in a document: in back quotes, of four words or more, a path before them or not.
fn test_names(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let name = |quoted: &str| quoted.rsplit("::").next().unwrap_or_default().to_owned();
    quoted.map(name).filter(|name| is_test_name(name)).collect()
}

fn is_test_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.chars().all(plain) && text.matches('_').count() >= 3
}

/// Every function of every crate, by name.
fn functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for root in ["crates", "examples"] {
        collect(&repository().join(root), &mut found);
    }
    found
}

fn collect(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("the sources are readable") {
        let path = entry.expect("the sources are readable").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources are text");
            let words = text.split("fn ").skip(1);
            found.extend(words.map(|rest| rest.split(['(', '<']).next().unwrap_or("").to_owned()));
        }
    }
}
