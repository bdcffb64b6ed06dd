//! What differs from intent, and when it is worth a message (S7, S25, S28, S29).

use std::time::Duration;

use mcp_model::{
    ComponentRecord, DesiredState, Drift, DriftKind, Moment, Observed, ObservedState, RuntimeState,
};

use crate::{diff, words};

/// How long differences are left alone before somebody is told.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For state drift that a restart policy will mend by itself.
    pub settle: Duration,
    /// For drift that changed intent has made.
    pub settle_intent: Duration,
}

/// What is to be said about one key's differences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assessment {
    /// Nothing may be concluded: the state is unknown, or an operation is open (S25, S28). What
    /// stood goes on standing.
    Hold,
    /// As wanted, or not managed.
    InSync,
    /// These differ.
    Differs {
        /// What differs, state first.
        drift: Vec<Drift>,
        /// Since when.
        since: Moment,
        /// When it is due to be told; in the past where it is due already.
        due: Moment,
    },
    /// It differs, but a restart policy is about to mend it; look again at that moment.
    Settling(Moment),
}

/// Compares intent with observation.
pub fn assess(
    record: &ComponentRecord,
    observed: &Observed,
    operation_open: bool,
    patience: Patience,
    now: Moment,
) -> Assessment {
    if operation_open || observed.is_unknown() {
        return Assessment::Hold;
    }
    if record.desired == DesiredState::Ignore || record.orphaned {
        return Assessment::InSync;
    }
    // A stamp from the future counts as now (S34).
    let known = |stamp: Moment| !stamp.is_from_the_future(&now);
    let since = record.observed_since.filter(|s| known(*s)).unwrap_or(now);
    let intent_due = if known(record.intent_at) {
        record.intent_at.plus(patience.settle_intent)
    } else {
        now
    };
    let state = state_drift(record, observed);
    // What was so before intent changed differs because of that change: the operator knows (S29).
    let made_by_intent = record.intent_at.has_reached(&since);
    if let Some(drift) = state {
        let due = if made_by_intent {
            intent_due
        } else if mends_itself(record, observed) {
            let due = since.plus(patience.settle);
            if now.since(&since) < patience.settle {
                return Assessment::Settling(due);
            }
            due
        } else {
            since
        };
        let mut drift = vec![drift];
        drift.extend(spec_drift(record, observed));
        return Assessment::Differs { drift, since, due };
    }
    match spec_drift(record, observed) {
        Some(drift) => Assessment::Differs {
            drift: vec![drift],
            since: record.intent_at,
            due: intent_due,
        },
        None => Assessment::InSync,
    }
}

/// The documented table: which observed states satisfy which desired state.
pub fn is_satisfied(desired: DesiredState, observed: ObservedState) -> bool {
    use ObservedState::{Exited, Removed, Running, Stopped, Unknown};
    match (desired, observed) {
        (DesiredState::Ignore, _) | (_, Unknown) => true,
        (DesiredState::Running, observed) => observed == Running,
        // An end that nobody asked for is still an end: what is wanted stopped does not run.
        (DesiredState::Stopped, observed) => matches!(observed, Stopped | Exited | Removed),
    }
}

fn state_drift(record: &ComponentRecord, observed: &Observed) -> Option<Drift> {
    let state = observed.state();
    if is_satisfied(record.desired, state) {
        return None;
    }
    let exit_code = observed
        .container()
        .and_then(|c| c.exit)
        .map(|exit| exit.code);
    let cause = match (state, observed.container()) {
        (ObservedState::Removed, _) if record.deployed.is_none() => {
            "never deployed: there is no container yet".to_owned()
        }
        (ObservedState::Removed, _) => "its container is gone".to_owned(),
        (ObservedState::Running, _) => "running, though it is meant to be stopped".to_owned(),
        (_, Some(container)) => match words::death(container) {
            _ if container.state == RuntimeState::Initialized => {
                "set up and, says podman, not started: where a start was cut off, it may run all the same".to_owned()
            }
            words if words.is_empty() => "its container is there, but was never started".to_owned(),
            words => words,
        },
        _ => String::new(),
    };
    Some(Drift {
        kind: DriftKind::State,
        desired: record.desired,
        observed: state,
        cause,
        exit_code: exit_code.filter(|_| state != ObservedState::Running),
    })
}

fn spec_drift(record: &ComponentRecord, observed: &Observed) -> Option<Drift> {
    observed.container()?;
    let (_, made_from) = record.made_from.as_ref()?;
    let changes = diff::fields(&made_from.effective(), &record.spec.effective());
    if changes.is_empty() {
        return None;
    }
    let fields: Vec<String> = changes
        .iter()
        .map(|change| {
            format!(
                "{} is {:?}, wanted {:?}",
                change.field, change.before, change.after
            )
        })
        .collect();
    Some(Drift {
        kind: DriftKind::Spec,
        desired: record.desired,
        observed: observed.state(),
        cause: fields.join("; "),
        exit_code: None,
    })
}

/// Whether the runtime will bring the container back by itself.
fn mends_itself(record: &ComponentRecord, observed: &Observed) -> bool {
    let Some(container) = observed.container() else {
        return false;
    };
    let spec = record
        .made_from
        .as_ref()
        .map_or(&record.spec, |(_, spec)| spec);
    record.desired == DesiredState::Running
        && observed.state() == ObservedState::Exited
        && spec.restart().acts_after(
            container.exit.map(|exit| exit.code),
            container.instance.restart_count,
        )
}
