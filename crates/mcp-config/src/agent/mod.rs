//! The agent's settings (`mcp-agent.toml`).

mod read;
mod render;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcp_model::NodeName;

use crate::ConfigError;

pub use render::render;

/// Everything that the agent is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// Where and how it listens.
    pub server: Server,
    /// Where the registry is.
    pub database: Database,
    /// Who may call.
    pub auth: Auth,
    /// The identity service, where one is used.
    pub mcias: Mcias,
    /// The node and its directories.
    pub agent: Agent,
    /// How the container runtime is called.
    pub runtime: Runtime,
    /// Observation, drift and alerts.
    pub monitor: Monitor,
    /// The log.
    pub log: Log,
}

/// `[server]`: the gRPC listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Address and port to listen on.
    pub grpc_addr: SocketAddr,
    /// Certificate chain, PEM.
    pub tls_cert: PathBuf,
    /// Private key, PEM.
    pub tls_key: PathBuf,
    /// Whether `grpc_addr` may be an address that stands for all interfaces (S51).
    pub allow_all_interfaces: bool,
}

/// `[database]`: the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// The `SQLite` file.
    pub path: PathBuf,
}

/// `[auth]`: who vouches for callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The provider in force, chosen as S37 says where the file is silent.
    pub provider: Provider,
}

/// Who vouches for callers (S37).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The agent itself: tokens that it issued.
    Local,
    /// An MCIAS server.
    Mcias,
}

/// `[mcias]`: the identity service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mcias {
    /// Its base URL.
    pub server_url: Option<String>,
    /// The CA that signed its certificate, where it is not one of the system's.
    pub ca_cert: Option<PathBuf>,
    /// What this agent is called there.
    pub service_name: String,
}

/// `[agent]`: the node and its directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// What this node is called.
    pub node_name: NodeName,
    /// The runtime's program: a name that is looked up in `PATH`, or an absolute path.
    pub container_runtime: String,
    /// Where each service has its directory.
    pub service_root: PathBuf,
    /// What volume sources must lie under (S48).
    pub volume_prefixes: Vec<PathBuf>,
    /// Where socket and lock are (S41).
    pub run_dir: PathBuf,
}

/// `[runtime]`: how the container runtime is called (S46).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runtime {
    /// Arguments before the subcommand of every call.
    pub args: Vec<String>,
    /// Variables of every call, beside the agent's own environment.
    pub env: BTreeMap<String, String>,
}

/// `[monitor]`: observation, drift and alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// Time between two full listings (S27).
    pub interval: Duration,
    /// What is executed on an alert, without a shell; empty means that it is only logged.
    pub alert_command: Vec<String>,
    /// Further variables of the alert command (S32).
    pub alert_env: BTreeMap<String, String>,
    /// How long a component's alerts of one type stay silent after one was sent (S30).
    pub cooldown: Duration,
    /// How many transitions within `flap_window` are still no flapping.
    pub flap_threshold: u32,
    /// The window in which transitions are counted.
    pub flap_window: Duration,
    /// How long events are kept.
    pub retention: Duration,
    /// Whether the end of an incident is told too.
    pub notify_close: bool,
    /// How long a death may last where the runtime will restart by itself (S29).
    pub settle: Duration,
    /// How long drift that changed intent has made may last before it alerts (S29).
    pub settle_intent: Duration,
}

/// `[log]`: the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// How it is written.
    pub format: LogFormat,
}

/// Severity of a log record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// What an operator wants to read.
    #[default]
    Info,
    /// What a developer wants to read.
    Debug,
    /// Everything.
    Trace,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

impl AgentConfig {
    /// Settings that say nothing but what must be said; all else is the documented default.
    /// `run_dir` is `/run/mcp-agent`.
    pub fn new(
        node_name: NodeName,
        grpc_addr: SocketAddr,
        tls_cert: PathBuf,
        tls_key: PathBuf,
        database: PathBuf,
    ) -> Self {
        todo!()
    }

    /// Reads `path`, then the overrides in `env`.
    pub fn load(
        path: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        todo!()
    }

    /// Reads `text`, then the overrides in `env`; `file` is what errors call it.
    pub fn parse(
        text: &str,
        file: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        todo!()
    }

    /// Who vouches for callers (S37).
    pub fn provider(&self) -> Provider {
        self.auth.provider
    }

    /// The paths that are the agent's own: no service's directory may contain them (S1) and no
    /// container may mount them (S41).
    pub fn own_paths(&self) -> impl Iterator<Item = &Path> {
        [
            &self.server.tls_cert,
            &self.server.tls_key,
            &self.database.path,
            &self.agent.run_dir,
        ]
        .into_iter()
        .map(PathBuf::as_path)
    }
}
