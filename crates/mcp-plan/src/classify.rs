//! What a runtime's report means (S22, S23).

use mcp_model::{
    ComponentRecord, Condition, Container, Event, Instance, Moment, NewEvent, Observed,
    ObservedState, OperationId, RuntimeState, Stamp,
};

use crate::words;

/// Reads one container's report.
///
/// podman cannot tell who stopped a container: an ended one is `stopped` only where MCP recorded
/// that it stopped this very life, else `exited`. While it is on its way somewhere the state stays
/// `previous`. A word that nobody knows is `unknown`, never an ended container.
pub fn classify(
    container: Container,
    recorded_stop: Option<&Instance>,
    previous: ObservedState,
) -> Observed {
    let was_meant = recorded_stop.is_some_and(|stopped| stopped.is_same_life(&container.instance));
    let ended = if was_meant {
        ObservedState::Stopped
    } else {
        ObservedState::Exited
    };
    let (state, condition) = match &container.state {
        RuntimeState::Running => (ObservedState::Running, None),
        RuntimeState::Created | RuntimeState::Configured => {
            (ObservedState::Stopped, Some(Condition::Created))
        }
        RuntimeState::Initialized => (ObservedState::Stopped, Some(Condition::Initialized)),
        RuntimeState::Paused => (ObservedState::Stopped, Some(Condition::Paused)),
        RuntimeState::Stopped | RuntimeState::Exited => (ended, None),
        RuntimeState::Stopping => (previous, Some(Condition::Stopping)),
        RuntimeState::Restarting => (previous, Some(Condition::Restarting)),
        RuntimeState::Removing => (previous, Some(Condition::Removing)),
        RuntimeState::Other(_) => (ObservedState::Unknown, None),
    };
    Observed::Present {
        state,
        condition,
        container: Box::new(container),
    }
}

/// The transitions from what is stored to what was seen, in order. Empty where nothing changed,
/// and where nothing was seen.
///
/// A new life that is seen running is one death and one start, but counts once for flapping (S23);
/// so is one that began and ended between two looks.
/// A first look counts not at all, and neither does what an open operation does (S28).
pub fn transitions(
    record: &ComponentRecord,
    observed: &Observed,
    operation: Option<&OperationId>,
    now: Moment,
) -> Vec<NewEvent> {
    let (prev, new) = (record.observed, observed.state());
    if new == ObservedState::Unknown {
        return Vec::new();
    }
    let exit = observed.container().and_then(|container| container.exit);
    let event = |prev, new, counted| {
        let ended = matches!(new, ObservedState::Exited | ObservedState::Stopped);
        let cause = match observed.container() {
            Some(container) if ended => words::death(container),
            _ => String::new(),
        };
        NewEvent {
            event: Event {
                id: 0,
                key: record.key.clone(),
                prev,
                new,
                at: now,
                exit_code: exit.filter(|_| ended).map(|exit| exit.code),
                cause,
                operation: operation.cloned(),
            },
            counted: counted && operation.is_none() && prev != ObservedState::Unknown,
        }
    };
    let lived_on = match (&record.instance, observed.container()) {
        (Some(before), Some(now)) => before.is_same_life(&now.instance),
        _ => true,
    };
    if prev == ObservedState::Running && new == ObservedState::Running && !lived_on {
        return vec![
            event(ObservedState::Running, ObservedState::Exited, true),
            event(ObservedState::Exited, ObservedState::Running, false),
        ];
    }
    if prev == ObservedState::Exited && new == prev && started_since(record, observed) {
        return vec![
            event(ObservedState::Exited, ObservedState::Running, false),
            event(ObservedState::Running, ObservedState::Exited, true),
        ];
    }
    if prev == new {
        Vec::new()
    } else {
        vec![event(prev, new, true)]
    }
}

/// Whether a life began since the last look: the same container, started at another time. A count of
/// restarts alone rises before the start that it counts.
fn started_since(record: &ComponentRecord, observed: &Observed) -> bool {
    let (Some(before), Some(now)) = (&record.instance, observed.container()) else {
        return false;
    };
    let started = |instance: &Instance| instance.started_at.map(Stamp::whole_seconds);
    let (then, now_started) = (started(before), started(&now.instance));
    before.id == now.instance.id && then.is_some() && now_started.is_some() && then != now_started
}
