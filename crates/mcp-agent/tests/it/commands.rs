//! The binary's commands.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use mcp_config::agent::AgentConfig;
use mcp_identity::Bundle;
use tempfile::TempDir;

pub(crate) struct Place {
    dir: TempDir,
}

fn agent(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-agent"));
    command
        .args(args)
        .stdin(Stdio::null())
        .env_remove("XDG_RUNTIME_DIR");
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn init(&self, more: &[&str]) -> Output {
        let path = |name: &str| self.path(name).display().to_string();
        let (node, root, run) = (path("node"), path("srv"), path("run"));
        let mut args = vec![
            "init",
            "--dir",
            &node,
            "--node-name",
            "rift",
            "--address",
            "127.0.0.1:9444",
        ];
        // A runtime that answers nothing: the agent must come up all the same.
        args.extend([
            "--service-root",
            &root,
            "--run-dir",
            &run,
            "--container-runtime",
            "/bin/false",
        ]);
        args.extend(more);
        agent(&args).output().unwrap()
    }

    pub(crate) fn made(more: &[&str]) -> Self {
        let place = Self::new();
        let made = place.init(more);
        assert!(made.status.success(), "{}", text(&made.stderr));
        place
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = agent(args);
        command
            .arg("--config")
            .arg(self.path("node/mcp-agent.toml"));
        command.env("MCP_AGENT_SERVER_GRPC_ADDR", "127.0.0.1:0");
        command
    }

    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    pub(crate) fn bundle(&self, name: &str) -> Bundle {
        Bundle::parse(&std::fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Every file below a directory, with its content.
fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(snapshot(&path));
        } else {
            found.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

/// A server of the binary, and its log.
pub(crate) struct Server {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Server {
    pub(crate) fn start(place: &Place, level: &str) -> Self {
        let mut command = place.command(&["server"]);
        command
            .env("MCP_AGENT_LOG_LEVEL", level)
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// The next record of the log that has this message.
    pub(crate) fn until(&mut self, message: &str) -> serde_json::Value {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.log.read_line(&mut line).unwrap() > 0,
                "the log ended:\n{seen}"
            );
            let record: serde_json::Value = serde_json::from_str(&line).unwrap();
            if record["message"] == message {
                return record;
            }
            seen.push_str(&line);
        }
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub(crate) fn tell(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn wait(mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn end(self, signal: rustix::process::Signal) -> std::process::ExitStatus {
        self.tell(signal);
        self.wait()
    }
}

impl Drop for Server {
    /// A test that fails leaves no agent behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn init_makes_a_node_that_its_own_commands_accept() {
    let place = Place::made(&[
        "--alert-command",
        "/bin/echo",
        "--alert-command",
        "-n",
        "--runtime-env",
        "A=b",
    ]);
    let config = AgentConfig::load(&place.path("node/mcp-agent.toml"), []).unwrap();
    assert_eq!(config.agent.node_name.as_str(), "rift");
    assert_eq!(config.monitor.alert_command, ["/bin/echo", "-n"]);
    assert_eq!(config.runtime.env["A"], "b");
    for name in [
        "mcp-agent.toml",
        "mcp.db",
        "rift.bundle",
        "certs/key.pem",
        "certs/ca.key",
    ] {
        assert_eq!(mode(&place.path("node").join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&place.path("node")), 0o700);
    let bundle = place.bundle("node/rift.bundle");
    assert_eq!(
        (bundle.node.as_str(), bundle.address.as_str()),
        ("rift", "127.0.0.1:9444")
    );
    assert!(bundle.ca_cert_pem.contains("BEGIN CERTIFICATE"));
    let said = place.ok(&["check-config"]);
    assert!(
        said.contains("127.0.0.1:0"),
        "what the environment overrides is in force: {said}"
    );
}

#[test]
fn a_second_init_fails_and_changes_nothing() {
    let place = Place::made(&[]);
    let before = snapshot(place.dir.path());
    let again = place.init(&[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("is there already"),
        "{}",
        text(&again.stderr)
    );
    assert_eq!(snapshot(place.dir.path()), before);
}

#[test]
fn an_init_that_fails_leaves_nothing_behind() {
    let place = Place::new();
    for bad in [
        &["--bundle", "/no/such/dir/bundle"][..],
        &[
            "--tls-cert",
            "/no/such/cert",
            "--tls-key",
            "/no/such/key",
            "--tls-ca",
            "/etc/hostname",
        ],
        &["--advertise", "no port"],
        &["--token-valid", "0s"],
    ] {
        let failed = place.init(bad);
        assert_eq!(failed.status.code(), Some(1), "{bad:?}");
        assert_eq!(
            std::fs::read_dir(place.dir.path()).unwrap().count(),
            0,
            "{bad:?}"
        );
    }
    let usage = place.init(&["--no-such-flag"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn a_bundle_can_go_to_standard_output_and_nothing_else_does() {
    let place = Place::new();
    let made = place.init(&["--bundle", "-"]);
    let bundle = Bundle::parse(&text(&made.stdout)).unwrap();
    assert!(!text(&made.stderr).contains(bundle.token.secret()));
}

#[test]
fn tokens_come_and_go_whether_the_agent_runs_or_not() {
    let place = Place::made(&[]);
    let issue = |place: &Place, subject: &str| place.ok(&["token", "issue", "--subject", subject]);
    let list = |place: &Place| -> Vec<(String, String)> {
        let json = place.ok(&["token", "list", "--output", "json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        let field = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
        rows.iter()
            .map(|row| (field(row, "subject"), field(row, "state")))
            .collect()
    };
    let round = |place: &Place, subject: &str| {
        let token = issue(place, subject);
        assert!(
            mcp_identity::Token::is_local_form(token.trim()),
            "{token:?}"
        );
        assert!(list(place).contains(&(subject.to_owned(), "valid".to_owned())));
        place.ok(&["token", "revoke", subject]);
        assert!(list(place).contains(&(subject.to_owned(), "revoked".to_owned())));
        assert_eq!(
            place.run(&["token", "revoke", subject]).status.code(),
            Some(1)
        );
        assert!(!place.ok(&["token", "list"]).contains("mcp_"));
    };
    round(&place, "offline");
    let mut server = Server::start(&place, "info");
    server.until("serving");
    round(&place, "online");
    let second = place.run(&["server"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        text(&second.stderr).contains("held by another mcp-agent"),
        "{}",
        text(&second.stderr)
    );
    assert!(server.end(rustix::process::Signal::TERM).success());
    assert!(list(&place).contains(&("online".to_owned(), "revoked".to_owned())));
}

#[test]
fn a_token_can_be_issued_as_a_bundle() {
    let place = Place::made(&[]);
    let file = place.path("bob.bundle").display().to_string();
    let args = [
        "token",
        "issue",
        "--subject",
        "bob",
        "--valid",
        "1h",
        "--bundle",
        &file,
        "--advertise",
        "rift:9444",
    ];
    assert_eq!(place.ok(&args), "");
    assert_eq!(place.bundle("bob.bundle").address, "rift:9444");
    assert_eq!(mode(&place.path("bob.bundle")), 0o600);
    let count = |place: &Place| place.ok(&["token", "list"]).lines().count();
    let before = count(&place);
    assert_eq!(
        place.run(&args).status.code(),
        Some(1),
        "the file is there already"
    );
    assert_eq!(count(&place), before, "no token was made that nobody has");
}

#[test]
fn a_server_ends_well_on_either_signal_though_its_runtime_does_not_answer() {
    let place = Place::made(&[]);
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut server = Server::start(&place, "info");
        server.until("serving");
        assert!(server.end(signal).success());
    }
}

#[test]
fn every_call_is_in_the_audit_log_whatever_the_level() {
    let place = Place::made(&[]);
    let mut server = Server::start(&place, "error");
    // The level hides that it is ready; a command that is answered shows it.
    while UnixStream::connect(place.path("run/agent.sock")).is_err() {
        std::thread::yield_now();
    }
    place.ok(&["token", "list"]);
    let record = server.until("rpc");
    assert_eq!(record["target"], "audit");
    assert_eq!(record["method"], "/mcp.v1.LocalAdminService/ListTokens");
    assert_eq!(record["outcome"], "Ok");
    assert!(record["caller"].as_str().unwrap().starts_with("local:uid:"));
    assert!(server.end(rustix::process::Signal::TERM).success());
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_with_its_place() {
    let place = Place::made(&[]);
    let path = place.path("node/mcp-agent.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{good}\n[monitr]\ninterval = \"1s\"\n")).unwrap();
    let refused = place.run(&["check-config"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("monitr"),
        "{}",
        text(&refused.stderr)
    );
    std::fs::write(&path, good).unwrap();
    std::fs::write(place.path("node/certs/key.pem"), "not a key").unwrap();
    let refused = place.run(&["check-config"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("key.pem"),
        "{}",
        text(&refused.stderr)
    );
}

/// The same bound, held by the kernel, as for the CLI's files.
#[test]
fn a_configuration_that_would_blow_up_is_refused_within_a_bound_of_memory() {
    let place = Place::new();
    let write = |name: &str, text: String| {
        std::fs::write(place.path(name), text).unwrap();
        place.path(name)
    };
    let endless = place.path("endless");
    std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
    let wide = "[],".repeat(20_000_000);
    for (bomb, word) in [
        (write("large", format!("a = [{wide}]")), "too large"),
        (endless, "too large"),
        (write("brackets", "[".repeat(20_000)), ":1:"),
        (
            write("dots", format!("{}a = 1", "a.".repeat(500_000))),
            ":1:",
        ),
        (
            write("dense", format!("a = [{}]", &wide[..1_000_000])),
            ":1:",
        ),
    ] {
        let output = Command::new("sh")
            .args(["-c", "ulimit -d 196608 && exec \"$@\"", "sh"])
            .args([env!("CARGO_BIN_EXE_mcp-agent"), "check-config", "--config"])
            .arg(&bomb)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{}: {said:.600}",
            bomb.display()
        );
        assert!(said.contains(word), "{}: {said:.600}", bomb.display());
    }
}
