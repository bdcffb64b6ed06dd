//! What was observed: state, container, transitions.

use std::time::Duration;

use mcp_model::{
    BootId, ContainerId, Event, Instance, Moment, NewEvent, ObservationChange, ObservedState, Stamp,
};
use mcp_registry::EventFilter;

use crate::support::{Node, Shorthand, at, id, key, service, service_name, sync};

const MINUTE: Duration = Duration::from_mins(1);

fn container(digit: char) -> ContainerId {
    digit.to_string().repeat(64).parse().unwrap()
}

fn event(at: Moment) -> Event {
    Event {
        id: 0,
        key: key("a/b"),
        prev: ObservedState::Running,
        new: ObservedState::Exited,
        at,
        exit_code: Some(137),
        cause: "137: killed (SIGKILL)".into(),
        operation: None,
    }
}

fn change(events: Vec<NewEvent>) -> ObservationChange {
    ObservationChange {
        key: key("a/b"),
        observed: ObservedState::Exited,
        since: at(1),
        instance: None,
        container: Some((container('c'), Some(1))),
        exit_code: Some(137),
        version: "v1".into(),
        outlived_stop: false,
        events,
    }
}

fn counted(at: Moment) -> NewEvent {
    NewEvent {
        event: event(at),
        counted: true,
    }
}

fn node() -> Node {
    let mut node = Node::new();
    node.db
        .deployed("op01", &service("a", &[("b", "1"), ("c", "1")]));
    node
}

/// A moment of another boot.
fn elsewhere(wall: Stamp, boot: Duration) -> Moment {
    Moment {
        wall,
        boot,
        boot_id: BootId(99),
    }
}

#[test]
fn an_observation_is_stored_whole_and_leaves_intent_alone() {
    let mut node = node();
    let before = node.db.load(&key("a/b")).unwrap().record.unwrap();
    let instance = Instance {
        id: container('c'),
        pid: Some(41),
        started_at: Some(at(0).wall),
        restart_count: None,
    };
    let mut event = event(at(1));
    event.operation = Some(id("op01"));
    let seen = ObservationChange {
        instance: Some(instance.clone()),
        ..change(vec![NewEvent {
            event: event.clone(),
            counted: false,
        }])
    };
    node.db.observe(&seen).unwrap();
    let node = node.reopen();
    let record = node.db.load(&key("a/b")).unwrap().record.unwrap();
    assert_eq!(record.observed, ObservedState::Exited);
    assert_eq!(
        (record.observed_since, record.instance),
        (Some(at(1)), Some(instance))
    );
    assert_eq!(
        (record.exit_code, record.version.as_str()),
        (Some(137), "v1")
    );
    assert_eq!(record.container, Some(container('c')));
    assert_eq!(record.made_from, Some((1, crate::support::image("1"))));
    assert_eq!(
        (record.desired, record.generation, record.spec),
        (before.desired, before.generation, before.spec)
    );
    let stored = node
        .db
        .events(&EventFilter {
            limit: 9,
            ..EventFilter::default()
        })
        .unwrap();
    assert_eq!(
        stored,
        [Event {
            id: stored[0].id,
            ..event
        }]
    );
}

#[test]
fn a_key_without_a_record_is_not_observed() {
    let mut node = Node::new();
    let before = node.db.total_changes();
    node.db.observe(&change(vec![counted(at(1))])).unwrap();
    assert_eq!(node.db.total_changes(), before);
}

#[test]
fn the_revision_of_a_container_is_kept_while_it_is_the_same_container() {
    let mut node = node();
    let mut made_from = |container| {
        node.db
            .observe(&ObservationChange {
                container,
                ..change(vec![])
            })
            .unwrap();
        let record = node.db.load(&key("a/b")).unwrap().record.unwrap();
        (
            record.container,
            record.made_from.map(|(revision, _)| revision),
        )
    };
    let (first, second) = (container('c'), container('d'));
    assert_eq!(
        made_from(Some((first.clone(), Some(1)))),
        (Some(first.clone()), Some(1))
    );
    assert_eq!(
        made_from(Some((first.clone(), None))),
        (Some(first), Some(1))
    );
    assert_eq!(
        made_from(Some((second.clone(), None))),
        (Some(second), None)
    );
    assert_eq!(made_from(None), (None, None));
}

#[test]
fn flaps_are_counted_within_a_window_that_no_clock_jump_moves() {
    let mut node = node();
    let window = 10 * MINUTE;
    // A wall clock that jumps by years between the events of one boot.
    let events = (0..6u64).map(|i| {
        let mut moment = at(i * 60_000);
        moment.wall = Stamp::from_millis(if i % 2 == 0 { 0 } else { 4_000_000_000_000 });
        NewEvent {
            event: event(moment),
            counted: i != 3,
        }
    });
    node.db.observe(&change(events.collect())).unwrap();
    let count = |now| node.db.transitions(&key("a/b"), &now, window).unwrap();
    assert_eq!(count(at(5 * 60_000)), 5);
    assert_eq!(
        count(at(11 * 60_000)),
        4,
        "a window of ten minutes ends at the second event"
    );
    assert_eq!(count(at(16 * 60_000)), 0);
    assert_eq!(node.db.transitions(&key("a/c"), &at(0), window).unwrap(), 0);
}

#[test]
fn flaps_of_another_boot_count_by_the_wall_clock_and_never_for_ever() {
    let mut node = node();
    let wall = at(0).wall;
    let uptime = |boot| Moment { boot, ..at(0) };
    let past = |minutes: u64| {
        Stamp::from_millis(wall.as_millis() - i64::try_from(minutes).unwrap() * 60_000)
    };
    let events = [past(4), past(20), wall.plus(1_000 * MINUTE)]
        .map(|wall| counted(elsewhere(wall, 500 * MINUTE)));
    node.db.observe(&change(events.to_vec())).unwrap();
    let count = |now| node.db.transitions(&key("a/b"), &now, 10 * MINUTE).unwrap();
    // Just booted: four minutes ago counts, and a stamp from the future counts as now.
    assert_eq!(count(uptime(MINUTE)), 2);
    // Whatever its stamp, what another boot saw is older than this boot is.
    assert_eq!(count(uptime(11 * MINUTE)), 0);
}

#[test]
fn events_are_read_newest_first_by_order_and_not_by_clock() {
    let mut node = node();
    for i in [5u64, 1, 3] {
        node.db
            .observe(&change(vec![counted(at(i * 1_000))]))
            .unwrap();
    }
    let mut other = change(vec![]);
    other.key = key("a/c");
    other.events = vec![NewEvent {
        event: Event {
            key: key("a/c"),
            ..event(at(2_000))
        },
        counted: true,
    }];
    node.db.observe(&other).unwrap();
    let read = |filter: EventFilter| -> Vec<i64> {
        node.db
            .events(&filter)
            .unwrap()
            .into_iter()
            .map(|event| event.id)
            .collect()
    };
    let all = EventFilter {
        limit: 9,
        ..EventFilter::default()
    };
    assert_eq!(read(all.clone()), [4, 3, 2, 1]);
    assert_eq!(
        read(EventFilter {
            limit: 2,
            ..all.clone()
        }),
        [4, 3]
    );
    let of_b = EventFilter {
        service: Some(service_name("a")),
        component: Some("b".parse().unwrap()),
        ..all.clone()
    };
    assert_eq!(read(of_b.clone()), [3, 2, 1]);
    assert_eq!(
        read(EventFilter {
            since: Some(at(3_000).wall),
            ..of_b
        }),
        [3, 1]
    );
    assert_eq!(
        read(EventFilter {
            service: Some(service_name("z")),
            ..all
        }),
        [0i64; 0]
    );
}

#[test]
fn pruning_removes_what_is_older_than_the_retention_on_either_clock() {
    let mut node = node();
    let wall = at(0).wall;
    let now = Moment {
        boot: 3_000 * MINUTE,
        wall: wall.plus(3_000 * MINUTE),
        ..at(0)
    };
    // By its stamp this one is new; by the boot clock it is old. The next one is the reverse.
    let old = Moment {
        boot: MINUTE,
        wall: now.wall,
        ..now
    };
    let young = Moment {
        boot: 2_990 * MINUTE,
        wall: Stamp::from_millis(0),
        ..now
    };
    let events = [
        elsewhere(wall, 5 * MINUTE),
        elsewhere(now.wall, 5 * MINUTE),
        old,
        young,
        now,
    ];
    node.db
        .observe(&change(events.map(counted).to_vec()))
        .unwrap();
    while node.db.prune(&now, 1_000 * MINUTE).unwrap() {}
    let left: Vec<_> = node
        .db
        .events(&EventFilter {
            limit: 9,
            ..EventFilter::default()
        })
        .unwrap()
        .into_iter()
        .map(|event| event.id)
        .collect();
    assert_eq!(left, [5, 4, 2]);
}

#[test]
fn a_component_that_never_rests_keeps_its_newest_events_and_those_of_others_alone() {
    let mut node = node();
    node.sql()
        .execute_batch(
            "INSERT INTO events (service, component, prev_state, new_state, timestamp)
             VALUES ('a', 'calm', 'running', 'exited', '2999-01-01 00:00:00');
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 107000)
             INSERT INTO events (service, component, prev_state, new_state, timestamp)
             SELECT 'a', 'b', 'running', 'exited', '2999-01-01 00:00:00' FROM n",
        )
        .unwrap();
    let left = |node: &Node| node.query::<u32>("SELECT COUNT(*) FROM events");
    assert!(node.db.prune(&at(0), MINUTE).unwrap());
    assert!(
        left(&node) > 100_001,
        "one call leaves the others their turn"
    );
    while node.db.prune(&at(0), MINUTE).unwrap() {}
    let oldest = "SELECT MIN(id) FROM events WHERE component = 'b'";
    assert_eq!((left(&node), node.query::<u32>(oldest)), (100_001, 7_002));
}

#[test]
fn pruning_a_long_log_goes_in_batches() {
    let mut node = node();
    node.sql()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
             INSERT INTO events (service, component, prev_state, new_state, timestamp)
             SELECT 'a', 'b', 'running', 'exited', '2020-01-01 00:00:00' FROM n",
        )
        .unwrap();
    let left = |node: &Node| node.query::<u32>("SELECT COUNT(*) FROM events");
    assert!(node.db.prune(&at(0), MINUTE).unwrap());
    assert!(left(&node) > 0, "one call leaves the others their turn");
    while node.db.prune(&at(0), MINUTE).unwrap() {}
    assert_eq!(left(&node), 0);
}

#[test]
fn the_documented_query_counts_what_is_stored() {
    let mut node = node();
    node.db
        .sync(&sync(&[service("a", &[("b", "1"), ("c", "1")])], at(0)))
        .unwrap();
    let now = Stamp::new(
        node.query::<String>("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")
            .parse::<Stamp>()
            .unwrap()
            .timestamp(),
    );
    let moment = |minutes: i64| Moment {
        wall: Stamp::from_millis(now.as_millis() - minutes * 60_000),
        ..at(0)
    };
    let events = [90, 59, 30, 0].map(|minutes| counted(moment(minutes)));
    node.db.observe(&change(events.to_vec())).unwrap();
    let documented = "SELECT COUNT(*) FROM events WHERE component = 'b' AND service = 'a'
                      AND timestamp > datetime('now', '-1 hour')";
    assert_eq!(node.query::<u32>(documented), 3);
}
