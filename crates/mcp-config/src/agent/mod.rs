//! The agent's settings (`mcp-agent.toml`).

mod read;
mod render;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcp_model::NodeName;

use crate::{ConfigError, file, reader};

pub use render::{EXAMPLE, render};

const DEFAULT_RUNTIME: &str = "podman";
const DEFAULT_SERVICE_ROOT: &str = "/srv";
const DEFAULT_RUN_DIR: &str = "/run/mcp-agent";
const DEFAULT_SERVICE_NAME: &str = "mcp-agent";

/// Variables that name a file which podman reads: with secrets, or with what it executes
/// (containers.conf(5), containers-registries.conf(5)).
const RUNTIME_FILES: [&str; 5] = [
    "REGISTRY_AUTH_FILE",
    "CONTAINERS_CONF",
    "CONTAINERS_CONF_OVERRIDE",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINERS_REGISTRIES_CONF",
];

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
    /// What may be done about drift without being asked.
    pub reconcile: Reconcile,
    /// The log.
    pub log: Log,
    /// The file that it was read from.
    pub file: Option<PathBuf>,
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

impl Provider {
    /// What is meant where no provider is named: an MCIAS that is configured (S37).
    fn implied_by(mcias: &Mcias) -> Self {
        match mcias.server_url {
            Some(_) => Self::Mcias,
            None => Self::Local,
        }
    }
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// Arguments before the subcommand of every call.
    pub args: Vec<String>,
    /// Variables of every call, beside the agent's own environment.
    pub env: BTreeMap<String, String>,
    /// How long a call that only looks may take; one that changes something may take twice as
    /// long, and a stop as long beyond its own grace. Pulls have a limit of their own.
    pub timeout: Duration,
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
    /// How long events, closed incidents, settled operations and audit records are kept.
    pub retention: Duration,
    /// Whether the end of an incident is told too.
    pub notify_close: bool,
    /// How long a death may last where the runtime will restart by itself (S29).
    pub settle: Duration,
    /// How long drift that changed intent has made may last before it alerts (S29).
    pub settle_intent: Duration,
}

/// `[reconcile]`: what may be done about drift without being asked (S35).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconcile {
    /// Whether anything may be done at all.
    pub auto: bool,
    /// How long to wait after the first attempt; doubled after each further one.
    pub initial: Duration,
    /// Longest wait between two attempts; no less than `initial`.
    pub max: Duration,
    /// How many attempts `window` holds before the agent gives up.
    pub budget: u32,
    /// The window in which attempts are counted.
    pub window: Duration,
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
        Self {
            server: Server {
                grpc_addr,
                tls_cert,
                tls_key,
                allow_all_interfaces: false,
            },
            database: Database { path: database },
            auth: Auth {
                provider: Provider::Local,
            },
            mcias: Mcias::default(),
            agent: Agent {
                node_name,
                container_runtime: DEFAULT_RUNTIME.to_owned(),
                service_root: DEFAULT_SERVICE_ROOT.into(),
                volume_prefixes: vec![DEFAULT_SERVICE_ROOT.into()],
                run_dir: DEFAULT_RUN_DIR.into(),
            },
            runtime: Runtime::default(),
            monitor: Monitor::default(),
            reconcile: Reconcile::default(),
            log: Log::default(),
            file: None,
        }
    }

    /// Reads `path`, then the overrides in `env`.
    pub fn load(
        path: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let config = Self::parse(&file::read(path)?, path, env)?;
        // Fails only where there is no current directory; then nothing lies beside it either.
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self {
            file: Some(file),
            ..config
        })
    }

    /// Reads `text`, then the overrides in `env`; `file` is what errors call it.
    pub fn parse(
        text: &str,
        file: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let env = env.into_iter().collect();
        reader::read(text, file, "MCP_AGENT_", env, read::agent)
    }

    /// Who vouches for callers (S37).
    pub fn provider(&self) -> Provider {
        self.auth.provider
    }

    /// The paths that are the agent's own: no service's directory may contain them (S1) and no
    /// container may mount them (S41). Besides its files they are what it executes, what that is
    /// told to read, and what tells its runtime what to do: whoever writes there acts as the agent.
    pub fn own_paths(&self) -> impl Iterator<Item = &Path> {
        let files = [
            &self.server.tls_cert,
            &self.server.tls_key,
            &self.database.path,
            &self.agent.run_dir,
        ];
        let words = std::iter::once(&self.agent.container_runtime)
            .chain(&self.monitor.alert_command)
            .chain(&self.runtime.args);
        let variables = RUNTIME_FILES.map(|name| self.runtime.env.get(name));
        // `--root=/path`, `--storage-opt=overlay.mount_program=/path`.
        let named = words
            .flat_map(|word| std::iter::once(word.as_str()).chain(word.split('=')))
            .chain(variables.into_iter().flatten().map(String::as_str))
            .map(Path::new);
        files
            .into_iter()
            .chain(&self.file)
            .map(PathBuf::as_path)
            // One that is looked up in PATH lies where no prefix should reach; `/` is no file of its.
            .chain(named.filter(|path| path.is_absolute() && path.parent().is_some()))
    }
}

impl Default for Mcias {
    fn default() -> Self {
        Self {
            server_url: None,
            ca_cert: None,
            service_name: DEFAULT_SERVICE_NAME.to_owned(),
        }
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            args: Vec::new(),
            env: BTreeMap::new(),
            timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(1),
            alert_command: Vec::new(),
            alert_env: BTreeMap::new(),
            cooldown: Duration::from_mins(15),
            flap_threshold: 3,
            flap_window: Duration::from_mins(10),
            retention: Duration::from_hours(30 * 24),
            notify_close: true,
            settle: Duration::from_secs(2),
            settle_intent: Duration::from_mins(1),
        }
    }
}

impl Default for Reconcile {
    fn default() -> Self {
        Self {
            auto: false,
            initial: Duration::from_secs(1),
            max: Duration::from_mins(5),
            budget: 5,
            window: Duration::from_mins(10),
        }
    }
}

/// Text both ways for what is one of a few words.
macro_rules! words {
    ($type:ident, $what:literal, $($variant:ident = $word:literal),+) => {
        impl $type {
            /// The word that the file uses.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is not a {}: use {}", $what, [$($word),+].join(", "))),
                }
            }
        }
    };
}

words!(Provider, "provider", Local = "local", Mcias = "mcias");
words!(
    LogLevel,
    "log level",
    Error = "error",
    Warn = "warn",
    Info = "info",
    Debug = "debug",
    Trace = "trace"
);
words!(
    LogFormat,
    "log format",
    Auto = "auto",
    Human = "human",
    Json = "json"
);
