//! Following what happens on a node (S18): `mcp status --watch` where it is not a terminal, and a
//! deploy's progress over an agent that is killed meanwhile.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};

use mcp_e2e::{Agent, AgentOptions, Component, Lie, LyingPodman, Workstation, definition, until};

/// A CLI whose lines are read while it runs. Dropping it ends it.
struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    fn start(workstation: &Workstation, args: &[&str]) -> Self {
        let mut command = workstation.command();
        command.args(args).stdin(Stdio::null());
        let errors = args[0] == "deploy";
        if errors {
            command.stdout(Stdio::null()).stderr(Stdio::piped());
        } else {
            command.stdout(Stdio::piped());
        }
        let mut child = command.spawn().expect("it starts");
        let (sender, lines) = mpsc::channel();
        let read: Box<dyn std::io::Read + Send> = if errors {
            Box::new(child.stderr.take().expect("it is a pipe"))
        } else {
            Box::new(child.stdout.take().expect("it is a pipe"))
        };
        std::thread::spawn(move || {
            for line in BufReader::new(read).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Reads until it has said all of these, in whatever order.
    #[track_caller]
    fn says(&mut self, words: &[&str]) {
        until(&format!("{words:?}"), || {
            self.said.extend(self.lines.try_iter());
            let said = |word: &&str| self.said.iter().any(|line| line.contains(word));
            words.iter().all(said).then_some(())
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hello(workstation: &Workstation, components: &[Component]) {
    workstation.define("hello", &definition("hello", "rift", components));
}

#[test]
fn a_watcher_is_told_of_a_death_and_of_its_incident_as_they_happen() {
    let agent = Agent::running("rift", AgentOptions::default());
    let workstation = Workstation::of(&[&agent]);
    hello(&workstation, &[Component::new("web", "localhost/hello:v1")]);
    workstation.mcp(&["deploy", "hello"]).ok();
    let mut people = Running::start(&workstation, &["status", "--watch", "hello"]);
    let json = ["status", "--watch", "hello", "--output", "json"];
    let mut programs = Running::start(&workstation, &json);
    people.says(&["hello/web is running"]);
    programs.says(&["\"complete\""]);
    agent.podman().run(&["kill", "hello-web"]);
    people.says(&[
        "hello/web is exited, wanted running, exit code 137",
        "hello/web has state drift, wanted running, found exited: 137: killed (SIGKILL)",
        "hello/web drift: 137: killed (SIGKILL)",
    ]);
    programs.says(&["\"drift_opened\"", "\"incident\""]);
    let incident = programs
        .said
        .iter()
        .find(|line| line.contains("\"incident\""));
    let incident: serde_json::Value =
        serde_json::from_str(incident.expect("it was said")).expect("one object on a line");
    assert_eq!(incident["component"], "web");
    assert_eq!(incident["closed"], serde_json::Value::Null);
    agent.podman().run(&["start", "hello-web"]);
    let over = format!(
        "incident {} is over",
        incident["id"].as_str().expect("an id")
    );
    people.says(&["hello/web: state drift is over", &over]);
}

#[test]
fn a_deploy_over_an_agent_that_is_killed_goes_on_and_ends_with_success() {
    let podman = LyingPodman::new();
    let options = AgentOptions::default().podman(&podman.program(), "10s");
    let mut agent = Agent::running("rift", options);
    let workstation = Workstation::of(&[&agent]);
    let names: Vec<String> = (0..8).map(|index| format!("c{index}")).collect();
    let components: Vec<Component> = names
        .iter()
        .map(|name| Component::new(name, "localhost/hello:v1"))
        .collect();
    hello(&workstation, &components);
    // So that it cannot end before the agent does.
    podman.lie("run", &Lie::Hang);
    let mut deploy = Running::start(&workstation, &["deploy", "hello"]);
    deploy.says(&["hello/c"]);
    agent.kill();
    deploy.says(&["asking again for"]);
    let before = deploy.said.len();
    agent.start();
    podman.tell_the_truth();
    let ended = until("the deploy ends", || {
        deploy.child.try_wait().expect("a child can be waited for")
    });
    deploy.says(&["done"]);
    assert!(ended.success(), "{:#?}", deploy.said);
    assert!(deploy.said.len() > before, "{:#?}", deploy.said);
    for name in &names {
        assert!(agent.podman().inspect(&format!("hello-{name}")).is_some());
    }
    // One operation, whatever the number of calls.
    assert_eq!(agent.rows("SELECT count(*) FROM operations"), ["1"]);
}
