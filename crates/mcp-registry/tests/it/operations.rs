//! Operations: accepted with their intent, pinned, taken in turn.

use std::time::Duration;

use mcp_model::{DesiredState, OperationKind, OperationState, ServiceSpec, StepState};
use mcp_registry::{AcceptError, OperationFilter, RegistryError, Warning};

use crate::support::{
    Node, Shorthand, at, deploy, deploy_only, id, image, key, minutes, request, restart, service,
    service_name, start, stop, sync, undeploy, update,
};

#[test]
fn a_deploy_stores_intent_and_one_ticket_for_each_component() {
    let mut node = Node::new();
    let wanted = service("a", &[("b", "1"), ("c", "2")]);
    let accepted = node.db.accepted("op01", deploy(&wanted), at(0));
    assert!(!accepted.attached && accepted.warnings.is_empty());
    assert_eq!(
        accepted.keys().cloned().collect::<Vec<_>>(),
        [key("a/b"), key("a/c")]
    );

    let state = node.db.load(&key("a/c")).unwrap();
    let ticket = state.ticket.unwrap();
    assert_eq!(
        (ticket.operation, ticket.kind),
        (id("op01"), OperationKind::Deploy)
    );
    assert_eq!(
        (ticket.desired, ticket.revision),
        (DesiredState::Running, 1)
    );
    assert_eq!((ticket.spec, ticket.caller.as_str()), (image("2"), "bob"));
    assert_eq!((ticket.accepted, ticket.state), (at(0), StepState::Waiting));
    let record = state.record.unwrap();
    assert_eq!(
        (record.desired, record.intent_at, record.deployed),
        (DesiredState::Running, at(0), None)
    );

    let operation = node.db.operation("op01");
    assert_eq!(
        (operation.state, operation.message.as_str()),
        (OperationState::Accepted, "because")
    );
    assert_eq!(operation.start_by, minutes(10).wall);
}

#[test]
fn a_repeated_request_attaches_and_changes_nothing() {
    let mut node = Node::new();
    let wanted = service("a", &[("b", "1")]);
    node.db.deployed("op01", &wanted);
    node.db.accepted("op02", deploy(&wanted), at(1));
    node.db.step(&update("op02", &key("a/b"))).unwrap();
    let before = node.dump();
    // Even with another spec: the id says which request it is.
    let accepted = node
        .db
        .accepted("op02", deploy(&service("a", &[("b", "9")])), at(2));
    assert!(accepted.attached);
    assert_eq!(accepted.steps[0].state, StepState::Running);
    assert!(accepted.steps[0].unchanged);
    assert!(node.db.accepted("op01", deploy(&wanted), at(2)).attached);
    assert_eq!(node.dump(), before);
    assert_eq!(node.db.audits(9).unwrap().len(), 2);

    for other in [stop("a"), deploy(&service("z", &[("b", "1")]))] {
        let error = node.db.accept(&request("op01", other, at(3))).unwrap_err();
        assert!(
            matches!(
                error,
                AcceptError::IdTaken {
                    kind: OperationKind::Deploy,
                    ..
                }
            ),
            "{error}"
        );
    }
    assert_eq!(node.dump(), before);
}

#[test]
fn deploying_one_component_touches_only_that_one() {
    let mut node = Node::new();
    node.db
        .deployed("op01", &service("a", &[("b", "1"), ("c", "1"), ("d", "1")]));
    let before = [node.record("a/c"), node.record("a/d")];
    // The definition says more, and names `d` no longer.
    let wanted = service("a", &[("b", "2"), ("c", "2"), ("e", "1")]);
    let accepted = node.db.accepted("op02", deploy_only(&wanted, "b"), at(1));
    assert_eq!(accepted.keys().count(), 1);
    assert_eq!(node.record("a/b").spec, image("2"));
    assert_eq!([node.record("a/c"), node.record("a/d")], before);
    assert_eq!(node.db.keys().unwrap().len(), 3);

    let error = node
        .db
        .accept(&request("op03", deploy_only(&wanted, "nope"), at(1)))
        .unwrap_err();
    assert!(matches!(error, AcceptError::NoComponent(_)));
}

#[test]
fn a_full_deploy_orphans_what_is_no_longer_named_and_takes_it_back() {
    let mut node = Node::new();
    node.db
        .deployed("op01", &service("a", &[("b", "1"), ("c", "1")]));
    let accepted = node
        .db
        .accepted("op02", deploy(&service("a", &[("b", "1")])), at(1));
    assert_eq!(accepted.orphaned, [key("a/c")]);
    let orphan = node.record("a/c");
    assert!(orphan.orphaned);
    // Nobody wants it otherwise than before.
    assert_eq!(
        (orphan.desired, orphan.generation, orphan.intent_at),
        (DesiredState::Running, 1, at(0))
    );

    // Start and stop do not touch it.
    for (operation, what) in [("op03", stop("a")), ("op04", start("a"))] {
        assert_eq!(
            node.db
                .accepted(operation, what, at(2))
                .keys()
                .cloned()
                .collect::<Vec<_>>(),
            [key("a/b")]
        );
    }
    let accepted = node.db.accepted(
        "op05",
        deploy(&service("a", &[("b", "1"), ("c", "1")])),
        at(3),
    );
    assert!(accepted.orphaned.is_empty());
    assert!(!node.record("a/c").orphaned);
}

#[test]
fn deploying_an_inactive_service_runs_it_and_warns() {
    let mut node = Node::new();
    let wanted = ServiceSpec {
        active: false,
        ..service("a", &[("b", "1")])
    };
    node.db
        .sync(&sync(std::slice::from_ref(&wanted), at(0)))
        .unwrap();
    assert_eq!(node.record("a/b").desired, DesiredState::Stopped);
    let accepted = node.db.accepted("op01", deploy(&wanted), at(1));
    assert_eq!(accepted.warnings, [Warning::ServiceWasInactive]);
    assert_eq!(node.record("a/b").desired, DesiredState::Running);
    assert!(node.db.service(&service_name("a")).unwrap().unwrap().active);
    // It was stopped since; the definition does not know.
    node.db.accepted("op02", stop("a"), at(2));
    let active = ServiceSpec {
        active: true,
        ..wanted
    };
    let accepted = node.db.accepted("op03", deploy(&active), at(3));
    assert_eq!(accepted.warnings, [Warning::ServiceWasInactive]);
    let accepted = node.db.accepted("op04", deploy(&active), at(4));
    assert_eq!(accepted.warnings, []);
}

#[test]
fn start_stop_and_restart_are_about_neither_orphans_nor_what_is_ignored() {
    let mut node = Node::new();
    let three = service("a", &[("b", "1"), ("c", "1"), ("d", "1")]);
    node.db.deployed("op01", &three);
    node.db
        .sync(&sync(&[service("a", &[("b", "1"), ("c", "1")])], at(1)))
        .unwrap();
    node.sql()
        .execute_batch("UPDATE components SET desired_state = 'ignore' WHERE name = 'c'")
        .unwrap();
    let before = [node.record("a/c"), node.record("a/d")];
    for (operation, what) in [
        ("op02", restart("a")),
        ("op03", stop("a")),
        ("op04", start("a")),
    ] {
        let accepted = node.db.accepted(operation, what, at(2));
        let keys: Vec<_> = accepted.keys().cloned().collect();
        assert_eq!(keys, [key("a/b")], "{operation}");
        assert_eq!(node.db.operation(operation).steps.len(), 1, "{operation}");
    }
    assert_eq!([node.record("a/c"), node.record("a/d")], before);
}

#[test]
fn unchanged_compares_what_specs_mean_with_what_was_deployed() {
    let mut node = Node::new();
    node.db.deployed("op01", &service("a", &[("b", "1")]));
    let mut explicit = service("a", &[("b", "1")]);
    explicit.components.values_mut().for_each(|spec| {
        spec.network = Some("bridge".parse().unwrap());
        spec.stop_timeout = Some(Duration::from_secs(1));
    });
    assert!(node.db.accepted("op02", deploy(&explicit), at(1)).steps[0].unchanged);
    assert_eq!(node.record("a/b").revision, 2);
    assert!(
        !node
            .db
            .accepted("op03", deploy(&service("a", &[("b", "2")])), at(2))
            .steps[0]
            .unchanged
    );
}

#[test]
fn only_a_deploy_that_succeeded_is_the_deployed_one() {
    let mut node = Node::new();
    node.db.deployed("op01", &service("a", &[("b", "1")]));
    assert_eq!(node.record("a/b").deployed, Some((1, image("1"))));
    node.db
        .accepted("op02", deploy(&service("a", &[("b", "2")])), at(1));
    node.db.done("op02", &key("a/b"), StepState::Failed);
    let record = node.record("a/b");
    assert_eq!(
        (record.deployed, record.revision),
        (Some((1, image("1"))), 2)
    );
    let succeeded =
        "SELECT group_concat(revision) FROM deployed_specs WHERE succeeded_at IS NOT NULL";
    assert_eq!(node.query::<String>(succeeded), "1");

    // What start makes is the one that was known to work.
    node.db.accepted("op03", start("a"), at(2));
    let ticket = node.db.load(&key("a/b")).unwrap().ticket.unwrap();
    assert_eq!((ticket.revision, ticket.spec), (1, image("1")));
}

#[test]
fn start_of_what_was_never_deployed_pins_intent() {
    let mut node = Node::new();
    node.db
        .sync(&sync(&[service("a", &[("b", "5")])], at(0)))
        .unwrap();
    node.db.accepted("op01", start("a"), at(1));
    let ticket = node.db.load(&key("a/b")).unwrap().ticket.unwrap();
    assert_eq!((ticket.revision, ticket.spec), (1, image("5")));
}

#[test]
fn what_an_operation_was_accepted_with_survives_newer_intent() {
    let mut node = Node::new();
    node.db
        .accepted("op01", deploy(&service("a", &[("b", "1")])), at(0));
    node.db.step(&update("op01", &key("a/b"))).unwrap();
    node.db
        .sync(&sync(
            &[ServiceSpec {
                active: false,
                ..service("a", &[("b", "2")])
            }],
            at(1),
        ))
        .unwrap();
    let state = node.reopen().db.load(&key("a/b")).unwrap();
    let (ticket, record) = (state.ticket.unwrap(), state.record.unwrap());
    assert_eq!(
        (ticket.spec, ticket.revision, ticket.desired),
        (image("1"), 1, DesiredState::Running)
    );
    assert_eq!(
        (record.spec, record.revision, record.desired),
        (image("2"), 2, DesiredState::Stopped)
    );
}

#[test]
fn operations_on_a_key_take_turns_in_order_of_acceptance() {
    let mut node = Node::new();
    node.db.deployed("op01", &service("a", &[("b", "1")]));
    // Ids and stamps in no order: only acceptance counts.
    for (operation, when) in [("zz02", at(9)), ("aa03", at(8)), ("mm04", at(7))] {
        node.db.accepted(operation, restart("a"), when);
    }
    for operation in ["zz02", "aa03", "mm04"] {
        assert_eq!(
            node.db.load(&key("a/b")).unwrap().ticket.unwrap().operation,
            id(operation)
        );
        let holder = node.db.holder(&key("a/b")).unwrap().unwrap();
        assert_eq!(
            (holder.operation, holder.caller.as_str()),
            (id(operation), "bob")
        );
        node.db.done(operation, &key("a/b"), StepState::Succeeded);
    }
    assert_eq!(node.db.holder(&key("a/b")).unwrap(), None);
    let filter = OperationFilter {
        service: Some(service_name("a")),
        limit: 3,
        id: None,
    };
    let newest: Vec<_> = node
        .db
        .operations(&filter)
        .unwrap()
        .into_iter()
        .map(|o| o.id.to_string())
        .collect();
    assert_eq!(newest, ["mm04", "aa03", "zz02"]);
}

#[test]
fn newer_intent_supersedes_what_waits() {
    let mut node = Node::new();
    node.db.deployed("op01", &service("a", &[("b", "1")]));
    node.db.accepted("op02", restart("a"), at(1));
    node.db.accepted("op03", stop("a"), at(2));
    assert_eq!(node.db.operation("op02").state, OperationState::Superseded);
    // The same intent again is a turn of its own.
    node.db.accepted("op04", stop("a"), at(3));
    assert_eq!(node.db.operation("op03").state, OperationState::Accepted);
    node.db
        .accepted("op05", deploy(&service("a", &[("b", "1")])), at(4));
    assert_eq!(node.db.operation("op03").state, OperationState::Superseded);
    assert_eq!(node.db.operation("op04").state, OperationState::Superseded);
    let error = node.db.step(&update("op04", &key("a/b"))).unwrap_err();
    assert!(matches!(
        error,
        RegistryError::StepNotOpen {
            state: Some(StepState::Superseded),
            ..
        }
    ));
}

#[test]
fn a_restart_skips_what_is_not_wanted_running() {
    let mut node = Node::new();
    node.db
        .deployed("op01", &service("a", &[("b", "1"), ("c", "1")]));
    node.sql()
        .execute_batch("UPDATE components SET desired_state = 'stopped' WHERE name = 'c'")
        .unwrap();
    let before = [node.record("a/b"), node.record("a/c")];
    let accepted = node.db.accepted("op02", restart("a"), at(1));
    assert_eq!(accepted.steps[1].reason, "desired stopped");
    assert_eq!(
        node.states("op02"),
        [StepState::Waiting, StepState::Skipped]
    );
    assert_eq!([node.record("a/b"), node.record("a/c")], before);
    node.db.done("op02", &key("a/b"), StepState::Succeeded);
    assert_eq!(node.db.operation("op02").state, OperationState::Succeeded);

    node.db.accepted("op03", stop("a"), at(2));
    let before = node.dump();
    for (what, error) in [
        (
            restart("a"),
            "a has nothing to restart: none of its components is wanted running",
        ),
        (restart("x"), "service x is not known on this node"),
        (start("x"), "service x is not known on this node"),
        (stop("x"), "service x is not known on this node"),
        (undeploy("x", None), "service x is not known on this node"),
        (undeploy("a", Some("x")), "a/x is not known on this node"),
    ] {
        assert_eq!(
            node.db
                .accept(&request("op09", what, at(3)))
                .unwrap_err()
                .to_string(),
            error
        );
    }
    assert_eq!(node.dump(), before);
}
