//! Steps: begun, settled, expired, and what an undeploy takes with it.

use std::time::Duration;

use mcp_model::{DesiredState, Instance, OperationState, Progress, Stamp, StepState, StepUpdate};
use mcp_registry::RegistryError;

use crate::support::{
    Node, START, Shorthand, at, deploy, id, key, minutes, outcome, restart, service, service_name,
    stop, undeploy, update,
};

fn instance(pid: u32) -> Instance {
    Instance {
        id: "a".repeat(64).parse().unwrap(),
        pid: Some(pid),
        started_at: Some(Stamp::from_millis(START)),
        restart_count: Some(0),
    }
}

#[test]
fn a_step_begins_with_its_first_call_and_remembers() {
    let mut node = Node::new();
    node.db
        .deployed("op01", &service("a", &[("b", "1"), ("c", "1")]));
    node.db.accepted("op02", stop("a"), at(1));
    let progress = Progress {
        old: Some(instance(41)),
        old_was_running: true,
        took_down: true,
        restoring: None,
        refused: Some(at(3)),
        refusal: Some("address already in use".into()),
    };
    let update = StepUpdate {
        progress: progress.clone(),
        stopping: Some(instance(41)),
        ..update("op02", &key("a/b"))
    };
    node.db.step(&update).unwrap();
    assert_eq!(
        node.states("op02"),
        [StepState::Running, StepState::Waiting]
    );
    let operation = node.db.operation("op02");
    assert_eq!(operation.state, OperationState::Running);
    let held_up = &operation.steps[0].error;
    assert!(held_up.contains("address already in use"), "{held_up}");
    let state = node.reopen().db.load(&key("a/b")).unwrap();
    assert_eq!(state.ticket.unwrap().progress, progress);
    assert_eq!(state.record.unwrap().stopped, Some(instance(41)));
}

#[test]
fn an_end_is_final() {
    let mut node = Node::new();
    node.db
        .accepted("op01", deploy(&service("a", &[("b", "1")])), at(0));
    let settled = outcome("op01", &key("a/b"), StepState::Failed);
    node.db.settle(&settled).unwrap();
    let operation = node.db.operation("op01");
    assert_eq!(
        (operation.state, operation.finished),
        (OperationState::Failed, Some(at(5_000).wall))
    );
    assert_eq!(operation.steps[0].error, "no such image");
    // An answer that was lost is asked for again; nobody's mind is changed.
    node.db.settle(&settled).unwrap();
    for error in [
        node.db
            .settle(&outcome("op01", &key("a/b"), StepState::Succeeded))
            .unwrap_err(),
        node.db.step(&update("op01", &key("a/b"))).unwrap_err(),
        node.db
            .settle(&outcome("none", &key("a/b"), StepState::Succeeded))
            .unwrap_err(),
    ] {
        assert!(
            matches!(error, RegistryError::StepNotOpen { .. }),
            "{error}"
        );
    }
    assert_eq!(node.db.operation("op01"), operation);
}

#[test]
fn a_step_is_never_settled_as_open() {
    let mut node = Node::new();
    node.db
        .accepted("op01", deploy(&service("a", &[("b", "1")])), at(0));
    let error = node
        .db
        .settle(&outcome("op01", &key("a/b"), StepState::Running))
        .unwrap_err();
    assert!(matches!(error, RegistryError::StepNotOpen { .. }));
    assert_eq!(node.states("op01"), [StepState::Waiting]);
}

#[test]
fn what_does_not_begin_in_time_expires_by_the_boot_clock() {
    let mut node = Node::new();
    let wanted = service("a", &[("b", "1"), ("c", "1")]);
    node.db.accepted("op01", deploy(&wanted), minutes(0));
    node.db.step(&update("op01", &key("a/b"))).unwrap();
    node.db.accepted("op02", restart("a"), minutes(5));
    // The wall clock is a year ahead; the boot clock knows better.
    let mut jumped = minutes(9);
    jumped.wall = jumped.wall.plus(Duration::from_hours(365 * 24));
    let before = node.db.total_changes();
    assert!(node.db.expire(&jumped).unwrap().keys.is_empty());
    assert_eq!(node.db.total_changes(), before);

    assert_eq!(node.db.expire(&minutes(10)).unwrap().keys, [key("a/c")]);
    assert_eq!(
        node.states("op01"),
        [StepState::Running, StepState::Expired]
    );
    assert_eq!(
        node.db.expire(&minutes(15)).unwrap().keys,
        [key("a/b"), key("a/c")]
    );
    assert_eq!(node.db.operation("op02").state, OperationState::Expired);
    node.db.done("op01", &key("a/b"), StepState::Succeeded);
    assert_eq!(node.db.operation("op01").state, OperationState::Expired);
}

#[test]
fn an_undeploy_removes_records_and_the_service_with_the_last() {
    let mut node = Node::new();
    node.db
        .deployed("op01", &service("a", &[("b", "1"), ("c", "1")]));
    node.db
        .accepted("op02", deploy(&service("a", &[("c", "1")])), at(1));
    node.db.done("op02", &key("a/c"), StepState::Succeeded);
    assert!(node.record("a/b").orphaned);
    // Orphans are meant too, and stay orphans.
    node.db.accepted("op03", undeploy("a", Some("b")), at(2));
    let active = |node: &Node| {
        let service = node.db.service(&service_name("a")).unwrap();
        service.unwrap().active
    };
    let orphan = node.record("a/b");
    assert_eq!(
        (orphan.desired, orphan.orphaned),
        (DesiredState::Stopped, true)
    );
    assert!(active(&node));
    node.db.accepted("op04", undeploy("a", None), at(3));
    assert!(!active(&node));
    node.db.done("op03", &key("a/b"), StepState::Succeeded);
    assert_eq!(node.db.keys().unwrap(), [key("a/c")]);
    // What waited for the same thing has it.
    assert_eq!(
        node.states("op04"),
        [StepState::Skipped, StepState::Waiting]
    );
    node.db.done("op04", &key("a/c"), StepState::Succeeded);
    assert!(node.db.services().unwrap().is_empty());
    assert_eq!(node.query::<u32>("SELECT COUNT(*) FROM deployed_specs"), 0);
    assert!(node.db.keys().unwrap().is_empty());
    assert_eq!(node.db.operation("op04").state, OperationState::Succeeded);
}

#[test]
fn a_failed_undeploy_keeps_the_record() {
    let mut node = Node::new();
    node.db.deployed("op01", &service("a", &[("b", "1")]));
    node.db.accepted("op02", undeploy("a", None), at(1));
    node.db.done("op02", &key("a/b"), StepState::Failed);
    assert_eq!(node.db.keys().unwrap(), [key("a/b")]);
}

#[test]
fn intent_that_came_during_an_undeploy_keeps_its_record() {
    let mut node = Node::new();
    let wanted = service("a", &[("b", "1")]);
    node.db.deployed("op01", &wanted);
    node.db.accepted("op02", undeploy("a", None), at(1));
    node.db.step(&update("op02", &key("a/b"))).unwrap();
    node.db.accepted("op03", deploy(&wanted), at(2));
    node.db.done("op02", &key("a/b"), StepState::Succeeded);
    let state = node.db.load(&key("a/b")).unwrap();
    assert_eq!(state.record.unwrap().desired, DesiredState::Running);
    assert_eq!(state.ticket.unwrap().operation, id("op03"));
}
