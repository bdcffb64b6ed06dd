//! S52: which node a command goes to. The rules are unit-tested; here is that they are used.

use crate::double::Script;
use crate::fixtures::{component, done, service};
use crate::world::World;

fn knows(name: &str) -> Script {
    Script {
        services: vec![service(name, [component(name, "running", "running")])],
        results: vec![done(name, "running")],
        ..Default::default()
    }
}

fn knows_nothing() -> Script {
    Script {
        results: vec![done("hello", "running")],
        ..Default::default()
    }
}

#[tokio::test]
async fn the_flag_wins_over_the_file_and_the_file_over_everything_else() {
    let world = World::new();
    let rift = world.node("rift", knows_nothing()).await;
    let vade = world.node("vade", knows("hello")).await;
    world.define("hello", "rift");
    world.mcp(&["deploy", "hello"]).await.expect(0);
    assert_eq!((rift.mutations().len(), vade.mutations().len()), (1, 0));
    let run = world
        .mcp(&["deploy", "hello", "--node", "vade"])
        .await
        .expect(0);
    assert_eq!((rift.mutations().len(), vade.mutations().len()), (1, 1));
    assert!(run.stderr.contains("names rift"), "{}", run.stderr);
}

#[tokio::test]
async fn without_a_file_the_only_node_that_knows_the_service_is_taken() {
    let world = World::new();
    let rift = world.node("rift", knows("other")).await;
    let vade = world.node("vade", knows("hello")).await;
    world.mcp(&["restart", "hello"]).await.expect(0);
    assert_eq!((rift.mutations().len(), vade.mutations().len()), (0, 1));
}

#[tokio::test]
async fn a_service_that_two_nodes_know_needs_the_flag() {
    let world = World::new();
    let rift = world.node("rift", knows("hello")).await;
    let vade = world.node("vade", knows("hello")).await;
    let run = world.mcp(&["stop", "hello"]).await.expect(2);
    assert!(run.stderr.contains("rift, vade"), "{}", run.stderr);
    assert!(rift.mutations().is_empty() && vade.mutations().is_empty());
}

#[tokio::test]
async fn nothing_is_guessed_while_a_node_is_silent() {
    let world = World::new();
    let rift = world.node("rift", knows("hello")).await;
    world.dead_node("vade").await;
    let run = world.mcp(&["restart", "hello"]).await.expect(1);
    assert!(run.stderr.contains("no answer from vade"), "{}", run.stderr);
    assert!(rift.mutations().is_empty());
    world
        .mcp(&["restart", "hello", "--node", "rift"])
        .await
        .expect(0);
}

#[tokio::test]
async fn a_nodes_own_token_goes_to_no_other_node() {
    let world = World::new();
    let rift = world.node("rift", knows("hello")).await;
    let vade = world.node("vade", knows("other")).await;
    world.mcp(&["list"]).await.expect(0);
    assert_eq!(rift.tokens(), ["Bearer token-of-rift"]);
    assert_eq!(vade.tokens(), ["Bearer token-of-vade"]);
}

#[tokio::test]
async fn the_token_of_the_environment_wins() {
    let mut world = World::new();
    let rift = world.node("rift", knows("hello")).await;
    world
        .env
        .push(("MCP_TOKEN", " from-the-environment\n".into()));
    world.mcp(&["list"]).await.expect(1);
    assert_eq!(rift.tokens(), ["Bearer from-the-environment"]);
}
