//! P3.5: list and ps.

use mcp_proto::v1::{ForeignContainer, LiveCheckResponse};

use crate::double::{Call, Script};
use crate::fixtures::{at, component, service};
use crate::snapshot;
use crate::world::World;

fn live() -> LiveCheckResponse {
    let mut web = component("web", "running", "running");
    web.started = Some(at(0));
    let mut job = component("job", "stopped", "stopped");
    job.started = Some(at(0));
    LiveCheckResponse {
        services: vec![service("hello", [web, job])],
        foreign: vec![ForeignContainer {
            name: "evil\u{1b}[31m\r\nname\u{202e}".to_owned(),
            image: "docker.io/evil:\u{9b}2J".to_owned(),
            desired_state: "ignore".to_owned(),
            observed_state: "running".to_owned(),
            ..Default::default()
        }],
        foreign_omitted: 3,
        observed_at: Some(at(7_499)),
        answered_at: Some(at(7_500)),
        ..Default::default()
    }
}

#[tokio::test]
async fn list_reads_every_registry_and_asks_no_runtime() {
    let world = World::new();
    let rift = world
        .node(
            "rift",
            Script {
                services: vec![service("hello", [component("web", "running", "exited")])],
                ..Default::default()
            },
        )
        .await;
    let mut orphan = component("old", "stopped", "stopped");
    orphan.orphaned = true;
    let vade = world
        .node(
            "vade",
            Script {
                services: vec![service("mail", [orphan])],
                ..Default::default()
            },
        )
        .await;
    let run = world.mcp(&["list"]).await.expect(0);
    snapshot!("list", world, run.stdout);
    for double in [rift, vade] {
        let calls = double.calls();
        assert!(
            matches!(calls.as_slice(), [Call::Read("list")]),
            "{calls:?}"
        );
    }
    let run = world
        .mcp(&["list", "--node", "vade", "--output", "json"])
        .await
        .expect(0);
    let json = run.json();
    assert_eq!(json["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(
        json["nodes"][0]["services"][0]["components"][0]["orphaned"],
        true
    );
}

#[tokio::test]
async fn ps_shows_uptime_and_version_by_the_agents_clock() {
    let world = World::new();
    world
        .node(
            "rift",
            Script {
                live: live(),
                ..Default::default()
            },
        )
        .await;
    let run = world.mcp(&["ps"]).await.expect(0);
    snapshot!("ps", world, run.stdout);
}

#[tokio::test]
async fn hostile_text_never_reaches_the_terminal_raw() {
    let world = World::new();
    let hostile = "x\u{1b}]0;owned\u{7}\r\u{202e}y";
    let mut bad = component("web", "running", "unknown");
    bad.detail = hostile.to_owned();
    bad.image = hostile.to_owned();
    bad.version = hostile.to_owned();
    let mut status = mcp_proto::v1::GetServiceStatusResponse {
        services: vec![service(hostile, [bad.clone()])],
        observation_error: hostile.to_owned(),
        ..Default::default()
    };
    status.sources.push(mcp_proto::v1::SourceHealth {
        name: hostile.to_owned(),
        detail: hostile.to_owned(),
        ..Default::default()
    });
    status.drift.push(mcp_proto::v1::DriftInfo {
        service: hostile.to_owned(),
        observed_state: hostile.to_owned(),
        cause: hostile.to_owned(),
        ..Default::default()
    });
    status.recent_events.push(mcp_proto::v1::EventInfo {
        component: hostile.to_owned(),
        new_state: hostile.to_owned(),
        cause: hostile.to_owned(),
        ..Default::default()
    });
    let mut failed = crate::fixtures::done("web", hostile);
    failed.success = false;
    failed.error = format!("first\n{hostile}");
    let script = Script {
        services: vec![service(hostile, [bad])],
        status,
        live: live(),
        results: vec![failed],
        warnings: vec![hostile.to_owned()],
        ..Default::default()
    };
    let double = world.node("rift", script).await;
    world.define("hello", "rift");
    for args in [
        &["list"] as &[&str],
        &["ps"],
        &["status"],
        &["deploy", "hello"],
        &["restart", "hello"],
    ] {
        let run = world.mcp(args).await;
        let raw = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!run.all().contains(raw), "{args:?} {:?}", run.all());
        assert!(
            run.all().contains(r"\u{1b}"),
            "{args:?} shows the text, escaped"
        );
    }
    double
        .script()
        .refusals
        .insert("list", (tonic::Code::Internal, "a\u{1b}[2J\nerror: b"));
    let run = world.mcp(&["list"]).await.expect(1);
    assert!(
        !run.stderr.contains('\u{1b}') && !run.stderr.contains("\nerror: b"),
        "{:?}",
        run.stderr
    );
}

#[tokio::test]
async fn a_node_that_is_down_costs_its_own_row_and_the_exit_code() {
    let world = World::new();
    let script = Script {
        services: vec![service("hello", [component("web", "running", "running")])],
        live: live(),
        ..Default::default()
    };
    world.node("rift", script).await;
    world.dead_node("vade").await;
    let run = world.mcp(&["list"]).await.expect(1);
    snapshot!("one_of_two_down", world, run.all());
    for command in ["list", "ps", "status"] {
        let json = world
            .mcp(&[command, "--output", "json"])
            .await
            .expect(1)
            .json();
        let nodes = json["nodes"].as_array().unwrap();
        assert_eq!(
            (nodes[0]["node"].as_str(), nodes[1]["node"].as_str()),
            (Some("rift"), Some("vade"))
        );
        assert!(
            nodes[0]["error"].is_null() && nodes[1]["error"].is_string(),
            "{command} {json}"
        );
    }
}

#[tokio::test]
async fn a_runtime_that_cannot_be_asked_is_told_and_is_no_success() {
    let world = World::new();
    let live = LiveCheckResponse {
        services: vec![service("hello", [component("web", "running", "unknown")])],
        observation_error: "podman did not answer within 30 s".to_owned(),
        ..Default::default()
    };
    world
        .node(
            "rift",
            Script {
                live,
                ..Default::default()
            },
        )
        .await;
    let run = world.mcp(&["ps"]).await.expect(1);
    assert!(
        run.stderr.contains("podman did not answer") && run.stdout.contains("unknown"),
        "{}",
        run.all()
    );
}
