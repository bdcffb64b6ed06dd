//! P3.5: status.

use mcp_proto::v1::{
    DriftInfo, EventInfo, ForeignContainer, GetServiceStatusResponse, SourceHealth,
};
use tonic::Code;

use crate::double::{Call, Script};
use crate::fixtures::{at, component, service};
use crate::snapshot;
use crate::world::World;

fn healthy() -> GetServiceStatusResponse {
    let mut web = component("web", "running", "running");
    web.since = Some(at(0));
    GetServiceStatusResponse {
        services: vec![service("hello", [web])],
        observed_at: Some(at(3_597)),
        answered_at: Some(at(3_600)),
        ..Default::default()
    }
}

/// What auto-reconcile does about it.
fn mended() -> GetServiceStatusResponse {
    let mut status = drifted();
    status.auto_reconcile = true;
    status.drift[0].next_attempt = Some(at(3_604));
    let mut gone = status.drift[0].clone();
    "job".clone_into(&mut gone.component);
    gone.next_attempt = None;
    gone.gave_up = true;
    status.drift.push(gone);
    status
}

fn drifted() -> GetServiceStatusResponse {
    let mut status = healthy();
    let mut api = component("api", "running", "exited");
    api.since = Some(at(3_590));
    status.services[0].components.push(api);
    status.drift = vec![
        DriftInfo {
            service: "hello".to_owned(),
            component: "api".to_owned(),
            desired_state: "running".to_owned(),
            observed_state: "exited".to_owned(),
            kind: "state".to_owned(),
            since: Some(at(3_590)),
            cause: "137: killed (SIGKILL), out of memory at 256 MiB".to_owned(),
            exit_code: Some(137),
            incident_id: "i1".to_owned(),
            ..Default::default()
        },
        DriftInfo {
            service: "hello".to_owned(),
            component: "web".to_owned(),
            desired_state: "running".to_owned(),
            observed_state: "running".to_owned(),
            kind: "spec".to_owned(),
            since: Some(at(3_000)),
            ..Default::default()
        },
    ];
    status.recent_events = vec![EventInfo {
        service: "hello".to_owned(),
        component: "api".to_owned(),
        prev_state: "running".to_owned(),
        new_state: "exited".to_owned(),
        timestamp: Some(at(3_590)),
        exit_code: Some(137),
        cause: "137: killed (SIGKILL)".to_owned(),
        id: 7,
        ..Default::default()
    }];
    status.foreign = vec![ForeignContainer {
        name: "somebodys-db".to_owned(),
        image: "docker.io/library/postgres:16".to_owned(),
        desired_state: "ignore".to_owned(),
        observed_state: "running".to_owned(),
        ..Default::default()
    }];
    status
}

fn script(status: GetServiceStatusResponse) -> Script {
    Script {
        status,
        ..Default::default()
    }
}

#[tokio::test]
async fn drift_stands_out_with_since_when_and_why() {
    let world = World::new();
    world.node("rift", script(drifted())).await;
    let run = world.mcp(&["status"]).await.expect(0);
    snapshot!("status_drift", world, run.stdout);
    world.mcp(&["status", "--exit-code"]).await.expect(3);
    let json = world
        .mcp(&["status", "--output", "json"])
        .await
        .expect(0)
        .json();
    assert_eq!(json["drift"], true);
    assert_eq!(
        json["nodes"][0]["drift"][0]["since"],
        "2026-11-18T12:06:30Z"
    );
    assert_eq!(json["nodes"][0]["age_seconds"], 3.0);
}

#[tokio::test]
async fn without_drift_it_says_so() {
    let world = World::new();
    world.node("rift", script(healthy())).await;
    let run = world.mcp(&["status", "--exit-code"]).await.expect(0);
    assert!(run.stdout.contains("No drift."), "{}", run.stdout);
}

#[tokio::test]
async fn what_stands_about_the_node_is_told_before_its_components() {
    let world = World::new();
    let mut status = healthy();
    status.incidents.push(mcp_proto::v1::IncidentInfo {
        id: "node.reboot.1".to_owned(),
        kind: "reboot".to_owned(),
        cause: "the node was rebooted and 1 component did not come back: shop/\u{1b}web".to_owned(),
        ..Default::default()
    });
    world.node("rift", script(status)).await;
    let run = world.mcp(&["status"]).await.expect(0);
    let told = run.stdout.find("did not come back: shop/\\u{1b}web");
    let table = run.stdout.find("DESIRED");
    assert!(told.is_some() && told < table, "{}", run.stdout);
    let json = world.mcp(&["status", "--output", "json"]).await.expect(0);
    assert!(json.stdout.contains("node.reboot.1"), "{}", json.stdout);
}

#[tokio::test]
async fn what_flaps_is_told_even_while_it_is_as_wanted() {
    let world = World::new();
    let mut status = healthy();
    status.flapping.push(mcp_proto::v1::FlappingInfo {
        service: "hello".to_owned(),
        component: "web".to_owned(),
        cause: "changed state 5 times within 600 s".to_owned(),
        ..Default::default()
    });
    world.node("rift", script(status)).await;
    let run = world.mcp(&["status"]).await.expect(0);
    assert!(
        run.stdout.contains("FLAPPING: 1 component"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("changed state 5 times"),
        "{}",
        run.stdout
    );
}

#[tokio::test]
async fn what_may_still_settle_is_no_drift_and_is_not_called_fine() {
    let verdict = async |change: fn(&mut mcp_proto::v1::ComponentInfo)| {
        let world = World::new();
        let mut status = healthy();
        let web = &mut status.services[0].components[0];
        web.observed_state = "exited".to_owned();
        change(web);
        world.node("rift", script(status)).await;
        world.mcp(&["status"]).await.expect(0).stdout
    };
    let text = verdict(|_| {}).await;
    assert!(
        text.contains("No drift yet") && text.contains("settle: hello/web"),
        "{text}"
    );
    for change in [
        (|web| web.desired_state = "stopped".to_owned()) as fn(&mut mcp_proto::v1::ComponentInfo),
        |web| web.operation_id = "op1".to_owned(),
        |web| web.orphaned = true,
    ] {
        let text = verdict(change).await;
        assert!(text.contains("No drift."), "{text}");
    }
}

#[tokio::test]
async fn what_is_unknown_is_told_with_the_reason_and_is_never_fine() {
    let world = World::new();
    let mut status = healthy();
    let mut lost = component("lost", "running", "unknown");
    lost.detail = "inspect timed out".to_owned();
    status.services[0].components.push(lost);
    status.observation_error = "podman did not answer within 30 s".to_owned();
    status.sources = vec![
        SourceHealth {
            name: "pidfd".to_owned(),
            healthy: true,
            last_seen: Some(at(3_599)),
            ..Default::default()
        },
        SourceHealth {
            name: "podman-events".to_owned(),
            healthy: false,
            last_seen: Some(at(3_000)),
            detail: "the stream ended".to_owned(),
        },
    ];
    world.node("rift", script(status)).await;
    let run = world.mcp(&["status", "--exit-code"]).await.expect(1);
    snapshot!("status_unknown", world, run.stdout);
    assert!(!run.stdout.contains("No drift."));
}

#[tokio::test]
async fn status_reads_the_cache_unless_it_is_to_be_live() {
    let world = World::new();
    let double = world.node("rift", script(healthy())).await;
    world.mcp(&["status"]).await.expect(0);
    world.mcp(&["status", "hello", "--live"]).await.expect(0);
    let calls = double.calls();
    let [Call::Status(cached), Call::Status(live)] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    assert_eq!((cached.cached, cached.name.as_str()), (true, ""));
    assert_eq!((live.cached, live.name.as_str()), (false, "hello"));
}

#[tokio::test]
async fn a_service_is_looked_for_on_all_nodes_and_missed_only_if_all_answered() {
    let world = World::new();
    world.node("rift", script(healthy())).await;
    let vade = world
        .node("vade", script(GetServiceStatusResponse::default()))
        .await;
    vade.script()
        .refusals
        .insert("status", (Code::NotFound, "no such service"));
    let run = world.mcp(&["status", "hello"]).await.expect(0);
    assert!(
        run.stdout.contains("web") && !run.stdout.contains("vade"),
        "{}",
        run.stdout
    );
    let run = world
        .mcp(&["status", "hello", "--node", "vade"])
        .await
        .expect(1);
    assert!(
        run.stderr.contains("no node knows service hello"),
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn colours_appear_only_on_a_terminal() {
    let world = World::new();
    world.node("rift", script(drifted())).await;
    for args in [
        &["status"] as &[&str],
        &["status", "--no-color"],
        &["list"],
        &["ps"],
    ] {
        let run = world.mcp(args).await.expect(0);
        assert!(!run.all().contains('\u{1b}'), "{args:?}");
    }
}

#[tokio::test]
async fn what_auto_reconcile_will_do_about_drift_is_shown_with_it() {
    let world = World::new();
    let status = mended();
    let script = Script {
        status,
        ..Script::default()
    };
    world.node("rift", script).await;
    let run = world.mcp(&["status"]).await.expect(0);
    snapshot!("status_mending", world, run.stdout);
    let run = world.mcp(&["status", "--output", "json"]).await.expect(0);
    let node = &run.json()["nodes"][0];
    assert_eq!(node["auto_reconcile"], true);
    assert_eq!(node["drift"][2]["gave_up"], true);
}
