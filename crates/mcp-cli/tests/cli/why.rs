//! Why something happens, or does not (S36).

use mcp_proto::v1::{
    DriftInfo, FieldChange, IncidentInfo, OperationInfo, OperationStep, WhyResponse,
};
use tonic::Code;

use crate::double::{Call, Script};
use crate::fixtures::{at, component, service};
use crate::snapshot;
use crate::world::World;

fn operation(id: &str, kind: &str, caller: &str, state: &str) -> OperationInfo {
    OperationInfo {
        id: id.to_owned(),
        kind: kind.to_owned(),
        service: "hello".to_owned(),
        state: state.to_owned(),
        caller: caller.to_owned(),
        created: Some(at(3_580)),
        finished: Some(at(3_585)),
        steps: vec![OperationStep {
            component: "web".to_owned(),
            state: state.to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// It died, was brought back in vain, and waits for the next attempt.
fn backing_off() -> WhyResponse {
    let mut web = component("web", "running", "exited");
    web.since = Some(at(3_590));
    web.exit_code = Some(137);
    web.container_id = "3f2a".repeat(16);
    web.revision = 3;
    let mut last = operation("5e1f00d2", "start", "auto-reconcile", "failed");
    "137: killed (SIGKILL)".clone_into(&mut last.message);
    "started, but did not stay up".clone_into(&mut last.steps[0].error);
    WhyResponse {
        service: "hello".to_owned(),
        component: Some(web),
        restart_policy: "no".to_owned(),
        made_from_revision: 2,
        deployed_revision: 2,
        spec_changes: vec![FieldChange {
            field: "image".to_owned(),
            before: "localhost/web:v1.2.0".to_owned(),
            after: "localhost/web:v1.3.0".to_owned(),
        }],
        seen_at: Some(at(3_597)),
        answered_at: Some(at(3_600)),
        drift: vec![DriftInfo {
            kind: "state".to_owned(),
            since: Some(at(3_590)),
            cause: "137: killed (SIGKILL)".to_owned(),
            ..Default::default()
        }],
        decision: "act".to_owned(),
        actions: vec!["start container 3f2a3f2a3f2a".to_owned()],
        permission: "none".to_owned(),
        permission_reason: "auto-reconcile backs off after attempt 2 of 5".to_owned(),
        next_look: Some(at(3_602)),
        next_attempt: Some(at(3_602)),
        attempts: 2,
        budget: 5,
        intent_by: "ann".to_owned(),
        intent_at: Some(at(0)),
        intent_message: "new greeting".to_owned(),
        last_operation: Some(last),
        incidents: vec![IncidentInfo {
            id: "hello.web.drift.1".to_owned(),
            kind: "drift".to_owned(),
            opened: Some(at(3_590)),
            cause: "137: killed (SIGKILL)\u{1b}[31m".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// An operation is at work, and what is there cannot be seen.
fn in_the_dark() -> WhyResponse {
    let mut web = component("web", "running", "unknown");
    "podman did not answer".clone_into(&mut web.detail);
    let mut open = operation("0123abcd", "deploy", "ann", "running");
    "starting".clone_into(&mut open.steps[0].phase);
    WhyResponse {
        service: "hello".to_owned(),
        component: Some(web),
        restart_policy: "always".to_owned(),
        answered_at: Some(at(3_600)),
        decision: "wait".to_owned(),
        operation: Some(open),
        permission: "operation".to_owned(),
        permission_reason: "operation 0123abcd (deploy) of ann is running".to_owned(),
        next_look: Some(at(3_660)),
        backoff_until: Some(at(3_604)),
        ..Default::default()
    }
}

async fn world(why: WhyResponse) -> (World, crate::double::Double) {
    let world = World::new();
    let script = Script {
        why,
        services: vec![service("hello", [component("web", "running", "running")])],
        ..Script::default()
    };
    let double = world.node("rift", script).await;
    (world, double)
}

#[tokio::test]
async fn one_page_says_what_is_known_what_follows_and_who_may_do_it() {
    let (world, double) = world(backing_off()).await;
    let run = world.mcp(&["why", "hello/web"]).await.expect(0);
    snapshot!("why_backing_off", world, run.stdout);
    let asked = double.calls().into_iter().find_map(|call| match call {
        Call::Why(request) => Some((request.service, request.component)),
        _ => None,
    });
    assert_eq!(asked, Some(("hello".to_owned(), "web".to_owned())));
    assert!(double.mutations().is_empty());
    double.script().why = in_the_dark();
    let run = world.mcp(&["why", "hello"]).await.expect(0);
    snapshot!("why_in_the_dark", world, run.stdout);
}

#[tokio::test]
async fn programs_get_every_part_of_it() {
    let (world, _double) = world(backing_off()).await;
    let run = world.mcp(&["why", "hello", "--output", "json"]).await;
    let json = run.expect(0).json();
    for (pointer, value) in [
        ("/node", "rift"),
        ("/component/observed", "exited"),
        ("/decision", "act"),
        ("/actions/0", "start container 3f2a3f2a3f2a"),
        ("/permission", "none"),
        ("/intent_by", "ann"),
        ("/last_operation/caller", "auto-reconcile"),
        ("/last_operation/error", "started, but did not stay up"),
        ("/incidents/0/kind", "drift"),
    ] {
        assert_eq!(json.pointer(pointer).unwrap(), value, "{pointer}");
    }
    assert_eq!(json["made_from_revision"], 2);
    assert!(json["operation"].is_null());
    assert!(json["next_attempt"].is_string());
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_agents_words() {
    let (world, double) = world(WhyResponse::default()).await;
    let words = "hello/api is not known on this node; service hello has hello/web";
    let refusal = (Code::NotFound, words);
    double.script().refusals.insert("why", refusal);
    let run = world.mcp(&["why", "hello/api"]).await.expect(1);
    assert!(run.stderr.contains(words), "{}", run.stderr);
    assert_eq!(run.stdout, "");
}
