//! Incidents and the messages about them (S28–S31).

use std::time::Duration;

use mcp_model::{
    Alert, AlertEvent, AlertKind, ComponentRecord, DesiredState, Drift, Incident, IncidentChange,
    IncidentId, KeyState, Moment, ObservedState,
};
use mcp_plan::alert::{self, Manners, Outcome, Standing};
use mcp_plan::drift::Assessment;
use tracing::info;

use super::auto::given_up;
use super::{Reconciler, RunError};
use crate::view::Verdict;

/// What telling came to.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The incident of drift that stands now.
    pub(super) drift_incident: Option<IncidentId>,
    /// The incident of flapping that stands now.
    pub(super) flapping: Option<Incident>,
    /// When there may be something to tell again.
    pub(super) recheck: Option<Duration>,
}

/// What a message says besides when.
struct Matter {
    kind: AlertKind,
    reason: String,
    exit_code: Option<i32>,
    transitions: u32,
}

impl Reconciler {
    /// Decides for each kind of alert, stores what follows, wakes the dispatcher.
    pub(super) async fn tell(
        &self,
        state: &KeyState,
        assessment: &Assessment,
        verdict: Verdict,
        now: Moment,
    ) -> Result<Told, RunError> {
        let Some(record) = &state.record else {
            return Ok(Told::default());
        };
        let (drift, drift_matter) = drift_standing(assessment);
        let (flapping, flapping_matter) = self.flapping(state, record, now).await?;
        let (spent, reason) = given_up(verdict, assessment, self.settings.auto, now);
        let spent_matter = Matter {
            kind: AlertKind::GaveUp,
            reason,
            exit_code: drift_matter.exit_code,
            transitions: 0,
        };
        let mut changes = Vec::new();
        let mut told = Told::default();
        for (standing, matter) in [
            (drift, drift_matter),
            (flapping, flapping_matter),
            (spent, spent_matter),
        ] {
            let open = state
                .incidents
                .iter()
                .find(|incident| incident.kind == matter.kind);
            let last = last_told(state, matter.kind);
            let outcome = alert::decide(open, standing, last, self.manners(), now);
            let prev = self.previous(record);
            let change = change(record, open, prev, &matter, &outcome, now);
            if let Outcome::Nothing(Some(due))
            | Outcome::Open {
                recheck: Some(due), ..
            } = outcome
            {
                let wait = now.until(&due).max(Duration::from_millis(1));
                told.recheck = told.recheck.into_iter().chain([wait]).min();
            }
            let stands = standing_now(change.as_ref(), open);
            if matter.kind == AlertKind::Drift {
                told.drift_incident = stands.map(|incident| incident.id.clone());
            } else if let (AlertKind::Flapping, Some(incident)) = (matter.kind, stands) {
                told.flapping = Some(incident.clone());
                // Transitions leave the window with time, not with events.
                let wait = (self.settings.flap_window / 4).max(Duration::from_secs(1));
                told.recheck = told.recheck.into_iter().chain([wait]).min();
            }
            changes.extend(change);
        }
        self.store(changes).await?;
        Ok(told)
    }

    async fn store(&self, changes: Vec<IncidentChange>) -> Result<(), RunError> {
        if changes.is_empty() {
            return Ok(());
        }
        for change in &changes {
            let incident = &change.incident;
            let told = change.alert.as_ref().map(|alert| alert.event.as_str());
            info!(
                scope = %incident.scope, incident = %incident.id, kind = %incident.kind,
                closed = change.closed.is_some(), told, cause = %incident.cause,
                "incident changed"
            );
        }
        let wake = changes.iter().any(|change| change.alert.is_some());
        self.ports.store.incidents(changes).await?;
        if wake {
            self.messages.notify_one();
        }
        Ok(())
    }

    async fn flapping(
        &self,
        state: &KeyState,
        record: &ComponentRecord,
        now: Moment,
    ) -> Result<(Standing, Matter), RunError> {
        let open = state
            .incidents
            .iter()
            .any(|incident| incident.kind == AlertKind::Flapping);
        let window = self.settings.flap_window;
        // Without a recent transition there is nothing to count.
        let recent = record
            .observed_since
            .is_some_and(|since| now.since(&since) < window);
        let transitions = if open || recent {
            self.ports
                .store
                .transitions(&record.key, now, window)
                .await?
        } else {
            0
        };
        let flaps = alert::is_flapping(transitions, self.settings.flap_threshold);
        let standing = match (flaps, record.desired) {
            (true, desired) if desired != DesiredState::Ignore && !record.orphaned => {
                Standing::Stands {
                    since: now,
                    due: now,
                }
            }
            _ => Standing::Gone,
        };
        let reason = format!(
            "changed state {transitions} times within {} s",
            window.as_secs()
        );
        let exit_code = record.exit_code;
        Ok((
            standing,
            Matter {
                kind: AlertKind::Flapping,
                reason,
                exit_code,
                transitions,
            },
        ))
    }

    /// What was seen before the present state. Not known after a start of the agent with nothing
    /// changed since; then it is what would have satisfied intent.
    fn previous(&self, record: &ComponentRecord) -> ObservedState {
        self.looks
            .previous(&record.key)
            .unwrap_or(match record.desired {
                DesiredState::Running => ObservedState::Running,
                DesiredState::Stopped | DesiredState::Ignore => ObservedState::Stopped,
            })
    }

    fn manners(&self) -> Manners {
        Manners {
            cooldown: self.settings.cooldown,
            notify_close: self.settings.notify_close,
        }
    }
}

fn last_told(state: &KeyState, kind: AlertKind) -> Option<Moment> {
    state
        .last_told
        .iter()
        .find(|(told, _)| *told == kind)
        .map(|(_, at)| *at)
}

/// The incident that stands after the change.
fn standing_now<'a>(
    change: Option<&'a IncidentChange>,
    open: Option<&'a Incident>,
) -> Option<&'a Incident> {
    match change {
        Some(change) if change.closed.is_some() => None,
        Some(change) => Some(&change.incident),
        None => open,
    }
}

fn drift_standing(assessment: &Assessment) -> (Standing, Matter) {
    let matter = |drift: Option<&Drift>| Matter {
        kind: AlertKind::Drift,
        reason: drift.map(|drift| drift.cause.clone()).unwrap_or_default(),
        exit_code: drift.and_then(|drift| drift.exit_code),
        transitions: 0,
    };
    match assessment {
        Assessment::Differs { drift, since, due } => (
            Standing::Stands {
                since: *since,
                due: *due,
            },
            matter(drift.first()),
        ),
        Assessment::InSync => (Standing::Gone, matter(None)),
        Assessment::Hold | Assessment::Settling(_) => (Standing::Hold, matter(None)),
    }
}

/// The incident as the outcome leaves it, with the message that follows from it.
fn change(
    record: &ComponentRecord,
    open: Option<&Incident>,
    prev: ObservedState,
    matter: &Matter,
    outcome: &Outcome,
    now: Moment,
) -> Option<IncidentChange> {
    let (incident, event, closed) = match (outcome, open) {
        (Outcome::Open { since, tell, .. }, _) => {
            let incident = Incident {
                id: alert::incident_id(&record.key.clone().into(), matter.kind, now),
                scope: record.key.clone().into(),
                kind: matter.kind,
                opened: *since,
                told: None,
                cause: matter.reason.clone(),
                desired: record.desired,
                observed: record.observed,
            };
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
        scope: record.key.clone().into(),
        desired: record.desired,
        observed: record.observed,
        prev,
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
