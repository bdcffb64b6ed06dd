//! Containers that nobody gave to MCP: seen, shown, never touched.

use mcp_e2e::{Agent, AgentOptions, Alerts, Component, Workstation, definition, until};

#[test]
fn a_stranger_that_holds_the_name_is_refused_and_left_alone() {
    let agent = Agent::running("rift", AgentOptions::default());
    let workstation = Workstation::of(&[&agent]);
    agent
        .podman()
        .run(&["run", "--detach", "--name=hello-web", "localhost/hello:v2"]);
    let id = || agent.podman().inspect("hello-web").expect("it is there")["Id"].clone();
    let before = id();

    let web = [Component::new("web", "localhost/hello:v1")];
    workstation.define("hello", &definition("hello", "rift", &web));
    let reply = workstation.mcp(&["deploy", "hello"]);
    assert_eq!(reply.code, Some(1), "{reply:?}");
    assert!(reply.stderr.contains("hello-web"), "{}", reply.stderr);

    for command in ["stop", "start", "restart"] {
        workstation.mcp(&[command, "hello"]);
    }
    assert_eq!(id(), before);
    assert_eq!(
        agent.podman().status("hello-web").as_deref(),
        Some("running")
    );
    assert_eq!(agent.podman().names(), ["hello-web"]);
}

#[test]
fn strangers_are_shown_apart_and_never_alert() {
    let alerts = Alerts::new();
    let agent = Agent::running(
        "rift",
        AgentOptions::default().alert_command(&alerts.command()),
    );
    let workstation = Workstation::of(&[&agent]);
    agent.podman().run(&[
        "run",
        "--detach",
        "--name=Some_Stranger.1",
        "localhost/hello:v2",
    ]);

    let ps = workstation.json(&["ps"]);
    assert_eq!(
        ps["nodes"][0]["foreign"][0]["name"], "Some_Stranger.1",
        "{ps}"
    );
    assert_eq!(ps["nodes"][0]["foreign"][0]["desired"], "ignore", "{ps}");

    agent.podman().run(&["kill", "Some_Stranger.1"]);
    until("the death is seen", || {
        let ps = workstation.json(&["ps"]);
        (ps["nodes"][0]["foreign"][0]["observed"] != "running").then_some(())
    });
    assert_eq!(workstation.mcp(&["status", "--exit-code"]).code, Some(0));
    assert_eq!(alerts.received(), []);
    assert_eq!(agent.rows("SELECT count(*) FROM components"), ["0"]);
}
