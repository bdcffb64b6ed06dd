//! Incidents of components and the messages about them (S28–S31).

use std::time::Duration;

use mcp_model::{
    AlertKind, ComponentRecord, DesiredState, Drift, DriftKind, Incident, IncidentChange,
    IncidentId, KeyState, Moment, ObservedState,
};
use mcp_plan::alert::{self, Manners, Standing};
use mcp_plan::drift::Assessment;
use mcp_plan::node::is_overtaken;

use super::auto::given_up;
use super::{Reconciler, RunError};
use crate::message::{Matter, Subject, change, log};
use crate::node::Boot;
use crate::view::Verdict;

/// What telling came to.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The incident of drift that stands now; the node's, where that stands for it.
    pub(super) drift_incident: Option<IncidentId>,
    /// The incident of flapping that stands now, with the count as it is now.
    pub(super) flapping: Option<Incident>,
    /// When there may be something to tell again.
    pub(super) recheck: Option<Duration>,
}

impl Told {
    fn note(&mut self, standing: Option<&Incident>, matter: &Matter) {
        match matter.kind {
            AlertKind::Drift => self.drift_incident = standing.map(told_as),
            AlertKind::Flapping => {
                self.flapping = standing.map(|incident| Incident {
                    cause: matter.reason.clone(),
                    ..incident.clone()
                });
            }
            AlertKind::GaveUp | AlertKind::Outage | AlertKind::Reboot => {}
        }
    }

    fn recheck_in(&mut self, wait: Duration) {
        self.recheck = self.recheck.into_iter().chain([wait]).min();
    }
}

impl Reconciler {
    /// Decides for each kind of alert, stores what follows, wakes the dispatcher. What may be done
    /// about drift was weighed before; how far a reboot has settled was read before the key was
    /// loaded.
    pub(super) async fn tell(
        &self,
        state: &KeyState,
        assessment: &Assessment,
        (verdict, boot): (Verdict, Boot),
        now: Moment,
    ) -> Result<Told, RunError> {
        let Some(record) = &state.record else {
            return Ok(Told::default());
        };
        let mut changes = Vec::new();
        let mut told = Told::default();
        let (mut drift, drift_matter) = drift_standing(assessment);
        if let Some(wait) = held_back(state, assessment, boot, now) {
            drift = Standing::Hold;
            told.recheck_in(wait);
        }
        let (flapping, flapping_matter) = self.flapping(state, record, assessment, now).await?;
        let (spent, reason) = given_up(verdict, assessment, self.settings.auto, now);
        let spent_matter = Matter {
            kind: AlertKind::GaveUp,
            reason,
            exit_code: drift_matter.exit_code,
            transitions: 0,
        };
        let subject = Subject::of(record, self.previous(record));
        let flaps = matches!(flapping, Standing::Stands { .. });
        for (standing, matter) in [
            (drift, drift_matter),
            (flapping, flapping_matter),
            (spent, spent_matter),
        ] {
            let stored = open(state, matter.kind);
            let standing = if flaps && outlasts_the_flapping(stored, record, standing) {
                Standing::Hold
            } else {
                standing
            };
            let (speaker, wait) = speaker(stored, record, standing, now);
            let last = last_told(state, matter.kind);
            let outcome = alert::decide(speaker.as_ref(), standing, last, self.manners(), now);
            let change = change(&subject, speaker.as_ref(), &matter, &outcome, now)
                .or_else(|| silently(speaker.clone().filter(|new| Some(new) != stored)));
            for wait in wait.into_iter().chain(alert::next_look(&outcome, now)) {
                told.recheck_in(wait);
            }
            told.note(standing_now(change.as_ref(), stored), &matter);
            changes.extend(change);
        }
        if told.flapping.is_some() {
            // Transitions leave the window with time, not with events.
            told.recheck_in((self.settings.flap_window / 4).max(Duration::from_secs(1)));
        }
        // The node's incident ends with the last that it stands for.
        let covered = state.incidents.iter().any(|open| open.covered_by.is_some());
        let nudge = covered && !changes.is_empty();
        self.store(changes).await?;
        if nudge {
            self.node.nudge();
        }
        Ok(told)
    }

    async fn store(&self, changes: Vec<IncidentChange>) -> Result<(), RunError> {
        if changes.is_empty() {
            return Ok(());
        }
        log(&changes);
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
        assessment: &Assessment,
        now: Moment,
    ) -> Result<(Standing, Matter), RunError> {
        let open = open(state, AlertKind::Flapping);
        let window = self.settings.flap_window;
        // Without a recent transition there is nothing to count.
        let recent = record
            .observed_since
            .is_some_and(|since| now.since(&since) < window);
        let within = async |window| {
            let store = &self.ports.store;
            store.transitions(&record.key, now, window).await
        };
        let mut transitions = 0;
        if open.is_some() || recent {
            transitions = within(window).await?;
        }
        let flaps = alert::is_flapping(transitions, self.settings.flap_threshold);
        let matters = record.desired != DesiredState::Ignore && !record.orphaned;
        let (mut standing, mut counted) = (Standing::Gone, window);
        if flaps && matters {
            standing = Standing::Stands {
                since: now,
                due: now,
            };
        } else if let Some(open) = open {
            if *assessment == Assessment::Hold {
                // Nobody sees it: that nothing is counted does not mean that it is calm.
                standing = Standing::Hold;
            }
            // The last word is about all of it: what was held back while it stood as well.
            counted = now.since(&open.opened) + window;
            transitions = within(counted).await?;
        }
        let reason = format!(
            "changed state {transitions} times within {} s",
            counted.as_secs()
        );
        let matter = Matter {
            kind: AlertKind::Flapping,
            reason,
            exit_code: record.exit_code,
            transitions,
        };
        Ok((standing, matter))
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

    /// How often somebody is told, as the settings say.
    pub(crate) fn manners(&self) -> Manners {
        Manners {
            cooldown: self.settings.cooldown,
            notify_close: self.settings.notify_close,
        }
    }
}

fn open(state: &KeyState, kind: AlertKind) -> Option<&Incident> {
    state.incidents.iter().find(|open| open.kind == kind)
}

fn last_told(state: &KeyState, kind: AlertKind) -> Option<Moment> {
    state
        .last_told
        .iter()
        .find(|(told, _)| *told == kind)
        .map(|(_, at)| *at)
}

/// Whose message tells of it.
fn told_as(incident: &Incident) -> IncidentId {
    let own = || incident.id.clone();
    incident.covered_by.clone().unwrap_or_else(own)
}

/// How long drift that is not told yet waits for a reboot to settle: until then nobody can say
/// whether the node's incident will stand for it.
fn held_back(
    state: &KeyState,
    assessment: &Assessment,
    boot: Boot,
    now: Moment,
) -> Option<Duration> {
    let Assessment::Differs { drift, .. } = assessment else {
        return None;
    };
    let down =
        |drift: &Drift| drift.kind == DriftKind::State && drift.desired == DesiredState::Running;
    if open(state, AlertKind::Drift).is_some() || !drift.iter().any(down) {
        return None;
    }
    boot.wait(now)
}

/// Whether what is over for a moment stays open while the component goes up and down: otherwise each
/// time that it is seen down would be an incident of its own, thousands of them, with nobody to tell.
/// Intent that has changed since is an end all the same.
fn outlasts_the_flapping(
    open: Option<&Incident>,
    record: &ComponentRecord,
    standing: Standing,
) -> bool {
    let Some(open) = open else {
        return false;
    };
    let is_of_a_state = matches!(open.kind, AlertKind::Drift | AlertKind::GaveUp);
    standing == Standing::Gone
        && is_of_a_state
        && open.covered_by.is_none()
        && !is_overtaken(open, record)
}

/// The open incident as it speaks from now on, and when to see whether that changes: one that the
/// node's stood for speaks for itself where intent has changed since and it still stands.
fn speaker(
    open: Option<&Incident>,
    record: &ComponentRecord,
    standing: Standing,
    now: Moment,
) -> (Option<Incident>, Option<Duration>) {
    let Some(open) = open else {
        return (None, None);
    };
    let mut speaker = open.clone();
    let mut wait = None;
    if let Standing::Stands { due, .. } = standing
        && open.covered_by.is_some()
        && is_overtaken(open, record)
    {
        if now.has_reached(&due) {
            speaker.covered_by = None;
        } else {
            wait = Some(now.until(&due));
        }
    }
    (Some(speaker), wait)
}

/// A change that nobody is told of.
fn silently(incident: Option<Incident>) -> Option<IncidentChange> {
    Some(IncidentChange {
        incident: incident?,
        closed: None,
        alert: None,
    })
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
