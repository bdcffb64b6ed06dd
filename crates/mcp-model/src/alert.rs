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

/// Whom an incident concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One component.
    Component(ComponentKey),
    /// The node as a whole (S31).
    Node,
}

impl Scope {
    /// The component, where it concerns one.
    pub fn key(&self) -> Option<&ComponentKey> {
        match self {
            Self::Component(key) => Some(key),
            Self::Node => None,
        }
    }
}

impl From<ComponentKey> for Scope {
    fn from(key: ComponentKey) -> Self {
        Self::Component(key)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(key) => key.fmt(f),
            Self::Node => f.pad("node"),
        }
    }
}

/// What an incident is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// Observed differs from desired.
    Drift,
    /// Its state changes too often.
    Flapping,
    /// Auto-reconcile has spent its budget and waits until something changes (S35).
    GaveUp,
    /// The runtime of the node does not answer (S31).
    Outage,
    /// The node started again, and not everything came back (S31).
    Reboot,
}

words!(AlertKind, "alert type", {
    Drift => "drift", Flapping => "flapping", GaveUp => "gave-up", Outage => "outage",
    Reboot => "reboot",
});

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

/// Something that is wrong with one component or with the node, from opening to closing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// Of what.
    pub scope: Scope,
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
    /// The incident of the node that stands for this one, which is never told by itself (S31).
    pub covered_by: Option<IncidentId>,
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
    pub scope: Scope,
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
