//! What a podman that was killed in the middle of a call leaves is planned on as podman takes it:
//! measured, what it refuses then and what it forgets.

mod common;

use common::{container, instance, operation, seen, spec};
use mcp_model::{Container, Observed, OperationId, RuntimeState};
use mcp_plan::{Decision, Goal, Situation, plan};

/// What is planned, in the words of those who watch.
fn phases(goal: &Goal, holder: Container, aside: Option<&Container>) -> Vec<&'static str> {
    let (spec, holder): (_, Observed) = (spec(), seen(holder));
    let situation = Situation {
        holder: &holder,
        aside,
        spec: &spec,
        took_down: true,
    };
    match plan(goal, situation) {
        Decision::Act(actions) => actions.iter().map(|a| a.phase().as_str()).collect(),
        Decision::Done => Vec::new(),
        Decision::Wait => panic!("it is known"),
    }
}

fn holder(state: RuntimeState, maker: Option<OperationId>) -> Container {
    container(1, 2, state, maker)
}

fn restored() -> Goal {
    Goal::Restored {
        old: instance(1, 1),
        running: true,
    }
}

fn newer() -> Goal {
    Goal::NewerThan(Some(instance(1, 1)))
}

#[test]
fn what_may_run_already_is_stopped_before_it_is_started() {
    for state in [RuntimeState::Initialized, RuntimeState::Stopping] {
        for goal in [
            Goal::MadeBy(operation()),
            Goal::Running,
            newer(),
            restored(),
        ] {
            let holder = holder(state.clone(), Some(operation()));
            let planned = phases(&goal, holder, None);
            assert_eq!(planned, ["stopping", "starting"], "{goal:?}");
        }
    }
}

#[test]
fn what_may_run_already_is_stopped_before_it_is_moved() {
    for (goal, expected) in [
        (Goal::Stopped, &["stopping"][..]),
        (Goal::Absent, &["stopping", "removing"]),
        (
            Goal::MadeBy(operation()),
            &["stopping", "setting-aside", "starting"],
        ),
    ] {
        for state in [RuntimeState::Initialized, RuntimeState::Stopping] {
            let planned = phases(&goal, holder(state, None), None);
            assert_eq!(planned, expected, "{goal:?}");
        }
    }
}

#[test]
fn what_lives_though_it_was_set_aside_is_stopped_before_it_is_removed() {
    use RuntimeState::{Exited, Initialized, Running, Stopping};
    for (state, expected) in [
        (Running, &["stopping", "removing"][..]),
        (Stopping, &["stopping", "removing"]),
        (Initialized, &["stopping", "removing"]),
        (Exited, &["removing"]),
    ] {
        let new = container(9, 2, Running, Some(operation()));
        let old = container(1, 1, state, None);
        let planned = phases(&Goal::MadeBy(operation()), new, Some(&old));
        assert_eq!(planned, expected);
    }
}

#[test]
fn what_is_half_removed_is_removed_and_neither_stopped_nor_started_nor_kept() {
    let made = || Some(operation());
    for (goal, maker, expected) in [
        (Goal::Stopped, None, &["removing"][..]),
        (Goal::Absent, None, &["removing"]),
        (restored(), None, &["removing"]),
        (Goal::Running, None, &["removing", "starting"]),
        (newer(), None, &["removing", "starting"]),
        (Goal::MadeBy(operation()), None, &["removing", "starting"]),
        (Goal::MadeBy(operation()), made(), &["removing", "starting"]),
    ] {
        let planned = phases(&goal, holder(RuntimeState::Removing, maker), None);
        assert_eq!(planned, expected, "{goal:?}");
    }
}

#[test]
fn what_is_half_removed_is_no_way_back_and_the_failed_one_stays() {
    let new = container(9, 2, RuntimeState::Exited, Some(operation()));
    let old = container(1, 1, RuntimeState::Removing, None);
    assert_eq!(phases(&restored(), new, Some(&old)), ["removing"]);
}
