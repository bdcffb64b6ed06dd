//! What may be done about drift without being asked (S35).

mod common;

use std::time::Duration;

use common::{at, key, present, record};
use mcp_model::{BootId, DesiredState, Moment, ObservedState, OperationKind, Stamp};
use mcp_plan::auto::{Allowance, Because, Permit, Wish, permit, wish};
use mcp_plan::converge;
use mcp_plan::drift::{Patience, assess};
use proptest::prelude::*;

use DesiredState::{Ignore, Running as Run, Stopped as Stop};
use ObservedState::{Exited, Removed, Running, Stopped, Unknown};

const ALLOWANCE: Allowance = Allowance {
    initial: Duration::from_secs(1),
    max: Duration::from_mins(5),
    budget: 5,
    window: Duration::from_mins(10),
};

const PATIENCE: Patience = Patience {
    settle: Duration::from_secs(2),
    settle_intent: Duration::from_mins(1),
};

fn wished(record: &mcp_model::ComponentRecord, now: Moment) -> Wish {
    let observed = present(record.observed);
    let assessment = assess(record, &observed, false, PATIENCE, now);
    wish(record, &assessment, &converge(record, &observed), now)
}

#[test]
fn only_state_drift_that_has_opened_on_what_is_managed_is_acted_on() {
    let start = Wish::Now(OperationKind::Start);
    let stop = Wish::Now(OperationKind::Stop);
    let nothing = Wish::Nothing;
    for (desired, observed, expected) in [
        (Run, Running, nothing(Because::InSync)),
        (Run, Stopped, start),
        (Run, Removed, start),
        (Run, Unknown, nothing(Because::Unknown)),
        (Stop, Running, stop),
        (Stop, Stopped, nothing(Because::InSync)),
        (Stop, Exited, nothing(Because::InSync)),
        (Stop, Removed, nothing(Because::InSync)),
        (Stop, Unknown, nothing(Because::Unknown)),
        (Ignore, Running, nothing(Because::NotManaged)),
        (Ignore, Removed, nothing(Because::NotManaged)),
    ] {
        let mut record = record(desired, observed);
        assert_eq!(wished(&record, at(500)), expected, "{desired} {observed}");
        record.orphaned = true;
        let orphan = nothing(Because::NotManaged);
        assert_eq!(wished(&record, at(500)), orphan, "{desired} {observed}");
    }
}

#[test]
fn what_a_restart_policy_or_the_operator_may_still_mend_is_given_its_time() {
    let died = record(Run, Exited);
    assert_eq!(wished(&died, at(101)), Wish::NotBefore(at(102)));
    assert_eq!(wished(&died, at(102)), Wish::Now(OperationKind::Start));
    let mut said = record(Stop, Running);
    said.intent_at = at(200);
    assert_eq!(wished(&said, at(201)), Wish::NotBefore(at(260)));
    assert_eq!(wished(&said, at(260)), Wish::Now(OperationKind::Stop));
}

#[test]
fn another_spec_and_what_never_was_deployed_are_the_operators() {
    let mut other = record(Run, Running);
    other.spec.image = "registry.example/web:v2".parse().unwrap();
    assert_eq!(wished(&other, at(500)), Wish::Nothing(Because::SpecOnly));
    let mut new = record(Run, Removed);
    new.deployed = None;
    assert_eq!(wished(&new, at(500)), Wish::Nothing(Because::NeverDeployed));
}

#[test]
fn an_attempt_from_the_future_of_another_boot_holds_nothing_up() {
    let future = Moment {
        wall: Stamp::from_millis(4_000_000_000_000),
        boot: Duration::from_secs(9),
        boot_id: BootId(7),
    };
    let attempts = [future; 9];
    assert_eq!(
        permit(&key(), &attempts, false, ALLOWANCE, at(50)),
        Permit::Act
    );
}

#[test]
fn what_is_spent_and_told_does_not_refill_with_time() {
    let attempts = [at(10), at(9), at(8), at(7), at(6)];
    let later = at(86_400);
    assert_eq!(
        permit(&key(), &attempts, true, ALLOWANCE, later),
        Permit::Spent
    );
    // Some attempts have left the window, others not.
    assert_eq!(
        permit(&key(), &attempts, true, ALLOWANCE, at(608)),
        Permit::Spent
    );
    // Not yet told, and the window has passed: it was no loop.
    assert_eq!(
        permit(&key(), &attempts, false, ALLOWANCE, later),
        Permit::Act
    );
    // Somebody had a say since: the history is empty.
    assert_eq!(permit(&key(), &[], true, ALLOWANCE, later), Permit::Act);
}

/// Asks every so often for so long, and acts whenever it may. Returns the attempts, oldest first.
fn lived(allowance: Allowance, every: Duration, rounds: u32) -> Vec<Moment> {
    let mut attempts: Vec<Moment> = Vec::new();
    for round in 0..rounds {
        let now = at(1000).plus(every * round);
        let newest: Vec<Moment> = attempts.iter().rev().copied().collect();
        if permit(&key(), &newest, false, allowance, now) == Permit::Act {
            attempts.push(now);
        }
    }
    attempts
}

prop_compose! {
    fn allowances()(
        initial in 1u64..20_000,
        max in 1u64..400_000,
        budget in 1u32..12,
        window in 1_000u64..2_000_000,
    ) -> Allowance {
        Allowance {
            initial: Duration::from_millis(initial),
            max: Duration::from_millis(max),
            budget,
            window: Duration::from_millis(window),
        }
    }
}

proptest! {
    #[test]
    fn no_window_holds_more_attempts_than_the_budget_however_often_it_is_asked(
        allowance in allowances(),
        every in 1u64..5_000,
    ) {
        let attempts = lived(allowance, Duration::from_millis(every), 2_000);
        prop_assert!(!attempts.is_empty());
        let budget = usize::try_from(allowance.budget).unwrap();
        for (first, beyond) in attempts.iter().zip(attempts.iter().skip(budget)) {
            prop_assert!(beyond.since(first) >= allowance.window);
        }
    }

    #[test]
    fn waits_double_up_to_the_cap_less_a_quarter_at_most(
        seconds in 0u64..1_000_000,
        count in 1u32..5,
    ) {
        let last = at(seconds);
        let attempts = vec![last; usize::try_from(count).unwrap()];
        let Permit::Wait(due) = permit(&key(), &attempts, false, ALLOWANCE, last) else {
            panic!("it must wait");
        };
        let doubled = ALLOWANCE.initial * 2u32.pow(count - 1);
        let wait = due.since(&last);
        prop_assert!(wait <= doubled && wait >= doubled * 3 / 4, "{wait:?}");
        prop_assert_eq!(permit(&key(), &attempts, false, ALLOWANCE, due), Permit::Act);
        let capped = Allowance { max: Duration::from_millis(500), ..ALLOWANCE };
        let Permit::Wait(due) = permit(&key(), &attempts, false, capped, last) else {
            panic!("it must wait");
        };
        prop_assert!(due.since(&last) <= capped.max);
    }
}
