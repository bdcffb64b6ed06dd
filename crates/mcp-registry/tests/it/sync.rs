//! Intent: what a sync stores, and what it leaves alone.

use std::time::Duration;

use mcp_model::{DesiredState, OperationState, Request, ServiceSpec, SpecError, StepState};
use mcp_registry::{AcceptError, SyncOutcome};

use crate::support::{
    Node, Shorthand, at, deploy, image, key, service, service_name, start, sync, update,
};

fn inactive(service: ServiceSpec) -> ServiceSpec {
    ServiceSpec {
        active: false,
        ..service
    }
}

fn synced(node: &mut Node, services: &[ServiceSpec]) -> SyncOutcome {
    node.db.sync(&sync(services, at(1))).unwrap()
}

/// Desired state, revision and generation of a key.
fn intent(node: &Node, text: &str) -> (DesiredState, u64, u64) {
    let record = node.db.load(&key(text)).unwrap().record.unwrap();
    (record.desired, record.revision, record.generation)
}

#[test]
fn the_documented_tables_hold_what_the_spec_means() {
    let mut node = Node::new();
    let mut spec = image("v2");
    spec.user = Some("0:0".parse().unwrap());
    spec.ports = ["8080:80", "127.0.0.1:1:1"]
        .map(|p| p.parse().unwrap())
        .into();
    spec.volumes = ["/srv/a:/data:ro"].map(|v| v.parse().unwrap()).into();
    spec.cmd = vec!["serve".into(), "-v".into(), "serve".into()];
    spec.env = [("A".parse().unwrap(), "1=2".into())].into();
    spec.stop_timeout = Some(Duration::from_secs(3));
    let mut wanted = service("a", &[]);
    wanted.components.insert("b".parse().unwrap(), spec.clone());
    synced(&mut node, &[wanted.clone()]);

    let row = "SELECT image || '|' || network || '|' || user_spec || '|' || restart || '|' ||
               desired_state || '|' || observed_state FROM components";
    let text: String = node.query(row);
    assert_eq!(
        text,
        "localhost/app:v2|bridge|0:0|unless-stopped|running|unknown"
    );
    let lists = "SELECT
        (SELECT group_concat(mapping ORDER BY mapping) FROM component_ports) || '|' ||
        (SELECT group_concat(mapping) FROM component_volumes) || '|' ||
        (SELECT group_concat(arg ORDER BY position) FROM component_cmd) || '|' ||
        (SELECT group_concat(name || '=' || value) FROM component_env)";
    let text: String = node.query(lists);
    assert_eq!(
        text,
        "127.0.0.1:1:1,8080:80|/srv/a:/data:ro|serve,-v,serve|A=1=2"
    );
    // What the code reads is what was said, absences included.
    assert_eq!(
        node.db.load(&key("a/b")).unwrap().record.unwrap().spec,
        spec
    );

    wanted.components.insert("b".parse().unwrap(), image("v3"));
    synced(&mut node, &[wanted]);
    assert_eq!(node.query::<Option<String>>(lists), None);
    assert_eq!(
        node.query::<String>("SELECT image FROM components"),
        "localhost/app:v3"
    );
}

#[test]
fn revision_counts_specs_and_generation_counts_intents() {
    use DesiredState::{Running, Stopped};
    let mut node = Node::new();
    let (first, second) = (service("a", &[("b", "1")]), service("a", &[("b", "2")]));
    for (wanted, expected) in [
        (first.clone(), (Running, 1, 1)),
        (first.clone(), (Running, 1, 1)),
        (inactive(first.clone()), (Stopped, 1, 2)),
        (inactive(second.clone()), (Stopped, 2, 3)),
        (first, (Running, 3, 4)),
    ] {
        synced(&mut node, &[wanted]);
        assert_eq!(intent(&node, "a/b"), expected);
    }
    let accepted = node
        .db
        .accepted("op01", Request::Stop(service_name("a")), at(2));
    assert_eq!(accepted.steps.len(), 1);
    assert_eq!(intent(&node, "a/b"), (Stopped, 3, 5));
}

#[test]
fn a_sync_that_changes_nothing_writes_only_its_audit_record() {
    let mut node = Node::new();
    let wanted = [
        service("a", &[("b", "1"), ("c", "1")]),
        inactive(service("d", &[("e", "1")])),
    ];
    assert_eq!(synced(&mut node, &wanted).keys.len(), 3);
    let before = node.dump();
    let outcome = node.db.sync(&sync(&wanted, at(9))).unwrap();
    assert!(outcome.keys.is_empty());
    assert!(
        outcome
            .services
            .iter()
            .all(|s| !s.changed && s.summary == "unchanged")
    );
    assert_eq!(node.dump(), before);
    let audits = node.db.audits(9).unwrap();
    assert_eq!(audits.len(), 2);
    assert_eq!(audits[0].outcome.as_deref(), Some("succeeded"));
    assert_eq!(audits[0].call.object, "a d");
}

#[test]
fn a_sync_says_what_it_changed() {
    let mut node = Node::new();
    let first = [
        service("a", &[("keep", "1"), ("old", "1")]),
        service("other", &[("x", "1")]),
    ];
    synced(&mut node, &first);
    let outcome = synced(&mut node, &[service("a", &[("keep", "2"), ("new", "1")])]);
    assert_eq!(outcome.unmentioned, [service_name("other")]);
    let changed = &outcome.services[0];
    assert_eq!(changed.summary, "added new; changed keep; orphaned old");
    let names = |names: &[mcp_model::ComponentName]| {
        names
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(
        [
            names(&changed.added),
            names(&changed.updated),
            names(&changed.orphaned)
        ],
        ["new", "keep", "old"]
    );
    assert_eq!(outcome.keys, [key("a/keep"), key("a/new"), key("a/old")]);

    // Orphans stay listed although nothing changed, and keep their intent.
    let again = synced(&mut node, &[service("a", &[("keep", "2"), ("new", "1")])]);
    assert!(!again.services[0].changed);
    assert_eq!(names(&again.services[0].orphaned), "old");
    assert_eq!(intent(&node, "a/old"), (DesiredState::Running, 1, 1));

    let back = synced(
        &mut node,
        &[inactive(service(
            "a",
            &[("keep", "2"), ("new", "1"), ("old", "1")],
        ))],
    );
    assert_eq!(
        back.services[0].summary,
        "to stop keep, new, old; taken back old; now inactive"
    );
    assert!(
        !node
            .db
            .load(&key("a/old"))
            .unwrap()
            .record
            .unwrap()
            .orphaned
    );
}

#[test]
fn a_service_that_is_not_mentioned_is_left_as_it_is() {
    let mut node = Node::new();
    synced(&mut node, &[service("a", &[("b", "1")])]);
    let before = node.db.service(&service_name("a")).unwrap();
    synced(&mut node, &[service("z", &[("y", "1")])]);
    assert_eq!(node.db.service(&service_name("a")).unwrap(), before);
}

#[test]
fn a_statement_that_fails_undoes_the_whole_sync() {
    let mut node = Node::new();
    synced(&mut node, &[service("a", &[("b", "1")])]);
    node.sql()
        .execute_batch(
            "CREATE TRIGGER fail BEFORE INSERT ON component_env BEGIN
                 SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    let before = node.dump();
    let mut last = service("z", &[("y", "1")]);
    last.components.values_mut().for_each(|spec| {
        spec.env.insert("A".parse().unwrap(), "1".into());
    });
    let wanted = [
        service("a", &[("b", "2")]),
        service("m", &[("n", "1")]),
        last,
    ];
    assert!(matches!(
        node.db.sync(&sync(&wanted, at(1))),
        Err(AcceptError::Registry(_))
    ));
    assert_eq!(node.dump(), before);
    assert_eq!(node.db.audits(9).unwrap().len(), 1);
}

#[test]
fn two_components_with_one_container_name_are_refused_by_both_names() {
    let mut node = Node::new();
    synced(&mut node, &[service("a", &[("b-c", "1")])]);
    let before = node.dump();
    let other = service("a-b", &[("c", "1")]);
    let refused = [
        node.db
            .sync(&sync(std::slice::from_ref(&other), at(1)))
            .unwrap_err(),
        node.db
            .accept(&crate::support::request("op01", deploy(&other), at(1)))
            .unwrap_err(),
    ];
    for error in refused {
        assert!(
            matches!(
                &error,
                AcceptError::Spec(SpecError::ContainerNameCollision { .. })
            ),
            "{error:?}"
        );
        let said = error.to_string();
        assert!(said.contains("a/b-c") && said.contains("a-b/c"), "{said}");
    }
    assert_eq!(node.dump(), before);
    let twice = [service("x", &[("y", "1")]), service("x", &[("y", "2")])];
    let error = node.db.sync(&sync(&twice, at(1))).unwrap_err();
    assert!(matches!(error, AcceptError::DuplicateService(_)));
}

#[test]
fn newer_intent_by_sync_supersedes_what_waits_and_spares_what_has_begun() {
    let mut node = Node::new();
    let wanted = service("a", &[("b", "1"), ("c", "1")]);
    node.db.deployed("op01", &wanted);
    node.db.accepted("op02", start("a"), at(1));
    // Nothing new: what waits goes on waiting.
    synced(&mut node, std::slice::from_ref(&wanted));
    assert_eq!(node.db.operation("op02").state, OperationState::Accepted);

    node.db.step(&update("op02", &key("a/b"))).unwrap();
    synced(&mut node, &[inactive(wanted)]);
    let operation = node.db.operation("op02");
    let states: Vec<_> = operation.steps.iter().map(|step| step.state).collect();
    assert_eq!(states, [StepState::Running, StepState::Superseded]);
    assert_eq!(operation.state, OperationState::Running);
    assert!(node.db.load(&key("a/c")).unwrap().ticket.is_none());
    node.db.done("op02", &key("a/b"), StepState::Succeeded);
    assert_eq!(node.db.operation("op02").state, OperationState::Superseded);
}

#[test]
fn services_are_created_listed_and_cascade_when_deleted() {
    let mut node = Node::new();
    let mut wanted = service("a", &[("b", "1"), ("c", "1")]);
    wanted
        .components
        .values_mut()
        .for_each(|spec| spec.cmd = vec!["x".into()]);
    synced(&mut node, &[wanted, service("z", &[("b", "1")])]);
    let names: Vec<_> = node
        .db
        .services()
        .unwrap()
        .into_iter()
        .map(|s| s.components.len())
        .collect();
    assert_eq!(names, [2, 1]);
    assert_eq!(
        node.db.keys().unwrap(),
        [key("a/b"), key("a/c"), key("z/b")]
    );

    let sql = node.sql();
    sql.execute_batch("PRAGMA foreign_keys = ON; DELETE FROM services WHERE name = 'a'")
        .unwrap();
    assert_eq!(node.query::<u32>("SELECT COUNT(*) FROM component_cmd"), 0);
    assert_eq!(node.db.keys().unwrap(), [key("z/b")]);
    // One name in two services is two components; twice in one is refused.
    let twice = sql.execute(
        "INSERT INTO components (service, name, image) VALUES ('z', 'b', 'x')",
        [],
    );
    assert!(twice.is_err());
}
