//! The CLI's settings (`mcp.toml`).

mod address;
pub mod edit;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mcp_model::NodeName;

use crate::{ConfigError, file};

pub use address::{AddressError, NodeAddress};

/// The documented configuration.
pub const EXAMPLE: &str = include_str!("../../../../deploy/examples/mcp.toml");

const DEFAULT_SERVICE_NAME: &str = "mcp";

/// Everything that the CLI is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliConfig {
    /// The file that it was read from, or would have been. `mcp node add` writes here.
    pub path: PathBuf,
    /// Where the definitions are.
    pub services: Services,
    /// The identity service, where one is used.
    pub mcias: Mcias,
    /// How the operator proves who they are.
    pub auth: Auth,
    /// The nodes, in the order of the file. No name stands twice.
    pub nodes: Vec<Node>,
}

/// `[services]`: the definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    /// Their directory.
    pub dir: PathBuf,
}

/// `[mcias]`: the identity service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mcias {
    /// Its base URL.
    pub server_url: Option<String>,
    /// The CA that signed its certificate, where it is not one of the system's. Nodes that name no
    /// CA of their own are verified against it too.
    pub ca_cert: Option<PathBuf>,
    /// What the CLI is called there.
    pub service_name: String,
    /// What else the service's policy may go by when somebody logs in.
    pub tags: Vec<String>,
}

/// `[auth]`: how the operator proves who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The file of the token for nodes that have none of their own.
    pub token_path: PathBuf,
    /// The account for unattended use.
    pub username: Option<String>,
    /// The file of its password.
    pub password_file: Option<PathBuf>,
}

/// One of `[[nodes]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is called.
    pub name: NodeName,
    /// Where its agent listens.
    pub address: NodeAddress,
    /// The file of the token for this node alone (S38).
    pub token_path: Option<PathBuf>,
    /// The CA that signed this node's certificate (S38).
    pub ca_cert: Option<PathBuf>,
    /// The name to expect in its certificate, where it is not the address's host.
    pub server_name: Option<String>,
}

impl CliConfig {
    /// Reads `path`, else `$XDG_CONFIG_HOME/mcp/mcp.toml` or `~/.config/mcp/mcp.toml`, then the
    /// overrides in `env`. A default file that is not there means defaults and no nodes; one that
    /// was named must be there.
    pub fn load(
        path: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let env = env.into_iter().collect();
        match path {
            Some(path) => read::parse(&file::read(path)?, path, env),
            None => load_or_empty(&default_path(&env)?, env),
        }
    }

    /// Like [`load`](Self::load), but a named file may be missing: for the command that makes it.
    pub fn load_or_new(
        path: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let env = env.into_iter().collect();
        match path {
            Some(path) => load_or_empty(path, env),
            None => load_or_empty(&default_path(&env)?, env),
        }
    }

    /// Reads `text`, then the overrides in `env`; `file` is where it is or will be.
    pub fn parse(
        text: &str,
        file: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        read::parse(text, file, env.into_iter().collect())
    }

    /// The node of that name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// The file of the token for `node`: its own, else the common one (S38).
    pub fn token_path<'a>(&'a self, node: &'a Node) -> &'a Path {
        node.token_path.as_deref().unwrap_or(&self.auth.token_path)
    }

    /// The CA that `node` is verified against: its own, else the common one (S38). `None` means
    /// the system's.
    pub fn ca_cert<'a>(&'a self, node: &'a Node) -> Option<&'a Path> {
        node.ca_cert.as_deref().or(self.mcias.ca_cert.as_deref())
    }
}

fn load_or_empty(path: &Path, env: BTreeMap<String, String>) -> Result<CliConfig, ConfigError> {
    read::parse(&edit::read(path)?, path, env)
}

fn default_path(env: &BTreeMap<String, String>) -> Result<PathBuf, ConfigError> {
    // Only absolute ones count, says the XDG specification.
    let absolute = |name: &str| env.get(name).filter(|value| value.starts_with('/'));
    let config = match (absolute("XDG_CONFIG_HOME"), absolute("HOME")) {
        (Some(config), _) => PathBuf::from(config),
        (None, Some(home)) => Path::new(home).join(".config"),
        (None, None) => return Err(ConfigError::NoHome),
    };
    Ok(config.join("mcp/mcp.toml"))
}
