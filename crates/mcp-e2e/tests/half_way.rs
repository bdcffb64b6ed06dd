//! A podman that is killed half way leaves containers that it refuses to start, and some whose
//! processes it would forget (S13, S14). The OCI runtime hangs at the very place, so that the agent
//! dies there, and the next one ends the podman that hangs (S15).

use std::process::Stdio;

use mcp_e2e::{Agent, AgentOptions, Component, HeldRuntime, Side, Workstation, definition, until};

/// A component that runs, and what its containers hang at.
struct Stage {
    agent: Agent,
    workstation: Workstation,
    runtime: HeldRuntime,
}

impl Stage {
    fn set() -> Self {
        let agent = Agent::running("rift", AgentOptions::default());
        let workstation = Workstation::of(&[&agent]);
        let runtime = HeldRuntime::of(agent.podman());
        let stage = Self {
            agent,
            workstation,
            runtime,
        };
        stage.define(&component("localhost/hello:v1"));
        stage.workstation.mcp(&["deploy", "hello"]).ok();
        stage
    }

    fn define(&self, component: &Component) {
        let text = definition("hello", "rift", std::slice::from_ref(component));
        self.workstation.define("hello", &text);
    }

    fn id(&self) -> String {
        let found = self.agent.podman().inspect("hello-web");
        let found = found.expect("it is there");
        found["Id"].as_str().expect("an id is a string").to_owned()
    }

    fn status(&self) -> Option<String> {
        self.agent.podman().status("hello-web")
    }

    /// Has the agent killed where the OCI runtime hangs, and starts it again. How the operation ends.
    fn kill_where_it_hangs(
        &mut self,
        side: Side,
        verb: &str,
        id: &str,
        command: &[&str],
    ) -> String {
        self.runtime.hold(side, verb, id);
        let mut ask = self.workstation.command();
        let ask = ask
            .args(command)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut client = ask.spawn().expect("the client starts");
        self.runtime.wait();
        self.agent.kill();
        // Whoever asked has left: the operation goes on without him (S18).
        client.kill().expect("it is ours");
        client.wait().expect("a child can be waited for");
        self.agent.start();
        until(&format!("{command:?}, killed {side:?} {verb}"), || {
            let last = "SELECT state FROM operations ORDER BY seq DESC LIMIT 1";
            let state = self.agent.rows(last).remove(0);
            (!["accepted", "running"].contains(&state.as_str())).then_some(state)
        })
    }
}

fn component(image: &str) -> Component {
    Component::new("web", image).line("network = \"none\"")
}

#[test]
fn a_container_whose_start_or_stop_was_cut_off_half_way_runs_in_the_end() {
    let mut stage = Stage::set();
    let id = stage.id();
    for (side, verb, command) in [
        (Side::After, "start", ["restart", "hello"]),
        (Side::Before, "kill", ["restart", "hello"]),
        (Side::After, "start", ["start", "hello"]),
    ] {
        if command[0] == "start" {
            stage.workstation.mcp(&["stop", "hello"]).ok();
        }
        let outcome = stage.kill_where_it_hangs(side, verb, &id, &command);
        assert_eq!(outcome, "succeeded", "{command:?}, killed {side:?} {verb}");
        assert_eq!(stage.status().as_deref(), Some("running"));
        assert_eq!(stage.id(), id);
    }

    stage.define(&component("localhost/hello:v2"));
    let outcome = stage.kill_where_it_hangs(Side::After, "start", "", &["deploy", "hello"]);
    assert_eq!(outcome, "succeeded");
    assert_eq!(stage.status().as_deref(), Some("running"));
    assert_ne!(stage.id(), id);
    assert_eq!(stage.agent.podman().names(), ["hello-web"]);
    stage.agent.podman().until_no_runaways();
}

#[test]
fn an_old_container_whose_start_was_cut_off_half_way_is_put_back_and_runs() {
    let mut stage = Stage::set();
    let id = stage.id();
    stage.define(&component("localhost/hello:v2").line("cmd = [\"--fail\", \"3\"]"));
    let outcome = stage.kill_where_it_hangs(Side::After, "start", &id, &["deploy", "hello"]);
    assert_eq!(outcome, "failed");
    let error = stage
        .agent
        .rows("SELECT error FROM operation_steps ORDER BY rowid DESC LIMIT 1");
    assert!(
        error[0].ends_with("the old container was put back"),
        "{error:?}"
    );
    assert_eq!(stage.status().as_deref(), Some("running"));
    assert_eq!(stage.id(), id);
    assert_eq!(stage.agent.podman().names(), ["hello-web"]);
    stage.agent.podman().until_no_runaways();
}

#[test]
fn no_process_outlives_its_container_where_a_stop_was_cut_off_half_way() {
    let mut stage = Stage::set();
    let id = stage.id();
    stage.define(&component("localhost/hello:v2"));
    let outcome = stage.kill_where_it_hangs(Side::Before, "kill", &id, &["deploy", "hello"]);
    assert_eq!(outcome, "succeeded");
    stage.agent.podman().until_no_runaways();

    let id = stage.id();
    std::fs::remove_file(stage.workstation.definition("hello")).expect("a folder of ours");
    let prune = ["sync", "--prune", "--yes"];
    let outcome = stage.kill_where_it_hangs(Side::Before, "kill", &id, &prune);
    assert_eq!(outcome, "succeeded");
    assert_eq!(stage.agent.podman().names(), Vec::<String>::new());
    stage.agent.podman().until_no_runaways();
}
