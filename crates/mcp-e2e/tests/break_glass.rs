//! Break-glass (S41): the identity service is down, and an operator on the node goes on.

use std::time::Duration;

use mcp_e2e::{Agent, AgentOptions, Component, Workstation, definition};
use mcp_identity::Token;
use mcp_identity::double::IdentityService;

#[test]
fn a_component_is_restarted_through_the_socket_while_the_identity_service_is_down() {
    let identity = IdentityService::start();
    let token = |name| identity.issue(name, &["admin"], Duration::from_hours(1));
    let (ann, bob) = (token("ann"), token("bob"));
    let options = AgentOptions::default()
        .set("auth", "provider", "mcias")
        .set("mcias", "server_url", identity.url())
        .set("mcias", "ca_cert", identity.ca_cert().to_string_lossy());
    let agent = Agent::running("rift", options);
    let workstation = Workstation::of(&[&agent]);
    workstation.define(
        "hello",
        &definition(
            "hello",
            "rift",
            &[Component::new("web", "localhost/hello:v1")],
        ),
    );
    let with = |token: &Token, args: &[&str]| {
        let mut command = workstation.command();
        command.env("MCP_TOKEN", token.secret()).args(args);
        mcp_e2e::Reply::of(&mut command)
    };
    with(&ann, &["deploy", "hello"]).ok();
    let pid = || agent.podman().inspect("hello-web").expect("it is there")["State"]["Pid"].clone();
    let before = pid();

    identity.down();
    // A token that was not looked at lately is worth nothing now, and nothing is done for it.
    let refused = with(&bob, &["restart", "hello"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("cannot answer now"), "{refused:?}");
    assert_eq!(pid(), before);

    // On the node: no configuration, no token.
    let operator = Workstation::new();
    let socket = agent.dir().join("run/agent.sock");
    let socket = socket.to_string_lossy();
    operator
        .mcp(&["--socket", &socket, "restart", "hello"])
        .ok();
    assert_ne!(pid(), before, "it runs anew");
    let status = operator.json(&["--socket", &socket, "status"]);
    assert!(status.to_string().contains("\"running\""), "{status}");
    let who = agent.rows("SELECT caller FROM audit ORDER BY id DESC LIMIT 1");
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(who, [format!("local:uid:{uid}")]);
}
