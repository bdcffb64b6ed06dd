//! Configuration files of both programs.

use std::path::Path;

use mcp_config::ConfigError;
use mcp_config::agent::{self, AgentConfig};
use mcp_config::cli::{CliConfig, edit};

use crate::grammar;

const NAME: &str = "/etc/fuzz.toml";

/// Where defaults come from; nothing of the machine's own environment.
fn environment() -> [(String, String); 1] {
    [("HOME".to_owned(), "/home/ann".to_owned())]
}

/// Any bytes as the agent's configuration: what is accepted is written and read back the same.
pub(crate) fn check_agent(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parse = |text: &str| AgentConfig::parse(text, Path::new(NAME), environment());
    match parse(text) {
        Err(error) => check_refused(&error),
        Ok(config) => {
            grammar::assert_name(config.agent.node_name.as_str());
            assert!(config.own_paths().all(Path::is_absolute));
            let read = parse(&agent::render(&config)).expect("what is written can be read");
            assert_eq!(read, config, "written and read again");
        }
    }
}

/// Any bytes as the CLI's configuration: what is accepted can be edited, and an edit that is taken
/// back leaves the file as it was.
pub(crate) fn check_cli(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parse = |text: &str| CliConfig::parse(text, Path::new(NAME), environment());
    match parse(text) {
        Err(error) => check_refused(&error),
        Ok(config) => {
            for node in &config.nodes {
                grammar::assert_name(node.name.as_str());
                grammar::assert_plain(&node.address.to_string());
                check_removal(text, &config, &node.name);
            }
        }
    }
}

/// Removing a node removes that node, and no other.
fn check_removal(text: &str, config: &CliConfig, name: &mcp_model::NodeName) {
    let edited = edit::remove_node(text, name).expect("a node that is there can be removed");
    let read = CliConfig::parse(&edited, Path::new(NAME), environment())
        .expect("a file without one of its nodes is valid");
    let mut expected = config.clone();
    expected.nodes.retain(|node| node.name != *name);
    assert_eq!(read, expected, "{name} is removed");

    let node = config.node(name).expect("it is there");
    let added =
        edit::add_node(&edited, node, false).expect("a node that is not there can be added");
    let read = CliConfig::parse(&added, Path::new(NAME), environment())
        .expect("a file with one more node is valid");
    assert_eq!(read.node(name), Some(node), "{name} is back");
    assert_eq!(read.nodes.len(), config.nodes.len());
}

fn check_refused(error: &ConfigError) {
    let ConfigError::Invalid { problems, .. } = error else {
        panic!("{error:?} cannot come from a text");
    };
    assert!(!problems.is_empty(), "a refusal says why");
    grammar::assert_lines_plain(&error.to_string());
}
