//! The edits that `mcp node add` and `mcp node remove` make: pure, text to text.

use std::path::Path;

use mcp_model::NodeName;

use super::Node;
use crate::ConfigError;

/// `text` with `node` added; every other byte is as it was. A node of that name is refused, or
/// given the new values where `replace` says so.
pub fn add_node(text: &str, node: &Node, replace: bool) -> Result<String, ConfigError> {
    todo!()
}

/// `text` without the node `name` and the comment right above it; every other byte is as it was.
pub fn remove_node(text: &str, name: &NodeName) -> Result<String, ConfigError> {
    todo!()
}

/// The text of the file to edit; empty where there is none yet.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    todo!()
}

/// Writes `text` to `path`, at once or not at all. A new file gets mode 0600 and its directories
/// 0700; an existing one keeps its mode, and a symbolic link stays one.
pub fn write(path: &Path, text: &str) -> Result<(), ConfigError> {
    todo!()
}
