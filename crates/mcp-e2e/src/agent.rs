//! A node: its folder, its podman, its agent.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tempfile::TempDir;

use crate::{Daemon, Podman, Reply, free_port, mcp_agent};

/// What differs from a plain node.
#[derive(Debug, Default, Clone)]
pub struct AgentOptions {
    /// Overrides of settings: `MCP_AGENT_<SECTION>_<KEY>` and their values.
    pub settings: Vec<(String, String)>,
}

impl AgentOptions {
    /// Adds an override, named by section and key.
    #[must_use]
    pub fn set(mut self, section: &str, key: &str, value: impl Into<String>) -> Self {
        let name = format!("MCP_AGENT_{section}_{key}").to_uppercase();
        self.settings.push((name, value.into()));
        self
    }

    /// Has the agent call podman through one that lies. A look may take `timeout` then, so that a
    /// test need not wait long for the end of a call that hangs.
    #[must_use]
    pub fn podman(self, program: &Path, timeout: &str) -> Self {
        self.set("agent", "container_runtime", program.to_string_lossy())
            .set("runtime", "timeout", timeout)
    }

    /// Lets a test end the agent at points that are named in `folder` (see the agent's feature
    /// `failpoints`).
    #[must_use]
    pub fn failpoints(mut self, folder: &Path) -> Self {
        let folder = folder.to_string_lossy().into_owned();
        self.settings.push(("MCP_FAILPOINTS".to_owned(), folder));
        self
    }

    /// Adds the alert command.
    #[must_use]
    pub fn alert_command(self, program: &Path) -> Self {
        self.set(
            "monitor",
            "alert_command",
            format!("[\"{}\"]", program.display()),
        )
    }
}

/// A node that `mcp-agent init` made, with a podman of its own. The agent runs from
/// [`start`](Self::start) to [`stop`](Self::stop) or [`kill`](Self::kill).
#[derive(Debug)]
pub struct Agent {
    // Dropped in this order: the agent goes before its containers.
    server: Option<Daemon>,
    podman: Podman,
    name: String,
    port: u16,
    options: AgentOptions,
    program: PathBuf,
    dir: TempDir,
}

impl Agent {
    /// Makes a node and starts its agent.
    #[track_caller]
    pub fn running(name: &str, options: AgentOptions) -> Self {
        let mut agent = Self::init(name, options);
        agent.start();
        agent
    }

    /// Makes a node; its agent does not run yet.
    #[track_caller]
    pub fn init(name: &str, options: AgentOptions) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (podman, port) = (Podman::new(), free_port());
        let agent = Self {
            server: None,
            podman,
            name: name.to_owned(),
            port,
            options,
            program: mcp_agent().to_owned(),
            dir,
        };

        let mut init = agent.command();
        init.arg("init").arg("--dir").arg(agent.dir());
        init.args(["--node-name", name, "--address", &agent.address()]);
        init.arg("--service-root").arg(agent.service_root());
        init.arg("--run-dir").arg(agent.dir().join("run"));
        init.args(["--container-runtime", "podman"]);
        init.args(
            agent
                .podman
                .args()
                .iter()
                .map(|arg| format!("--runtime-arg={arg}")),
        );
        let env = agent.podman.env().iter();
        init.args(env.map(|(name, value)| format!("--runtime-env={name}={value}")));
        init.arg("--bundle").arg(agent.bundle());
        Reply::of(&mut init).ok();
        agent
    }

    /// Starts the agent and waits until it says that it serves. That somebody accepts connections
    /// would not do: it may be a child of an agent that was killed, until it becomes another program.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.server.is_none(), "it runs already");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = folder.path().join("ready");
        let ready = UnixDatagram::bind(&address).expect("a folder of ours");
        ready.set_nonblocking(true).expect("a socket of ours");
        let mut serve = self.command();
        serve.args(["server", "--config"]).arg(self.config());
        serve.env("NOTIFY_SOCKET", &address);
        let mut server = Daemon::start(&mut serve, &self.log_file());
        server.wait_until("the agent serves", || {
            let mut said = [0; 256];
            let length = ready.recv(&mut said).ok()?;
            said[..length].starts_with(b"READY=1").then_some(())
        });
        self.server = Some(server);
    }

    /// Asks the agent to end, and waits until it has.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.server.take().expect("it runs").stop()
    }

    /// Ends the agent without asking (SIGKILL).
    #[track_caller]
    pub fn kill(&mut self) {
        self.server.take().expect("it runs").kill();
    }

    /// Puts another file of the same program in its place, for the next start.
    pub fn upgrade(&mut self) {
        let newer = self.dir().join("mcp-agent-newer");
        fs::copy(&self.program, &newer).expect("the node's folder is writable");
        self.program = newer;
    }

    /// Makes every write of the running agent fail that would let a file grow past `bytes`, as on
    /// a full disk, until the guard is dropped.
    #[must_use]
    #[track_caller]
    pub fn fill_the_disk(&self, bytes: u64) -> FullDisk {
        FullDisk::of(self.pid(), bytes)
    }

    /// Whether the agent ended by itself; it can be started again then.
    pub fn has_ended(&mut self) -> bool {
        let ended = self
            .server
            .as_mut()
            .is_none_or(|server| server.ended().is_some());
        if ended {
            self.server = None;
        }
        ended
    }

    /// The agent's process id.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").pid()
    }

    /// Runs another of the agent's commands with this node's configuration.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Reply {
        Reply::of(self.command().args(args).arg("--config").arg(self.config()))
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node's podman.
    pub fn podman(&self) -> &Podman {
        &self.podman
    }

    /// `host:port` of the agent.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The node's folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The agent's configuration.
    pub fn config(&self) -> PathBuf {
        self.dir().join("mcp-agent.toml")
    }

    /// Where services have their folders.
    pub fn service_root(&self) -> PathBuf {
        self.dir().join("srv")
    }

    /// The registry.
    pub fn database(&self) -> PathBuf {
        self.dir().join("mcp.db")
    }

    /// What a query of the registry gives, each row as its columns joined by `|`.
    #[track_caller]
    pub fn rows(&self, query: &str) -> Vec<String> {
        let database =
            Connection::open_with_flags(self.database(), OpenFlags::SQLITE_OPEN_READ_ONLY)
                .expect("the registry can be read beside the agent");
        let mut statement = database.prepare(query).expect("the query is right");
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let text = |column| Ok(plain(row.get_ref(column)?));
            (0..columns).map(text).collect::<rusqlite::Result<Vec<_>>>()
        });
        let rows = rows
            .expect("the query runs")
            .map(|row| row.expect("a row is readable").join("|"));
        rows.collect()
    }

    /// What a workstation needs to speak to this node.
    pub fn bundle(&self) -> PathBuf {
        self.dir().join(format!("{}.bundle", self.name))
    }

    /// What the agent has logged so far.
    pub fn log(&self) -> String {
        // Its last line may be half written.
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.dir().join("agent.log")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.options.settings.iter().cloned());
        command
    }
}

/// A disk that is full for one process. Dropping it makes room.
#[derive(Debug)]
pub struct FullDisk {
    process: Option<Pid>,
    before: Rlimit,
}

impl FullDisk {
    #[track_caller]
    fn of(pid: u32, bytes: u64) -> Self {
        let process = Pid::from_raw(pid.cast_signed());
        // Only the soft limit: it may be raised again without being root.
        let before = getrlimit(Resource::Fsize);
        let full = Rlimit {
            current: Some(bytes),
            ..before
        };
        let before = prlimit(process, Resource::Fsize, full).expect("a child of ours");
        Self { process, before }
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        // Fails only where the process is gone.
        let _ = prlimit(self.process, Resource::Fsize, self.before);
    }
}

fn plain(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}
