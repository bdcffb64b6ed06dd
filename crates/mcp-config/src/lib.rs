//! Settings of the agent and of the CLI: TOML files with environment overrides.
//!
//! A file is read once, at the start of a program; every value is parsed into its type on the way,
//! and an error names the file, the line and the key (or the variable) that it is about. Variables
//! `MCP_AGENT_<SECTION>_<KEY>` and `MCP_<SECTION>_<KEY>` win over the file (S51); those that name
//! no key are ignored, since alert scripts that carry `MCP_*` variables call `mcp`.
//!
//! The environment is an argument: pass [`environment`] in a program, a list in a test.

pub mod agent;
pub mod cli;
mod error;
mod file;
mod reader;
mod section;
mod values;

pub use error::{ConfigError, Place, Problem};

/// Largest configuration file that is read, in bytes.
pub const MAX_FILE: u64 = 1024 * 1024;

/// The environment of this process. What is not UTF-8 is replaced, so that it is refused where it
/// matters and harmless where it does not.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        (text(name), text(value))
    })
}
