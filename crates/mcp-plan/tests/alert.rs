//! One incident is one message when it opens, one when it closes, one reminder in between at most.

mod common;

use std::time::Duration;

use common::{at, key};
use mcp_model::{
    AlertEvent, AlertKind, BootId, DesiredState, Incident, IncidentId, Moment, ObservedState, Stamp,
};
use mcp_plan::alert::{Manners, Outcome, Standing, decide, incident_id, is_flapping, told};
use proptest::prelude::*;

const MANNERS: Manners = Manners {
    cooldown: Duration::from_secs(100),
    notify_close: true,
};

fn incident(told: Option<Moment>) -> Incident {
    Incident {
        id: IncidentId("i".into()),
        scope: key().into(),
        kind: AlertKind::Drift,
        opened: at(0),
        told: told.map(|at| (AlertEvent::Opened, at)),
        cause: String::new(),
        desired: DesiredState::Running,
        observed: ObservedState::Exited,
        covered_by: None,
    }
}

fn stands(since: u64) -> Standing {
    Standing::Stands {
        since: at(since),
        due: at(since),
    }
}

#[test]
fn the_first_drift_is_told_at_once() {
    let outcome = decide(None, stands(5), None, MANNERS, at(5));
    assert_eq!(
        outcome,
        Outcome::Open {
            since: at(5),
            tell: true,
            recheck: None
        }
    );
}

#[test]
fn drift_that_is_not_due_waits_until_it_is() {
    let standing = Standing::Stands {
        since: at(5),
        due: at(65),
    };
    assert_eq!(
        decide(None, standing, None, MANNERS, at(64)),
        Outcome::Nothing(Some(at(65)))
    );
    assert!(matches!(
        decide(None, standing, None, MANNERS, at(65)),
        Outcome::Open { tell: true, .. }
    ));
}

#[test]
fn a_cooldown_that_began_in_the_future_of_another_boot_is_over() {
    let ahead = Moment {
        wall: at(0).wall.plus(Duration::from_hours(10 * 365 * 24)),
        boot: Duration::from_secs(5),
        boot_id: BootId(7),
    };
    let outcome = decide(None, stands(5), Some(ahead), MANNERS, at(5));
    assert!(matches!(outcome, Outcome::Open { tell: true, .. }));
}

#[test]
fn a_cooldown_holds_an_opening_back_and_reminds_once_when_it_ends() {
    let outcome = decide(None, stands(50), Some(at(10)), MANNERS, at(50));
    assert_eq!(
        outcome,
        Outcome::Open {
            since: at(50),
            tell: false,
            recheck: Some(at(110))
        }
    );
    let held = incident(None);
    let decide_at = |now| decide(Some(&held), stands(50), Some(at(10)), MANNERS, at(now));
    assert_eq!(decide_at(109), Outcome::Nothing(Some(at(110))));
    assert_eq!(decide_at(110), Outcome::Remind);
    let reminded = told(held, AlertEvent::Reminder, at(110));
    let outcome = decide(Some(&reminded), stands(50), Some(at(110)), MANNERS, at(999));
    assert_eq!(outcome, Outcome::Nothing(None));
}

#[test]
fn only_what_was_told_open_is_told_closed() {
    let closing =
        |incident: &Incident, manners| decide(Some(incident), Standing::Gone, None, manners, at(9));
    assert_eq!(
        closing(&incident(Some(at(1))), MANNERS),
        Outcome::Close { tell: true }
    );
    assert_eq!(
        closing(&incident(None), MANNERS),
        Outcome::Close { tell: false }
    );
    let quiet = Manners {
        notify_close: false,
        ..MANNERS
    };
    assert_eq!(
        closing(&incident(Some(at(1))), quiet),
        Outcome::Close { tell: false }
    );
}

#[test]
fn what_nobody_can_say_changes_nothing() {
    for open in [None, Some(incident(None)), Some(incident(Some(at(1))))] {
        let outcome = decide(
            open.as_ref(),
            Standing::Hold,
            Some(at(1)),
            MANNERS,
            at(5000),
        );
        assert_eq!(outcome, Outcome::Nothing(None));
    }
}

#[test]
fn a_wall_clock_that_jumps_does_not_end_a_cooldown() {
    let mut now = at(20);
    now.wall = Stamp::from_millis(9_000_000_000_000);
    let outcome = decide(
        None,
        Standing::Stands {
            since: now,
            due: now,
        },
        Some(at(10)),
        MANNERS,
        now,
    );
    assert!(matches!(outcome, Outcome::Open { tell: false, .. }));
}

#[test]
fn flapping_is_more_than_the_threshold() {
    assert!(!is_flapping(3, 3));
    assert!(is_flapping(4, 3));
}

#[test]
fn an_incident_keeps_its_id() {
    assert_eq!(
        incident_id(&key().into(), AlertKind::Drift, at(7)),
        incident_id(&key().into(), AlertKind::Drift, at(7))
    );
    assert_ne!(
        incident_id(&key().into(), AlertKind::Drift, at(7)),
        incident_id(&key().into(), AlertKind::Flapping, at(7))
    );
}

proptest! {
    /// Whatever stands, goes or is unknown, at whatever time: never two openings without a close,
    /// never a close that was not opened, never two messages of opening within a cooldown.
    #[test]
    fn messages_alternate_and_keep_their_distance(
        steps in prop::collection::vec((1u64..60, 0u8..3), 1..60)
    ) {
        let (mut open, mut last, mut now) = (None::<Incident>, None::<Moment>, 0);
        let mut openings: Vec<u64> = Vec::new();
        let mut told_open = false;
        for (pause, what) in steps {
            now += pause;
            let standing = match what { 0 => Standing::Gone, 1 => stands(now), _ => Standing::Hold };
            match decide(open.as_ref(), standing, last, MANNERS, at(now)) {
                Outcome::Nothing(_) => {}
                Outcome::Open { tell, .. } => {
                    prop_assert!(open.is_none() && !told_open);
                    open = Some(incident(tell.then(|| at(now))));
                    if tell { openings.push(now); last = Some(at(now)); told_open = true; }
                }
                Outcome::Remind => {
                    prop_assert!(!told_open);
                    open = open.map(|i| told(i, AlertEvent::Reminder, at(now)));
                    openings.push(now); last = Some(at(now)); told_open = true;
                }
                Outcome::Close { tell } => {
                    prop_assert_eq!(tell, told_open);
                    open = None;
                    told_open = false;
                }
            }
        }
        prop_assert!(openings.windows(2).all(|pair| pair[1] - pair[0] >= 100));
    }
}
