//! Incidents and what is said about them (S29–S32).

use std::fmt;

use crate::name::ComponentKey;
use crate::state::{DesiredState, ObservedState, words};
use crate::time::Moment;

/// An incident's id, stable from its opening to its close.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub String);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What an incident is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// Observed differs from desired.
    Drift,
    /// Its state changes too often.
    Flapping,
}

words!(AlertKind, "alert type", { Drift => "drift", Flapping => "flapping" });

/// Which message about an incident this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertEvent {
    /// It began.
    Opened,
    /// It ended.
    Closed,
    /// It still stands, and a cooldown had held the first message back.
    Reminder,
}

words!(AlertEvent, "alert event", {
    Opened => "opened", Closed => "closed", Reminder => "reminder",
});

/// Drift or flapping of one component, from opening to closing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// Of what.
    pub key: ComponentKey,
    /// About what.
    pub kind: AlertKind,
    /// Since when it stands.
    pub opened: Moment,
    /// What was said last, and when; nothing while a cooldown holds it back.
    pub told: Option<(AlertEvent, Moment)>,
    /// Why, in plain words.
    pub cause: String,
    /// What was wanted and seen when it opened.
    pub desired: DesiredState,
    /// What was seen when it opened.
    pub observed: ObservedState,
}

/// One message to send: everything that the alert command is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The incident.
    pub incident: IncidentId,
    /// Which message.
    pub event: AlertEvent,
    /// About what.
    pub kind: AlertKind,
    /// Of what.
    pub key: ComponentKey,
    /// What is wanted.
    pub desired: DesiredState,
    /// What is seen.
    pub observed: ObservedState,
    /// What was seen before.
    pub prev: ObservedState,
    /// When that was.
    pub at: Moment,
    /// How the process ended, where it did.
    pub exit_code: Option<i32>,
    /// Why, in plain words.
    pub reason: String,
    /// Transitions in the flap window, for flapping.
    pub transitions: u32,
}
