//! The commands of `mcp-agent`. Arguments are parsed before anything else is touched.

mod check;
mod init;
mod out;
mod server;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use mcp_runtime::CoreLimit;

/// The agent of one node: runs its containers, watches them, says when they drift.
#[derive(Debug, Parser)]
#[command(name = "mcp-agent", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent
    Server(ConfigFile),
    /// Make a node: directories, certificates, configuration, registry and first admin token
    Init(Box<init::Arguments>),
    /// Issue, list and revoke the node's own tokens, whether the agent runs or not
    #[command(subcommand)]
    Token(token::Command),
    /// Say what the configuration means, and whether it can be used
    CheckConfig(ConfigFile),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The agent's configuration
    #[arg(long, value_name = "FILE", default_value = "/srv/mcp/mcp-agent.toml")]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<mcp_config::agent::AgentConfig> {
        let loaded = mcp_config::agent::AgentConfig::load(&self.config, mcp_config::environment());
        if loaded.is_err() && !self.config.exists() {
            return loaded.context(
                "there is no configuration: make a node with mcp-agent init, or say with --config where it is",
            );
        }
        Ok(loaded?)
    }
}

/// Runs one command line. Exit codes: 0 fine, 1 failed, 2 usage.
pub fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    // Each of them holds tokens or keys in its memory.
    let core = CoreLimit::lower().context("cannot do without core files")?;
    match command {
        Command::Server(config) => server::run(&config, core),
        Command::Init(arguments) => init::run(&arguments),
        Command::Token(command) => token::run(&command),
        Command::CheckConfig(config) => check::run(&config),
    }
}

/// A runtime for commands that do one thing and end.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
