//! The operator's side: configuration, definitions, the CLI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Agent, Reply, mcp};

/// A workstation with a configuration of its own.
#[derive(Debug)]
pub struct Workstation {
    home: TempDir,
}

impl Workstation {
    /// One that knows no node.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// One that knows these nodes, through their bundles.
    #[track_caller]
    pub fn of(agents: &[&Agent]) -> Self {
        let workstation = Self::new();
        for agent in agents {
            let bundle = agent.bundle();
            workstation
                .mcp(&["node", "add", "--bundle", &bundle.to_string_lossy()])
                .ok();
        }
        workstation
    }

    /// The CLI, ready for its arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(mcp());
        command
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path().join(".config"))
            .env_remove("MCP_TOKEN");
        command
    }

    /// Runs the CLI to its end.
    #[track_caller]
    pub fn mcp(&self, args: &[&str]) -> Reply {
        Reply::of(self.command().args(args))
    }

    /// Runs the CLI, and reads its answer as JSON; panics where it failed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let text = Reply::of(self.command().args(args).args(["--output", "json"])).ok();
        serde_json::from_str(&text).expect("`--output json` writes JSON")
    }

    /// Writes the definition of a service; the file.
    pub fn define(&self, service: &str, definition: &str) -> PathBuf {
        let file = self.definition(service);
        fs::create_dir_all(file.parent().expect("a file has a folder")).expect("a folder of ours");
        fs::write(&file, definition).expect("a folder of ours");
        file
    }

    /// Where the definition of a service is.
    pub fn definition(&self, service: &str) -> PathBuf {
        self.folder()
            .join("services")
            .join(format!("{service}.toml"))
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.folder().join("mcp.toml")
    }

    fn folder(&self) -> PathBuf {
        self.home().join(".config/mcp")
    }

    /// The operator's home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}
