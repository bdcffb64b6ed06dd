//! Replacement on real podman: what ran before is there again when the new one does not come up.

use std::net::TcpListener;

use mcp_e2e::{
    Agent, AgentOptions, Component, Workstation, definition, free_port, http_get, until,
};
use serde_json::Value;

struct Stage {
    agent: Agent,
    workstation: Workstation,
    port: u16,
}

impl Stage {
    fn deployed() -> Self {
        let agent = Agent::running("rift", AgentOptions::default());
        let workstation = Workstation::of(&[&agent]);
        let stage = Self {
            agent,
            workstation,
            port: free_port(),
        };
        stage.define(Component::new("web", "localhost/hello:v1").port(stage.port));
        stage.workstation.mcp(&["deploy", "hello"]).ok();
        stage
    }

    fn define(&self, web: Component) {
        self.workstation
            .define("hello", &definition("hello", "rift", &[web]));
    }

    fn id(&self) -> Value {
        self.agent
            .podman()
            .inspect("hello-web")
            .expect("it is there")["Id"]
            .clone()
    }

    /// The deploy fails and says `why`; the container of before runs under its name, alone.
    #[track_caller]
    fn deploy_fails(&self, why: &str) {
        let before = self.id();
        let reply = self.workstation.mcp(&["deploy", "hello"]);
        assert_eq!(reply.code, Some(1), "{reply:?}");
        assert!(reply.stderr.contains(why), "no {why:?} in {}", reply.stderr);
        assert_eq!(self.id(), before);
        assert_eq!(self.agent.podman().names(), ["hello-web"]);
        assert_eq!(
            self.agent.podman().status("hello-web").as_deref(),
            Some("running")
        );
        until("the old one answers", || http_get(self.port, "/"));
    }
}

#[test]
fn the_old_container_is_back_when_the_new_one_dies_at_once() {
    let stage = Stage::deployed();
    let web = Component::new("web", "localhost/hello:v2").port(stage.port);
    stage.define(web.line("cmd = [\"--fail\", \"3\"]"));
    stage.deploy_fails("3");
}

#[test]
fn the_old_container_is_back_when_the_new_ones_port_is_taken() {
    let stage = Stage::deployed();
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a port");
    let port = taken.local_addr().expect("it is bound").port();
    stage.define(Component::new("web", "localhost/hello:v2").port(port));
    stage.deploy_fails("address already in use");
}

#[test]
fn the_old_container_is_back_when_the_new_one_cannot_be_started() {
    let stage = Stage::deployed();
    let web = Component::new("web", "localhost/hello:v2").port(stage.port);
    stage.define(web.line("user = \"nobody-of-this-name\""));
    stage.deploy_fails("nobody-of-this-name");
}

#[test]
fn a_first_container_that_cannot_be_started_is_named_with_the_cause() {
    let stage = Stage::deployed();
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a port");
    let port = taken.local_addr().expect("it is bound").port();
    for (name, component, cause) in [
        (
            "port",
            Component::new("web", "localhost/hello:v1").port(port),
            "address already in use",
        ),
        (
            "image",
            Component::new("web", "localhost/none:v1"),
            "localhost/none:v1",
        ),
        (
            "start",
            Component::new("web", "localhost/hello:v1").line("user = \"nobody-of-this-name\""),
            "nobody-of-this-name",
        ),
    ] {
        stage
            .workstation
            .define(name, &definition(name, "rift", &[component]));
        let said = stage.workstation.mcp(&["deploy", name]).refused(1);
        assert!(said.contains(cause), "{name}: {said}");
        assert_ne!(
            stage
                .agent
                .podman()
                .status(&format!("{name}-web"))
                .as_deref(),
            Some("running")
        );
    }
    assert_eq!(
        stage.agent.podman().status("hello-web").as_deref(),
        Some("running")
    );
}

#[test]
fn a_spec_that_did_not_come_up_is_not_what_start_brings_back() {
    let stage = Stage::deployed();
    let web = Component::new("web", "localhost/hello:v2").port(stage.port);
    stage.define(web.line("cmd = [\"--fail\", \"3\"]"));
    stage.deploy_fails("3");
    stage.agent.podman().run(&["rm", "--force", "hello-web"]);
    stage.workstation.mcp(&["start", "hello"]).ok();
    let (_, body) = until("it answers", || http_get(stage.port, "/"));
    assert!(body.starts_with("hello from v1 on "), "{body}");
}

#[test]
fn deploy_replaces_even_what_did_not_change_and_says_so() {
    let stage = Stage::deployed();
    let before = stage.id();
    let report = stage.workstation.json(&["deploy", "hello"]);
    assert_eq!(report["results"][0]["unchanged"], true, "{report}");
    assert_ne!(stage.id(), before);
    assert_eq!(stage.agent.podman().names(), ["hello-web"]);
}

#[test]
fn a_dry_run_prints_the_commands_and_runs_none() {
    let stage = Stage::deployed();
    let before = stage.id();
    stage.define(Component::new("web", "localhost/hello:v2").port(stage.port));
    let said = stage
        .workstation
        .mcp(&["deploy", "hello", "--dry-run"])
        .ok();
    assert!(
        said.contains("podman") && said.contains("localhost/hello:v2"),
        "{said}"
    );
    assert!(said.contains("--root="), "not what would run here: {said}");
    assert_eq!(stage.id(), before);
    assert_eq!(
        stage.agent.rows("SELECT image FROM components"),
        ["localhost/hello:v1"]
    );
}
