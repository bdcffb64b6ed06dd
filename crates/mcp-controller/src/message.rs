//! Changes of incidents with the messages that follow from them (S30, S31).

use mcp_model::{
    Alert, AlertEvent, AlertKind, ComponentRecord, DesiredState, Incident, IncidentChange, Moment,
    ObservedState, Scope,
};
use mcp_plan::alert::{self, Outcome};
use tracing::info;

/// Whom a message is about, and how it is.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) scope: Scope,
    pub(crate) desired: DesiredState,
    pub(crate) observed: ObservedState,
    pub(crate) prev: ObservedState,
}

impl Subject {
    /// A component that was seen as its record says, and in state `prev` before.
    pub(crate) fn of(record: &ComponentRecord, prev: ObservedState) -> Self {
        Self {
            scope: record.key.clone().into(),
            desired: record.desired,
            observed: record.observed,
            prev,
        }
    }
}

/// What a message says besides when.
#[derive(Debug, Clone)]
pub(crate) struct Matter {
    pub(crate) kind: AlertKind,
    pub(crate) reason: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) transitions: u32,
}

/// The incident as the outcome leaves it, with the message that follows from it.
pub(crate) fn change(
    subject: &Subject,
    open: Option<&Incident>,
    matter: &Matter,
    outcome: &Outcome,
    now: Moment,
) -> Option<IncidentChange> {
    let (incident, event, closed) = match (outcome, open) {
        (Outcome::Open { since, tell, .. }, _) => {
            let incident = opened(subject, matter, *since, now);
            (incident, tell.then_some(AlertEvent::Opened), None)
        }
        (Outcome::Remind, Some(open)) => (open.clone(), Some(AlertEvent::Reminder), None),
        (Outcome::Close { tell }, Some(open)) => {
            (open.clone(), tell.then_some(AlertEvent::Closed), Some(now))
        }
        _ => return None,
    };
    let alert = event.map(|event| Alert {
        incident: incident.id.clone(),
        event,
        kind: matter.kind,
        scope: subject.scope.clone(),
        desired: subject.desired,
        observed: subject.observed,
        prev: subject.prev,
        at: now,
        exit_code: matter.exit_code,
        reason: if matter.reason.is_empty() {
            incident.cause.clone()
        } else {
            matter.reason.clone()
        },
        transitions: matter.transitions,
    });
    // A close is told, but does not start a cooldown: the next break is news again after the
    // cooldown of the last opening.
    let incident = match event {
        Some(event) if event != AlertEvent::Closed => alert::told(incident, event, now),
        _ => incident,
    };
    Some(IncidentChange {
        incident,
        closed,
        alert,
    })
}

/// An incident that nobody was told of yet.
pub(crate) fn opened(subject: &Subject, matter: &Matter, since: Moment, now: Moment) -> Incident {
    Incident {
        id: alert::incident_id(&subject.scope, matter.kind, now),
        scope: subject.scope.clone(),
        kind: matter.kind,
        opened: since,
        told: None,
        cause: matter.reason.clone(),
        desired: subject.desired,
        observed: subject.observed,
        covered_by: None,
    }
}

/// Writes changes to the log.
pub(crate) fn log(changes: &[IncidentChange]) {
    for change in changes {
        let incident = &change.incident;
        let told = change.alert.as_ref().map(|alert| alert.event.as_str());
        let covered_by = incident.covered_by.as_ref().map(tracing::field::display);
        info!(
            scope = %incident.scope, incident = %incident.id, kind = %incident.kind,
            closed = change.closed.is_some(), told, covered_by, cause = %incident.cause,
            "incident changed"
        );
    }
}
