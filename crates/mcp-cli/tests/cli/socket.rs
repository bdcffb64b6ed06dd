//! Break-glass (S41): every command through the socket of this machine's agent.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use mcp_proto::v1::WhyResponse;
use tonic::Code;

use crate::double::{Call, Double, Script};
use crate::fixtures::{component, done, service};
use crate::world::World;

/// Every command that speaks to an agent, as it is called here. The others say that they do not.
const COMMANDS: &[(&str, &[&str])] = &[
    ("sync", &["sync"]),
    ("deploy", &["deploy", "hello"]),
    ("start", &["start", "hello"]),
    ("stop", &["stop", "hello"]),
    ("restart", &["restart", "hello"]),
    ("wait", &["wait", "hello"]),
    ("status", &["status"]),
    ("why", &["why", "hello/hello"]),
    ("ps", &["ps"]),
    ("list", &["list"]),
];

const SPEAK_TO_NO_AGENT: &[(&str, &[&str])] = &[
    ("login", &["login"]),
    ("node", &["node", "list"]),
    ("completion", &["completion", "bash"]),
];

fn script() -> Script {
    Script {
        services: vec![service("hello", [component("hello", "running", "running")])],
        results: vec![done("hello", "running")],
        why: WhyResponse {
            component: Some(component("hello", "running", "running")),
            ..Default::default()
        },
        node: Some("rift"),
        ..Default::default()
    }
}

fn path(world: &World) -> PathBuf {
    world.home().join("agent.sock")
}

/// Runs a command through the socket.
async fn run(world: &World, args: &[&str]) -> crate::world::Run {
    let path = path(world).display().to_string();
    let mut all = vec!["--socket", &path];
    all.extend(args);
    world.mcp(&all).await
}

#[tokio::test]
async fn every_command_of_the_help_is_tried_through_the_socket() {
    let world = World::new();
    let help = world.mcp(&["--help"]).await.expect(0).stdout;
    let tasks = help.split("Options:").next().unwrap();
    let mut shown: Vec<&str> = tasks
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .collect();
    let mut tried: Vec<&str> = COMMANDS
        .iter()
        .chain(SPEAK_TO_NO_AGENT)
        .map(|c| c.0)
        .collect();
    shown.sort_unstable();
    tried.sort_unstable();
    assert_eq!(shown, tried);
}

#[tokio::test]
async fn every_command_works_through_the_socket_without_a_token_and_a_configured_node() {
    for (name, args) in COMMANDS {
        let mut world = World::new();
        // Not even one that is there is sent.
        world.env.push(("MCP_TOKEN", "canary".into()));
        world.define("hello", "rift");
        let double = Double::on_socket(&path(&world), script());
        if *name == "stop" {
            double.script().results = vec![done("hello", "stopped")];
        }
        let reply = run(&world, args).await.expect(0);
        assert!(!double.calls().is_empty(), "{name}: {}", reply.all());
        assert!(double.tokens().iter().all(String::is_empty), "{name}");
        assert!(!world.config().exists(), "{name}");
    }
}

#[tokio::test]
async fn commands_that_speak_to_no_agent_say_so() {
    let world = World::new();
    for (name, args) in SPEAK_TO_NO_AGENT {
        let reply = run(&world, args).await.expect(2);
        assert!(
            reply.stderr.contains("speaks to no agent"),
            "{name}: {}",
            reply.all()
        );
    }
}

#[tokio::test]
async fn a_sync_through_the_socket_sends_what_is_defined_for_this_node_and_no_other() {
    let world = World::new();
    world.define("here", "rift");
    world.define("there", "vade");
    // A configured node is not spoken to.
    let vade = world.node("vade", Script::default()).await;
    let double = Double::on_socket(&path(&world), script());
    run(&world, &["sync"]).await.expect(0);
    run(&world, &["sync", "--node", "vade"]).await.expect(0);
    let sent: Vec<Vec<String>> = double
        .mutations()
        .into_iter()
        .map(|call| match call {
            Call::Sync(request) => request.services.into_iter().map(|s| s.name).collect(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sent, [["here"], ["there"]]);
    assert!(vade.calls().is_empty());
}

#[tokio::test]
async fn a_definition_for_another_node_is_deployed_here_with_a_warning() {
    let world = World::new();
    world.define("hello", "vade");
    let double = Double::on_socket(&path(&world), script());
    let reply = run(&world, &["deploy", "hello"]).await.expect(0);
    assert_eq!(double.mutations().len(), 1);
    assert!(reply.stderr.contains("names vade"), "{}", reply.stderr);
}

#[tokio::test]
async fn what_is_wrong_with_a_socket_is_said() {
    let world = World::new();
    let list = async || run(&world, &["list"]).await.expect(1).stderr;
    let words = list().await;
    assert!(words.contains("there is none"), "{words}");
    std::fs::write(path(&world), "").unwrap();
    let words = list().await;
    assert!(words.contains("that is not a socket"), "{words}");
    std::fs::remove_file(path(&world)).unwrap();
    // Its agent has died: the socket stays, and nobody listens.
    drop(UnixListener::bind(path(&world)).unwrap());
    let words = list().await;
    assert!(words.contains("nobody listens on it"), "{words}");
    std::fs::remove_file(path(&world)).unwrap();
    let mut refusing = script();
    let status = (Code::PermissionDenied, "uid 7 may not use this socket");
    refusing.refusals.insert("list", status);
    let _double = Double::on_socket(&path(&world), refusing);
    let words = list().await;
    assert!(words.contains("uid 7") && words.contains("sudo"), "{words}");
}

#[tokio::test]
async fn an_agent_that_does_not_say_its_name_needs_the_option() {
    let world = World::new();
    let mut nameless = script();
    nameless.node = None;
    let _double = Double::on_socket(&path(&world), nameless);
    let reply = run(&world, &["list"]).await.expect(1);
    assert!(reply.stderr.contains("--node"), "{}", reply.stderr);
    run(&world, &["list", "--node", "rift"]).await.expect(0);
}
