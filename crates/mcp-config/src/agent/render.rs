//! The file that `mcp-agent init` writes.

use super::AgentConfig;

/// The documented example with the values of `config` filled in. Reading it gives `config` back.
pub fn render(config: &AgentConfig) -> String {
    todo!()
}
