//! What is wrong with a connection is told as it is.

use tokio::io::AsyncWriteExt;
use tonic::Code;

use crate::double::{Double, Script};
use crate::snapshot;
use crate::world::{World, token};

#[tokio::test]
async fn an_agent_that_is_down_is_named() {
    let world = World::new();
    world.dead_node("rift").await;
    let run = world.mcp(&["list", "--output", "json"]).await.expect(1);
    snapshot!("agent_down", world, run.stderr);
    assert_eq!(run.json()["nodes"][0]["services"], serde_json::json!([]));
    assert!(
        run.json()["nodes"][0]["error"]
            .as_str()
            .unwrap()
            .contains("nothing listens")
    );
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_and_gets_no_token() {
    let world = World::new();
    let double = Double::start(
        &world.folder("rift"),
        &["127.0.0.1"],
        &token("rift"),
        Script::default(),
    )
    .await;
    let other = world.folder("other");
    Double::start(&other, &["127.0.0.1"], "unused", Script::default()).await;
    world.configure(
        "rift",
        double.port,
        &token("rift"),
        &other.join("ca.pem"),
        "",
    );
    let run = world.mcp(&["list"]).await.expect(1);
    snapshot!("wrong_ca", world, run.stderr);
    assert!(double.tokens().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_gets_no_token() {
    let world = World::new();
    let folder = world.folder("rift");
    let double = Double::start(
        &folder,
        &["rift.internal"],
        &token("rift"),
        Script::default(),
    )
    .await;
    world.configure(
        "rift",
        double.port,
        &token("rift"),
        &folder.join("ca.pem"),
        "",
    );
    let run = world.mcp(&["list"]).await.expect(1);
    snapshot!("wrong_name", world, run.stderr);
    assert!(double.tokens().is_empty());
}

#[tokio::test]
async fn a_port_without_tls_is_named() {
    let world = World::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let folder = world.folder("rift");
    Double::start(&folder, &["127.0.0.1"], "unused", Script::default()).await;
    world.configure("rift", port, &token("rift"), &folder.join("ca.pem"), "");
    let run = world.mcp(&["list"]).await.expect(1);
    snapshot!("plaintext", world, run.stderr);
}

#[tokio::test]
async fn without_a_token_it_is_said_where_to_get_one() {
    let world = World::new();
    let double = world.node("rift", Script::default()).await;
    std::fs::remove_file(world.folder("rift").join("token")).unwrap();
    let run = world.mcp(&["list"]).await.expect(1);
    snapshot!("no_token", world, run.stderr);
    assert!(double.tokens().is_empty());
}

#[tokio::test]
async fn a_refused_token_is_told_from_a_missing_role() {
    let mut world = World::new();
    let double = world.node("rift", Script::default()).await;
    double
        .script()
        .refusals
        .insert("list", (Code::PermissionDenied, "needs the admin role"));
    let run = world.mcp(&["list"]).await.expect(1);
    snapshot!("not_admin", world, run.stderr);
    world.env.push(("MCP_TOKEN", "wrong".into()));
    let run = world.mcp(&["list"]).await.expect(1);
    // Bringing another token here would not help: this one wins.
    snapshot!("wrong_token", world, run.stderr);
    assert!(!run.stderr.contains("Bearer") && !run.stderr.contains("wrong\n"));
}

#[tokio::test]
async fn a_refusal_names_what_was_asked_for_and_where_a_new_token_comes_from() {
    let world = World::new();
    let double = world.node("rift", Script::default()).await;
    double
        .script()
        .refusals
        .insert("list", (Code::Unauthenticated, "the token expired"));
    world.define("hello", "rift");
    for command in ["deploy", "start", "restart"] {
        let run = world.mcp(&[command, "hello"]).await.expect(1);
        let tried = format!("cannot {command} hello: rift");
        // `token issue` does not go without a subject.
        for words in [tried.as_str(), "token issue --subject YOUR-NAME --bundle -"] {
            assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
        }
    }
}

#[tokio::test]
async fn every_refusal_of_an_agent_says_what_to_do() {
    for (code, words) in [
        (Code::Unavailable, "try again"),
        (Code::Unimplemented, "upgrade the agent"),
        (Code::DeadlineExceeded, "--timeout"),
        (Code::Aborted, "another operation"),
        (Code::Internal, "journalctl"),
        (Code::FailedPrecondition, "its own words"),
        (Code::InvalidArgument, "its own words"),
    ] {
        let world = World::new();
        let double = world.node("rift", Script::default()).await;
        double
            .script()
            .refusals
            .insert("list", (code, "its own words"));
        let run = world.mcp(&["list"]).await.expect(1);
        assert!(
            run.stderr.contains(words) && run.stderr.contains("its own words"),
            "{code:?} {}",
            run.stderr
        );
    }
}

#[tokio::test]
async fn an_agent_that_is_too_old_is_asked_for_no_change() {
    let world = World::new();
    let double = world
        .node(
            "rift",
            Script {
                level: Some("0"),
                ..Default::default()
            },
        )
        .await;
    world.define("hello", "rift");
    for args in [
        &["deploy", "hello"] as &[&str],
        &["stop", "hello"],
        &["start", "hello"],
        &["restart", "hello"],
        &["sync"],
    ] {
        let run = world.mcp(args).await.expect(1);
        assert!(
            run.stderr.contains("too old") && run.stderr.contains("upgrade the agent"),
            "{args:?} {}",
            run.stderr
        );
    }
    assert!(double.mutations().is_empty());
    world.mcp(&["list"]).await.expect(0);
}

#[tokio::test]
async fn where_no_node_is_configured_the_next_step_is_told() {
    let world = World::new();
    for args in [&["status"] as &[&str], &["deploy", "hello"], &["sync"]] {
        let run = world.mcp(args).await.expect(1);
        assert!(
            run.stderr.contains("mcp node add"),
            "{args:?} {}",
            run.stderr
        );
    }
}
