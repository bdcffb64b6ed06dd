//! What is removed when it is old, and what stays however old it is.

use std::time::Duration;

use mcp_model::{Moment, ObservationChange, ObservedState, StepState};
use mcp_registry::OperationFilter;

use crate::support::{Node, Shorthand, at, deploy, id, key, minutes, service};

const DAY: Duration = Duration::from_hours(24);

/// So many settled deploys with an audit record each, by the clock of another boot or of `boot`.
fn history(node: &Node, count: u32, boot: &str, boot_ms: u64) {
    node.sql()
        .execute_batch(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO operations (id, kind, service, state, caller, accepted_at,
                 accepted_boot_ms, accepted_boot_id, start_by, finished_at)
             SELECT 'old' || i, 'deploy', 'a', 'succeeded', 'bob', '2020-01-01 00:00:00.000',
                 {boot_ms}, '{boot}', '2020-01-01 00:10:00.000', '2020-01-01 00:00:09.000' FROM n;
             INSERT INTO operation_steps (operation_id, service, component, state, desired,
                 revision, generation, finished_at)
             SELECT id, 'a', 'b', 'succeeded', 'running', 1, 1, finished_at FROM operations;
             INSERT INTO audit (at, caller, peer, method, operation_id, outcome)
             SELECT accepted_at, 'bob', 'here', 'Deploy', id, 'succeeded' FROM operations;"
        ))
        .unwrap();
}

fn prune(node: &mut Node, now: &Moment) {
    while node.db.prune(now, DAY).unwrap() {}
}

fn counts(node: &Node) -> [u32; 3] {
    ["operations", "operation_steps", "audit"]
        .map(|table| node.query(&format!("SELECT COUNT(*) FROM {table}")))
}

#[test]
fn settled_operations_and_audit_records_go_when_they_are_old_and_the_newest_stay() {
    let mut node = Node::new();
    history(&node, 12_000, &"0".repeat(32), 0);
    // The oldest of all is open still, and its record stays with it; that of the next has no outcome.
    node.sql()
        .execute_batch(
            "UPDATE operations SET state = 'running', finished_at = NULL WHERE seq = 1;
             UPDATE operation_steps SET state = 'running' WHERE operation_id = 'old1';
             UPDATE audit SET outcome = NULL WHERE operation_id = 'old2';",
        )
        .unwrap();
    assert!(node.db.prune(&at(0), DAY).unwrap());
    assert!(
        counts(&node)[0] > 1_001,
        "one call leaves the others their turn"
    );
    prune(&mut node, &at(0));
    assert_eq!(counts(&node), [1_001, 1_001, 10_002]);
    let filter = OperationFilter {
        limit: 1,
        ..OperationFilter::default()
    };
    assert_eq!(node.db.operations(&filter).unwrap()[0].id, id("old12000"));
    assert_eq!(node.db.operation("old1").steps.len(), 1);

    let before = node.db.total_changes();
    prune(&mut node, &at(0));
    assert_eq!(node.db.total_changes(), before, "nothing was left to do");
}

#[test]
fn an_operation_of_this_boot_is_as_old_as_this_boots_clock_says() {
    let mut node = Node::new();
    let now = minutes(600);
    history(&node, 1_100, &now.boot_id.to_string(), 0);
    let ten_years = DAY * 3_650;
    let jumped = Moment {
        wall: now.wall.plus(ten_years),
        ..now
    };
    prune(&mut node, &jumped);
    assert_eq!(counts(&node)[0], 1_100);
    let late = Moment {
        boot: DAY + Duration::from_secs(1),
        ..now
    };
    node.sql()
        .execute("UPDATE operations SET finished_at = NULL WHERE seq = 1", [])
        .unwrap();
    prune(&mut node, &late);
    assert_eq!(
        counts(&node)[0],
        1_001,
        "the newest, and the one that is open"
    );
}

#[test]
fn a_young_history_is_kept_whole_however_long_it_is() {
    let mut node = Node::new();
    let now = minutes(1);
    history(&node, 11_000, &now.boot_id.to_string(), 60_000);
    node.sql()
        .execute(
            "UPDATE audit SET at = ?1, operation_id = NULL",
            [now.wall.to_string()],
        )
        .unwrap();
    prune(&mut node, &now);
    assert_eq!(counts(&node), [11_000; 3]);
}

#[test]
fn tokens_that_ended_long_ago_go_and_the_newest_and_those_that_count_stay() {
    let mut node = Node::new();
    let now = minutes(100 * 24 * 60);
    let days = |days: i64| {
        mcp_model::Stamp::from_millis(now.wall.as_millis() - days * 86_400_000).to_string()
    };
    // The first hundred expired or were revoked long ago, but for three: one counts still, one has
    // expired and one was revoked within the retention. All the others expired long ago.
    node.sql()
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)
             INSERT INTO tokens (hash, id, subject, roles, created_at, expires_at, revoked_at)
             SELECT CAST(printf('%032d', i) AS BLOB), 't' || i, 'bob', '[]', ?1,
                 CASE WHEN i IN (7, 9) OR (i < 50 AND i <> 8) THEN ?4
                     WHEN i = 8 THEN ?3 ELSE ?2 END,
                 CASE WHEN i = 9 THEN ?3 WHEN i < 50 AND i NOT IN (7, 8) THEN ?2 END
             FROM n",
            [
                days(90),
                days(2),
                mcp_model::Stamp::from_millis(now.wall.as_millis() - 43_200_000).to_string(),
                now.wall.plus(DAY).to_string(),
            ],
        )
        .unwrap();
    prune(&mut node, &now);
    let left = node.db.tokens().unwrap();
    let ids: Vec<&str> = left.iter().map(|token| token.id.as_str()).collect();
    assert_eq!(ids[..4], ["t7", "t8", "t9", "t101"]);
    assert_eq!(ids.len(), 1_003);
}

#[test]
fn specs_that_something_refers_to_are_never_pruned() {
    let mut node = Node::new();
    for revision in 1..=20u32 {
        let operation = format!("op{revision:02}");
        let wanted = service("a", &[("b", &format!("v{revision}"))]);
        node.db.accepted(&operation, deploy(&wanted), at(0));
        let state = if revision <= 3 {
            StepState::Succeeded
        } else {
            StepState::Failed
        };
        node.db.done(&operation, &key("a/b"), state);
    }
    let made_from_two = ObservationChange {
        key: key("a/b"),
        observed: ObservedState::Running,
        since: at(0),
        instance: None,
        container: Some(("ab".repeat(32).parse().unwrap(), Some(2))),
        exit_code: None,
        version: String::new(),
        outlived_stop: false,
        events: Vec::new(),
    };
    node.db.observe(&made_from_two).unwrap();
    let revisions = |node: &Node| -> String {
        node.query("SELECT group_concat(revision, ' ') FROM (SELECT revision FROM deployed_specs ORDER BY revision)")
    };
    let later = minutes(100 * 24 * 60);
    prune(&mut node, &later);
    // Every operation is among the newest, and says what it was about.
    assert_eq!(revisions(&node).split(' ').count(), 20);

    node.sql()
        .execute("DELETE FROM operations WHERE id <> 'op05'", [])
        .unwrap();
    prune(&mut node, &later);
    assert_eq!(revisions(&node), "2 3 5 11 12 13 14 15 16 17 18 19 20");
    let record = node.record("a/b");
    assert_eq!(record.deployed.unwrap().0, 3);
    assert_eq!(record.made_from.unwrap().0, 2);
}
