//! What is drift, since when, and when it is told.

mod common;

use std::time::Duration;

use common::{at, container, id, instance, present, record, seen};
use mcp_model::{
    BootId, DesiredState, DriftKind, Instance, Moment, Observed, ObservedState, RuntimeState,
};
use mcp_plan::classify::{classify, transitions};
use mcp_plan::drift::{Assessment, Patience, assess, is_satisfied};

const PATIENCE: Patience = Patience {
    settle: Duration::from_secs(2),
    settle_intent: Duration::from_mins(1),
};

#[test]
fn the_documented_table_of_drift_holds() {
    use DesiredState as D;
    use ObservedState as O;
    for (desired, observed, ok) in [
        (D::Running, O::Running, true),
        (D::Running, O::Stopped, false),
        (D::Running, O::Exited, false),
        (D::Running, O::Removed, false),
        (D::Running, O::Unknown, true),
        (D::Stopped, O::Stopped, true),
        (D::Stopped, O::Removed, true),
        (D::Stopped, O::Exited, true),
        (D::Stopped, O::Running, false),
        (D::Stopped, O::Unknown, true),
    ] {
        assert_eq!(is_satisfied(desired, observed), ok, "{desired} {observed}");
    }
    for observed in O::ALL {
        assert!(is_satisfied(D::Ignore, *observed));
    }
}

#[test]
fn unknown_is_never_drift() {
    let record = record(DesiredState::Running, ObservedState::Running);
    let unknown = present(ObservedState::Unknown);
    assert_eq!(
        assess(&record, &unknown, false, PATIENCE, at(500)),
        Assessment::Hold
    );
}

#[test]
fn while_an_operation_is_open_no_drift_opens() {
    let record = record(DesiredState::Running, ObservedState::Exited);
    let exited = present(ObservedState::Exited);
    assert_eq!(
        assess(&record, &exited, true, PATIENCE, at(500)),
        Assessment::Hold
    );
}

#[test]
fn state_drift_is_due_when_it_was_seen() {
    let mut record = record(DesiredState::Running, ObservedState::Exited);
    record.spec.restart = Some("no".parse().unwrap());
    record.made_from = Some((1, record.spec.clone()));
    let found = assess(
        &record,
        &present(ObservedState::Exited),
        false,
        PATIENCE,
        at(100),
    );
    let Assessment::Differs { drift, since, due } = found else {
        panic!("{found:?}")
    };
    assert_eq!((since, due), (at(100), at(100)));
    assert_eq!(drift[0].cause, "137: killed (SIGKILL)");
    assert_eq!(drift[0].exit_code, Some(137));
}

#[test]
fn a_restart_policy_gets_its_chance_first() {
    let record = record(DesiredState::Running, ObservedState::Exited);
    let exited = present(ObservedState::Exited);
    assert_eq!(
        assess(&record, &exited, false, PATIENCE, at(101)),
        Assessment::Settling(at(102))
    );
    assert!(matches!(
        assess(&record, &exited, false, PATIENCE, at(102)),
        Assessment::Differs { due, .. } if due == at(102)
    ));
}

#[test]
fn a_policy_that_will_not_act_gets_no_chance() {
    for (policy, settles) in [
        ("no", false),
        ("always", true),
        ("on-failure", true),
        ("on-failure:0", false),
    ] {
        let mut record = record(DesiredState::Running, ObservedState::Exited);
        record.spec.restart = Some(policy.parse().unwrap());
        record.made_from = Some((1, record.spec.clone()));
        let found = assess(
            &record,
            &present(ObservedState::Exited),
            false,
            PATIENCE,
            at(100),
        );
        assert_eq!(
            matches!(found, Assessment::Settling(_)),
            settles,
            "{policy}"
        );
    }
}

#[test]
fn drift_that_changed_intent_has_made_is_shown_at_once_and_due_later() {
    let mut record = record(DesiredState::Running, ObservedState::Removed);
    record.deployed = None;
    record.intent_at = at(200);
    let found = assess(&record, &Observed::Removed, false, PATIENCE, at(200));
    let Assessment::Differs { drift, due, .. } = found else {
        panic!("{found:?}")
    };
    assert_eq!(due, at(260));
    assert_eq!(drift[0].cause, "never deployed: there is no container yet");
}

#[test]
fn a_container_that_was_there_is_gone_and_one_that_was_not_was_never_deployed() {
    let mut record = record(DesiredState::Running, ObservedState::Removed);
    // The link to a container ends with it.
    record.container = None;
    for (deployed, words) in [
        (true, "its container is gone"),
        (false, "never deployed: there is no container yet"),
    ] {
        record.deployed = record.deployed.filter(|_| deployed);
        let found = assess(&record, &Observed::Removed, false, PATIENCE, at(100));
        let Assessment::Differs { drift, .. } = found else {
            panic!("{found:?}")
        };
        assert_eq!(drift[0].cause, words);
    }
}

#[test]
fn what_podman_calls_set_up_is_not_said_to_have_never_been_started() {
    let record = record(DesiredState::Running, ObservedState::Stopped);
    for (state, words) in [
        (RuntimeState::Initialized, "it may run all the same"),
        (RuntimeState::Created, "was never started"),
    ] {
        let holder = seen(container(1, 1, state, None));
        let found = assess(&record, &holder, false, PATIENCE, at(100));
        let Assessment::Differs { drift, .. } = found else {
            panic!("{found:?}")
        };
        assert!(drift[0].cause.ends_with(words), "{}", drift[0].cause);
    }
}

#[test]
fn a_death_after_intent_changed_is_due_at_once() {
    let mut record = record(DesiredState::Running, ObservedState::Removed);
    record.intent_at = at(50);
    let found = assess(&record, &Observed::Removed, false, PATIENCE, at(100));
    assert!(
        matches!(found, Assessment::Differs { due, .. } if due == at(100)),
        "{found:?}"
    );
}

#[test]
fn spec_drift_names_the_fields_and_compares_stored_specs() {
    let mut record = record(DesiredState::Running, ObservedState::Running);
    record.spec.image = "registry.example/web:v2".parse().unwrap();
    let found = assess(
        &record,
        &present(ObservedState::Running),
        false,
        PATIENCE,
        at(500),
    );
    let Assessment::Differs { drift, .. } = found else {
        panic!("{found:?}")
    };
    assert_eq!(drift[0].kind, DriftKind::Spec);
    assert_eq!(
        drift[0].cause,
        "image is \"registry.example/web:v1\", wanted \"registry.example/web:v2\""
    );
}

#[test]
fn a_default_said_aloud_is_no_drift() {
    let mut record = record(DesiredState::Running, ObservedState::Running);
    record.spec.network = Some("bridge".parse().unwrap());
    let found = assess(
        &record,
        &present(ObservedState::Running),
        false,
        PATIENCE,
        at(500),
    );
    assert_eq!(found, Assessment::InSync);
}

#[test]
fn a_container_of_unknown_make_has_no_spec_drift() {
    let mut record = record(DesiredState::Running, ObservedState::Running);
    record.made_from = None;
    record.spec.image = "registry.example/web:v2".parse().unwrap();
    let found = assess(
        &record,
        &present(ObservedState::Running),
        false,
        PATIENCE,
        at(500),
    );
    assert_eq!(found, Assessment::InSync);
}

#[test]
fn every_word_of_the_runtime_is_read_as_documented() {
    use ObservedState as O;
    use RuntimeState as R;
    let previous = O::Running;
    for (word, meant, expected) in [
        (R::Created, false, O::Stopped),
        (R::Configured, false, O::Stopped),
        (R::Initialized, false, O::Stopped),
        (R::Paused, false, O::Stopped),
        (R::Running, false, O::Running),
        (R::Stopped, false, O::Exited),
        (R::Stopped, true, O::Stopped),
        (R::Exited, false, O::Exited),
        (R::Exited, true, O::Stopped),
        (R::Stopping, true, O::Running),
        (R::Restarting, false, O::Running),
        (R::Removing, false, O::Running),
        (R::Other("dead".into()), true, O::Unknown),
    ] {
        let stop = meant.then(|| instance(1, 1));
        let seen = classify(container(1, 1, word.clone(), None), stop.as_ref(), previous);
        assert_eq!(seen.state(), expected, "{word:?} {meant}");
    }
}

#[test]
fn a_stop_of_an_earlier_life_explains_nothing() {
    let stop = instance(1, 1);
    let later = container(1, 2, RuntimeState::Exited, None);
    assert_eq!(
        classify(later, Some(&stop), ObservedState::Running).state(),
        ObservedState::Exited
    );
}

#[test]
fn a_new_life_is_one_death_and_one_start_and_counts_once() {
    let record = record(DesiredState::Running, ObservedState::Running);
    let reborn = seen(container(1, 2, RuntimeState::Running, None));
    let events = transitions(&record, &reborn, None, at(300));
    let told: Vec<_> = events
        .iter()
        .map(|e| (e.event.prev, e.event.new, e.counted))
        .collect();
    assert_eq!(
        told,
        [
            (ObservedState::Running, ObservedState::Exited, true),
            (ObservedState::Exited, ObservedState::Running, false),
        ]
    );
    let same = seen(container(1, 1, RuntimeState::Running, None));
    assert_eq!(transitions(&record, &same, None, at(300)), []);
}

#[test]
fn a_life_that_began_and_ended_between_two_looks_counts_once() {
    let mut record = record(DesiredState::Running, ObservedState::Exited);
    let told = |record: &_, now: &_| -> Vec<_> {
        transitions(record, now, None, at(300))
            .iter()
            .map(|e| (e.event.prev, e.event.new, e.counted))
            .collect()
    };
    let again = seen(container(1, 2, RuntimeState::Exited, None));
    assert_eq!(
        told(&record, &again),
        [
            (ObservedState::Exited, ObservedState::Running, false),
            (ObservedState::Running, ObservedState::Exited, true),
        ]
    );
    assert_eq!(
        told(&record, &seen(container(1, 1, RuntimeState::Exited, None))),
        []
    );
    // The runtime counts a restart before it starts: that is no life yet.
    record.instance = record.instance.map(|instance| Instance {
        restart_count: Some(7),
        ..instance
    });
    assert_eq!(
        told(&record, &seen(container(1, 1, RuntimeState::Exited, None))),
        []
    );
}

#[test]
fn transitions_of_an_operation_and_first_looks_do_not_count() {
    let operation = common::operation();
    let mut record = record(DesiredState::Running, ObservedState::Running);
    let exited = present(ObservedState::Exited);
    assert!(!transitions(&record, &exited, Some(&operation), at(300))[0].counted);
    record.observed = ObservedState::Unknown;
    assert!(!transitions(&record, &exited, None, at(300))[0].counted);
    assert_eq!(
        transitions(&record, &present(ObservedState::Unknown), None, at(300)),
        []
    );
    assert_eq!(record.container, Some(id(1)));
}

#[test]
fn a_wall_clock_that_was_years_ahead_before_the_reboot_keeps_no_drift_from_being_told() {
    let ahead = Moment {
        wall: at(0).wall.plus(Duration::from_hours(10 * 365 * 24)),
        boot: Duration::from_secs(5),
        boot_id: BootId(7),
    };
    let mut record = record(DesiredState::Running, ObservedState::Exited);
    record.intent_at = ahead;
    let due = |record: &_| match assess(
        record,
        &present(ObservedState::Exited),
        false,
        PATIENCE,
        at(300),
    ) {
        Assessment::Differs { due, .. } => due,
        other => panic!("{other:?}"),
    };
    assert!(at(300).has_reached(&due(&record)));
    record.observed_since = Some(ahead);
    assert!(at(300).has_reached(&due(&record)));
}
