//! Incidents and the messages about them.

use std::time::Duration;

use mcp_model::{
    Alert, AlertEvent, AlertKind, BootId, DesiredState, Incident, IncidentChange, IncidentId,
    Moment, NodeState, ObservedState, Scope, Stamp, StepState,
};

use crate::support::{Node, Shorthand, at, id, key, service, undeploy};

fn incident(id: &str, kind: AlertKind, told: Option<(AlertEvent, Moment)>) -> Incident {
    Incident {
        id: IncidentId(id.into()),
        scope: key("a/b").into(),
        kind,
        opened: at(0),
        told,
        cause: "1: failed".into(),
        desired: DesiredState::Running,
        observed: ObservedState::Exited,
        covered_by: None,
    }
}

fn alert(incident: &Incident, event: AlertEvent) -> Alert {
    Alert {
        incident: incident.id.clone(),
        event,
        kind: incident.kind,
        scope: incident.scope.clone(),
        desired: DesiredState::Running,
        observed: ObservedState::Exited,
        prev: ObservedState::Running,
        at: at(7),
        exit_code: Some(1),
        reason: "1: failed".into(),
        transitions: 3,
    }
}

fn node() -> Node {
    let mut node = Node::new();
    node.db.deployed("op01", &service("a", &[("b", "1")]));
    node
}

fn store(node: &mut Node, incident: &Incident, closed: Option<Moment>, event: Option<AlertEvent>) {
    let change = IncidentChange {
        incident: incident.clone(),
        closed,
        alert: event.map(|event| alert(incident, event)),
    };
    node.db.incidents(&[change]).unwrap();
}

#[test]
fn what_stands_about_a_component_ends_with_its_record() {
    let mut node = node();
    let drift = incident("i1", AlertKind::Drift, Some((AlertEvent::Opened, at(5))));
    store(&mut node, &drift, None, None);
    node.db.accepted("op02", undeploy("a", None), at(6));
    node.db.done("op02", &key("a/b"), StepState::Failed);
    assert_eq!(node.db.load(&key("a/b")).unwrap().incidents.len(), 1);
    node.db.accepted("op03", undeploy("a", None), at(7));
    node.db.done("op03", &key("a/b"), StepState::Succeeded);
    assert_eq!(node.db.load(&key("a/b")).unwrap().incidents, []);
}

#[test]
fn an_incident_outlives_the_agent_and_closes_once() {
    let mut node = node();
    let mut drift = incident("i1", AlertKind::Drift, None);
    store(&mut node, &drift, None, None);
    drift.told = Some((AlertEvent::Opened, at(60_000)));
    drift.cause = "137: killed".into();
    store(&mut node, &drift, None, Some(AlertEvent::Opened));
    let mut node = node.reopen();
    assert_eq!(
        node.db.load(&key("a/b")).unwrap().incidents,
        [drift.clone()]
    );

    drift.told = Some((AlertEvent::Closed, at(90_000)));
    store(
        &mut node,
        &drift,
        Some(at(90_000)),
        Some(AlertEvent::Closed),
    );
    let state = node.db.load(&key("a/b")).unwrap();
    assert!(state.incidents.is_empty());
    assert_eq!(state.last_told, [(AlertKind::Drift, at(90_000))]);
}

#[test]
fn a_cooldown_runs_from_what_was_told_last_of_its_kind_whatever_the_clock() {
    let mut node = node();
    let first = incident(
        "i1",
        AlertKind::Drift,
        Some((AlertEvent::Closed, at(90_000))),
    );
    store(&mut node, &first, Some(at(90_000)), None);
    // Told after it, by a clock that was set back.
    let second = incident(
        "i2",
        AlertKind::Drift,
        Some((AlertEvent::Opened, at(10_000))),
    );
    store(&mut node, &second, None, None);
    store(
        &mut node,
        &incident("i3", AlertKind::Drift, None),
        None,
        None,
    );
    let flapping = incident("i4", AlertKind::Flapping, Some((AlertEvent::Opened, at(5))));
    store(&mut node, &flapping, None, None);
    let told = node.db.load(&key("a/b")).unwrap().last_told;
    assert_eq!(
        told,
        [(AlertKind::Drift, at(10_000)), (AlertKind::Flapping, at(5))]
    );
}

#[test]
fn a_message_waits_until_what_was_said_before_about_its_incident_was_delivered() {
    let mut node = node();
    let drift = incident("i1", AlertKind::Drift, Some((AlertEvent::Opened, at(7))));
    let flapping = incident("i2", AlertKind::Flapping, Some((AlertEvent::Opened, at(7))));
    for event in [AlertEvent::Opened, AlertEvent::Reminder, AlertEvent::Closed] {
        store(&mut node, &drift, None, Some(event));
        store(&mut node, &flapping, None, Some(event));
    }
    let mut node = node.reopen();
    let mut told = Vec::new();
    loop {
        let waiting = node.db.undelivered(9).unwrap();
        assert_eq!(
            node.db.undelivered(1).unwrap(),
            waiting[..waiting.len().min(1)]
        );
        // One message of each incident at most, also where another one is in nobody's way.
        let Some((id, message)) = waiting.last().cloned() else {
            break;
        };
        let of_this = |(_, other): &&(i64, Alert)| other.incident == message.incident;
        assert_eq!(waiting.iter().filter(of_this).count(), 1);
        told.push((message.incident.0.clone(), message.event));
        node.db.delivered(id, "sent").unwrap();
    }
    for about in ["i1", "i2"] {
        let events: Vec<_> = told.iter().filter(|(id, _)| id == about).collect();
        assert_eq!(
            events.iter().map(|(_, event)| *event).collect::<Vec<_>>(),
            [AlertEvent::Opened, AlertEvent::Reminder, AlertEvent::Closed]
        );
    }
    let stamped = "SELECT delivered_at GLOB '????-??-?? ??:??:??.???' FROM alerts WHERE id = 1";
    assert!(node.query::<bool>(stamped));
}

#[test]
fn what_stands_about_the_node_outlives_the_agent_and_so_does_whom_it_stands_for() {
    let mut node = node();
    assert_eq!(node.db.node().unwrap(), NodeState::default());
    let reboot = Incident {
        scope: Scope::Node,
        ..incident("n1", AlertKind::Reboot, Some((AlertEvent::Opened, at(9))))
    };
    let mut drift = Incident {
        covered_by: Some(reboot.id.clone()),
        ..incident("i1", AlertKind::Drift, None)
    };
    let changes = [&reboot, &drift].map(|about| IncidentChange {
        incident: about.clone(),
        closed: None,
        alert: None,
    });
    node.db.booted(BootId(7), &changes).unwrap();
    let mut node = node.reopen();
    let stored = NodeState {
        boot: Some(BootId(7)),
        incidents: vec![reboot.clone()],
        covered: vec![(reboot.id.clone(), key("a/b"))],
        last_told: vec![(AlertKind::Reboot, at(9))],
    };
    assert_eq!(node.db.node().unwrap(), stored);
    assert_eq!(
        node.db.load(&key("a/b")).unwrap().incidents,
        [drift.clone()]
    );

    // Somebody changed what is wanted: from now on it is told by itself.
    drift.covered_by = None;
    store(&mut node, &drift, None, None);
    assert_eq!(node.db.node().unwrap().covered, []);
    drift.covered_by = Some(reboot.id.clone());
    store(&mut node, &drift, None, None);
    node.db.accepted("op03", undeploy("a", None), at(7));
    node.db.done("op03", &key("a/b"), StepState::Succeeded);
    assert_eq!(node.db.node().unwrap().covered, [], "its record is gone");
    store(&mut node, &reboot, Some(at(20)), None);
    assert_eq!(node.db.node().unwrap().incidents, []);
}

#[test]
fn incidents_and_their_messages_are_stored_together_or_not_at_all() {
    let mut node = node();
    let good = incident("i1", AlertKind::Drift, None);
    let change = |incident: &Incident, about: &Incident| IncidentChange {
        incident: incident.clone(),
        closed: None,
        alert: Some(alert(about, AlertEvent::Opened)),
    };
    let before = node.dump();
    // The second message is about an incident that is not there.
    let stray = incident("i9", AlertKind::Drift, None);
    let both = [
        change(&good, &good),
        change(&incident("i2", AlertKind::Flapping, None), &stray),
    ];
    assert!(node.db.incidents(&both).is_err());
    assert_eq!(node.dump(), before);
}

#[test]
fn pruning_spares_what_stands_what_is_yet_to_be_sent_and_what_cooldowns_run_from() {
    let mut node = node();
    let told = Some((AlertEvent::Closed, at(1)));
    for (id, told, closed) in [
        ("old-told", told, true),
        ("old-untold", None, true),
        ("old-unsent", told, true),
        ("last-told", told, true),
        ("open", None, false),
    ] {
        let about = incident(id, AlertKind::Drift, told);
        store(
            &mut node,
            &about,
            closed.then(|| at(2)),
            Some(AlertEvent::Opened),
        );
    }
    for (message, alert) in node.db.undelivered(9).unwrap() {
        if alert.incident.0 != "old-unsent" {
            node.db.delivered(message, "sent").unwrap();
        }
    }
    let now = at(100 * 60_000);
    while node.db.prune(&now, Duration::from_mins(10)).unwrap() {}
    assert_eq!(ids(&node), "old-unsent,last-told,open");
    assert_eq!(node.query::<u32>("SELECT COUNT(*) FROM alerts"), 3);
    assert_eq!(
        node.db.load(&key("a/b")).unwrap().last_told,
        [(AlertKind::Drift, at(1))]
    );
}

fn ids(node: &Node) -> String {
    node.query("SELECT group_concat(id ORDER BY seq) FROM incidents")
}

#[test]
fn an_incident_of_this_boot_was_closed_when_this_boots_clock_says() {
    const DAY: Duration = Duration::from_hours(24);
    let mut node = node();
    let now = Moment {
        boot: DAY * 100,
        ..at(0)
    };
    let long_ago = |boot_id| Moment {
        wall: at(0).wall,
        boot: Duration::from_secs(1),
        boot_id,
    };
    let years = DAY * 3_650;
    let cases = [
        // The wall clock was years behind when these were closed, or has jumped ahead since.
        (
            "young",
            Moment {
                wall: Stamp::from_millis(0),
                ..now
            },
        ),
        (
            "old",
            Moment {
                wall: now.wall.plus(years),
                ..long_ago(now.boot_id)
            },
        ),
        // Of another boot there is the wall clock only.
        (
            "before-young",
            Moment {
                wall: now.wall,
                ..long_ago(BootId(9))
            },
        ),
        (
            "before-old",
            Moment {
                wall: Stamp::from_millis(0),
                ..long_ago(BootId(9))
            },
        ),
    ];
    for (id, closed) in cases {
        store(
            &mut node,
            &incident(id, AlertKind::Drift, None),
            Some(closed),
            None,
        );
    }
    // Its component was undeployed: nobody looks any more, and that closed it.
    store(
        &mut node,
        &incident("undeployed", AlertKind::Drift, None),
        None,
        None,
    );
    node.db.accepted("op02", undeploy("a", None), now);
    let done = mcp_model::StepOutcome {
        operation: id("op02"),
        key: key("a/b"),
        state: StepState::Succeeded,
        error: String::new(),
        at: Moment {
            wall: Stamp::from_millis(0),
            ..now
        },
    };
    node.db.settle(&done).unwrap();
    while node.db.prune(&now, DAY).unwrap() {}
    assert_eq!(ids(&node), "young,before-young,undeployed");
}
