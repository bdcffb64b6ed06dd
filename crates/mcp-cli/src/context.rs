//! What every command starts from.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use mcp_config::cli::{CliConfig, Node, NodeAddress};
use mcp_model::NodeName;

use crate::agent::Agent;
use crate::args::Global;
use crate::output::Output;
use crate::problem::Problem;

/// How long an answer that needs no container may take.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// How long to wait for an operation: a slow pull and then some. The operation has deadlines of
/// its own; this one only ends the waiting.
const OPERATION_TIMEOUT: Duration = Duration::from_mins(30);

/// The configuration, the global options and the way to the operator.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) out: Output,
    pub(crate) config: CliConfig,
    /// `--node`, or the one behind `--socket`.
    pub(crate) wanted: Option<NodeName>,
    timeout: Option<Duration>,
}

impl Context {
    /// Reads the configuration and, where the agent of this machine is to be spoken to through its
    /// socket, asks what its node is called.
    pub(crate) async fn load(out: Output, global: Global) -> Result<Self> {
        let socket = global.socket.clone();
        let context = Self::configured(out, global)?;
        match socket {
            None => Ok(context),
            Some(path) => context.through(&path).await,
        }
    }

    /// Reads the configuration, for commands that speak to no agent.
    pub(crate) fn configured(out: Output, global: Global) -> Result<Self> {
        let config = CliConfig::load(global.config.as_deref(), mcp_config::environment())?;
        out.detail(&format!("configuration: {}", config.path.display()));
        Ok(Self::new(out, config, global))
    }

    /// The same with one node only: the one behind the socket (S41). Whatever a definition says,
    /// it is the one that is meant.
    async fn through(mut self, path: &Path) -> Result<Self> {
        let node = |name| Node {
            name,
            address: NodeAddress::socket(path),
            token_path: None,
            ca_cert: None,
            server_name: None,
        };
        let name = if let Some(name) = self.wanted.take() {
            name
        } else {
            let nameless = node("localhost".parse()?);
            let agent = Agent::connect(&self, &nameless).await?;
            agent.node_name().await?
        };
        self.config.nodes = vec![node(name.clone())];
        self.wanted = Some(name);
        Ok(self)
    }

    /// Whether one node is spoken to and the others do not exist.
    pub(crate) fn is_local(&self) -> bool {
        let mut nodes = self.config.nodes.iter();
        nodes.any(|node| node.address.as_socket().is_some())
    }

    /// The same, but the file may yet have to be made.
    pub(crate) fn load_or_new(out: Output, global: Global) -> Result<Self> {
        let config = CliConfig::load_or_new(global.config.as_deref(), mcp_config::environment())?;
        Ok(Self::new(out, config, global))
    }

    fn new(out: Output, config: CliConfig, global: Global) -> Self {
        Self {
            out,
            config,
            wanted: global.node,
            timeout: global.timeout,
        }
    }

    /// The nodes to ask: the one of `--node`, else all.
    pub(crate) fn nodes(&self) -> Result<Vec<&Node>> {
        if self.config.nodes.is_empty() {
            return Err(no_nodes(&self.config).into());
        }
        match &self.wanted {
            None => Ok(self.config.nodes.iter().collect()),
            Some(name) => Ok(vec![crate::select::configured(name, &self.config.nodes)?]),
        }
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        self.timeout.unwrap_or(READ_TIMEOUT)
    }

    pub(crate) fn operation_timeout(&self) -> Duration {
        self.timeout.unwrap_or(OPERATION_TIMEOUT)
    }
}

/// What to say where there is no node to speak to.
pub(crate) fn no_nodes(config: &CliConfig) -> Problem {
    Problem::new(format!(
        "no node is configured in {}",
        config.path.display()
    ))
    .help("add one: mcp node add --bundle FILE, or mcp node add NAME HOST:PORT")
}
