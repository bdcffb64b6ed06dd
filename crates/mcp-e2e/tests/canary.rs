//! Tokens and passwords are where they belong and nowhere else: not in what is logged at the level
//! that says most, not in arguments and environments of any process, not in error texts, not in the
//! registry, not in the run directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mcp_e2e::{Agent, AgentOptions, Alerts, Component, Reply, Workstation, definition, until};
use mcp_identity::double::{Behaviour, IdentityService};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

const PASSWORD: &str = "canary-password-7c1f9e";

/// A podman that keeps the arguments and the environment of each of its calls.
struct Recorded {
    dir: TempDir,
}

impl Recorded {
    fn new() -> Self {
        let recorded = Self {
            dir: tempfile::tempdir().expect("a temporary folder"),
        };
        let script = format!(
            "#!/bin/sh\n{{ printf '%s\\n' \"$@\"; env; }} >>'{}'\nexec podman \"$@\"\n",
            recorded.calls().display()
        );
        fs::write(recorded.command(), script).expect("the folder is writable");
        fs::set_permissions(recorded.command(), fs::Permissions::from_mode(0o755))
            .expect("a file of our own");
        recorded
    }

    fn command(&self) -> PathBuf {
        self.dir.path().join("podman")
    }

    fn calls(&self) -> PathBuf {
        self.dir.path().join("calls")
    }
}

/// Everything that a secret could have got into.
struct Search<'a> {
    secrets: Vec<String>,
    agent: &'a Agent,
    workstation: &'a Workstation,
    alerts: &'a Alerts,
    runtime: &'a Recorded,
    /// The files that may hold it.
    allowed: Vec<PathBuf>,
}

impl Search<'_> {
    /// Arguments and environment of every process that lives now.
    #[track_caller]
    fn processes(&self) {
        let mut read = 0;
        for entry in fs::read_dir("/proc").expect("/proc is mounted") {
            let pid = entry.expect("it is readable").path();
            for file in ["cmdline", "environ"] {
                // Processes end meanwhile, and others are not ours to read.
                let Ok(bytes) = fs::read(pid.join(file)) else {
                    continue;
                };
                read += 1;
                self.in_bytes(&bytes, &pid.join(file));
            }
        }
        assert!(read > 4, "processes were looked at");
    }

    /// What a command said.
    #[track_caller]
    fn reply(&self, reply: Reply) -> Reply {
        self.in_bytes(reply.stdout.as_bytes(), Path::new("standard output"));
        self.in_bytes(reply.stderr.as_bytes(), Path::new("standard error"));
        reply
    }

    /// Logs, registry with its journal, run directory, configuration, and what the children of the
    /// agent were given.
    #[track_caller]
    fn files(&self) {
        assert!(
            self.agent.log().contains("\"level\":\"DEBUG\""),
            "the log says much"
        );
        let calls = fs::read_to_string(self.runtime.calls()).expect("podman was called");
        assert!(calls.contains("inspect"), "{calls}");
        assert!(!self.alerts.received().is_empty(), "somebody was told");
        self.in_folder(self.agent.dir());
        self.in_folder(self.workstation.home());
        self.in_folder(self.runtime.dir.path());
        let alert = self.alerts.command();
        self.in_folder(alert.parent().expect("a file has a folder"));
    }

    #[track_caller]
    fn in_folder(&self, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder of ours") {
            let path = entry.expect("it is readable").path();
            let kind = fs::symlink_metadata(&path).map(|found| found.file_type());
            // The registry's journal comes and goes.
            let Ok(kind) = kind else { continue };
            if kind.is_dir() {
                self.in_folder(&path);
            } else if kind.is_file() && !self.allowed.contains(&path) {
                self.in_bytes(&fs::read(&path).unwrap_or_default(), &path);
            }
        }
    }

    #[track_caller]
    fn in_bytes(&self, bytes: &[u8], place: &Path) {
        for secret in &self.secrets {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in {}", place.display());
        }
    }

    /// Runs the CLI to its end, at the level that says most.
    #[track_caller]
    fn mcp(&self, args: &[&str]) -> Reply {
        let mut command = self.workstation.command();
        command.args(args).arg("--verbose").env("RUST_LOG", "trace");
        self.reply(Reply::of(&mut command))
    }

    /// Deploys, lets the container die, and restarts: every kind of child of the agent.
    #[track_caller]
    fn work(&self) {
        let hello = definition(
            "hello",
            "rift",
            &[Component::new("web", "localhost/hello:v1")],
        );
        self.workstation.define("hello", &hello);
        self.mcp(&["deploy", "hello"]).ok();
        self.processes();
        self.agent.podman().run(&["kill", "hello-web"]);
        self.alerts.wait_for(1);
        self.mcp(&["restart", "hello"]);
        self.mcp(&["status", "--live"]).ok();
        self.mcp(&["deploy", "nothing"]).refused(1);
        self.processes();
    }
}

fn options(alerts: &Alerts, runtime: &Recorded) -> AgentOptions {
    let mut options = AgentOptions::default()
        .alert_command(&alerts.command())
        .set(
            "agent",
            "container_runtime",
            runtime.command().to_string_lossy(),
        )
        .set("log", "level", "trace");
    options.settings.push(("RUST_LOG".into(), "trace".into()));
    options
}

fn trimmed(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("it was written");
    text.trim().to_owned()
}

/// The CLI, under way.
fn spawn(command: &mut Command) -> Child {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).spawn().expect("it starts")
}

#[test]
fn a_nodes_own_token_is_nowhere_but_in_its_file() {
    let (alerts, runtime) = (Alerts::new(), Recorded::new());
    let mut agent = Agent::running("rift", options(&alerts, &runtime));
    let workstation = Workstation::of(&[&agent]);
    let file = workstation.home().join(".config/mcp/nodes/rift/token");
    let search = Search {
        secrets: vec![trimmed(&file)],
        agent: &agent,
        workstation: &workstation,
        alerts: &alerts,
        runtime: &runtime,
        allowed: vec![file.clone(), agent.bundle()],
    };
    search.work();
    search.files();
    search.reply(agent.run(&["token", "list"]));
    // Its subject is on record, and the token is refused from now on.
    let listed = agent.run(&["token", "list", "--output", "json"]);
    search.reply(listed);
    let subjects = agent.rows("SELECT subject FROM tokens");
    search.reply(agent.run(&["token", "revoke", &subjects[0]]));
    search.mcp(&["list"]).refused(1);
    search.files();
    agent.stop();
}

#[test]
fn a_password_and_its_token_are_nowhere_but_in_their_files() {
    let service = IdentityService::start();
    service.account("bob", PASSWORD, &["admin"]);
    let (alerts, runtime) = (Alerts::new(), Recorded::new());
    let options = options(&alerts, &runtime)
        .set("auth", "provider", "mcias")
        .set("mcias", "server_url", service.url())
        .set("mcias", "ca_cert", service.ca_cert().to_string_lossy());
    let agent = Agent::running("rift", options);
    let workstation = Workstation::new();
    let ca = agent.dir().join("certs/ca.pem");
    let ca = ca.to_string_lossy();
    let add = ["node", "add", "rift", &agent.address(), "--ca-cert", &ca];
    workstation.mcp(&add).ok();
    let settings = fs::read_to_string(workstation.config()).expect("it was made");
    let mcias = format!(
        "[mcias]\nserver_url = \"{}\"\nca_cert = \"{}\"\n\n{settings}",
        service.url(),
        service.ca_cert().display()
    );
    fs::write(workstation.config(), mcias).expect("a file of ours");
    let password = workstation.home().join("password");
    fs::write(&password, format!("{PASSWORD}\n")).expect("a folder of ours");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("a file of ours");
    let token = workstation.home().join(".config/mcp/token");

    let mut search = Search {
        secrets: vec![PASSWORD.to_owned()],
        agent: &agent,
        workstation: &workstation,
        alerts: &alerts,
        runtime: &runtime,
        allowed: vec![password.clone(), token.clone(), agent.bundle()],
    };
    // While the CLI waits for its token, it holds the password.
    let login = ["login", "--username=bob", "--timeout=1h", "--password-file"];
    service.behave(Behaviour::Silent);
    let mut command = workstation.command();
    let waiting = spawn(command.args(login).arg(&password));
    until("the login is under way", || {
        (service.counts().logins == 1).then_some(())
    });
    search.processes();
    service.behave(Behaviour::Honest);
    let output = waiting.wait_with_output().expect("it ends");
    search.reply(output.into()).ok();
    search.secrets.push(trimmed(&token));

    search.work();
    search.files();

    // What goes wrong holds no secret either.
    let password = password.to_string_lossy();
    let again = [&login[..], &[&*password]].concat();
    service.account("bob", "another", &["admin"]);
    search.mcp(&again).refused(1);
    service.forbid("bob");
    search.mcp(&again).refused(1);
    for behaviour in [
        Behaviour::Status(500),
        Behaviour::Saying(format!("\"{} {PASSWORD}\"", search.secrets[1])),
    ] {
        service.behave(behaviour);
        search.mcp(&again).refused(1);
    }
    service.down();
    search.mcp(&again).refused(1);
    let new = service.issue("bob", &["admin"], Duration::from_hours(1));
    search.secrets.push(new.secret().to_owned());
    fs::write(&token, new.secret()).expect("a file of ours");
    search.mcp(&["list"]).refused(1);
    service.behave(Behaviour::Honest);
    service.up();
    service.revoke(&new);
    search.mcp(&["list"]).refused(1);
    search.files();
}

/// The limit on core files that a process has, soft and hard, as the kernel writes it.
fn core_limit(pid: &str) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    let words = line.expect("every kernel has the line").split_whitespace();
    words.take(2).map(str::to_owned).collect()
}

#[test]
fn an_agent_leaves_no_core_file_and_its_containers_have_the_limit_it_was_started_with() {
    let hard = getrlimit(Resource::Core).maximum;
    assert_ne!(hard, Some(0), "the test needs a limit that can be lowered");
    let given = Rlimit {
        current: Some(4096),
        maximum: hard,
    };
    setrlimit(Resource::Core, given).expect("a soft limit within the hard one");
    let agent = Agent::running("rift", AgentOptions::default());
    let workstation = Workstation::of(&[&agent]);
    let web = Component::new("web", "localhost/hello:v1").line("network = \"none\"");
    workstation.define("hello", &definition("hello", "rift", &[web]));
    workstation.mcp(&["deploy", "hello"]).ok();

    let own = core_limit("self");
    assert_eq!(core_limit(&agent.pid().to_string()), ["0", &own[1]]);
    for made in ["run", "started again"] {
        let pid = agent.podman().inspect("hello-web").expect("it is deployed")["State"]["Pid"]
            .to_string();
        assert_eq!(core_limit(&pid), own, "{made}");
        workstation.mcp(&["restart", "hello"]).ok();
    }
}
