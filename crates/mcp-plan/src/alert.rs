//! When somebody is told (S30).
//!
//! One incident is one message when it opens, one when it closes, and one reminder where a
//! cooldown held the first one back and it still stands when the cooldown ends.

use std::time::Duration;

use mcp_model::{AlertEvent, AlertKind, Incident, IncidentId, Moment, Scope};

/// How often a message is tried to be sent.
pub const TRIES: u32 = 3;

/// How long to wait before a message that failed so many times is tried again; nothing where it is
/// given up.
pub fn retry_after(tried: u32) -> Option<Duration> {
    match tried {
        0 | 1 => Some(Duration::from_secs(5)),
        2 => Some(Duration::from_secs(30)),
        TRIES.. => None,
    }
}

/// How often somebody is told.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// How long messages about one component and kind are held back after one was sent.
    pub cooldown: Duration,
    /// Whether the end of an incident is told.
    pub notify_close: bool,
}

/// Whether there is something to tell about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It stands, since and due to be told at these moments.
    Stands {
        /// Since when.
        since: Moment,
        /// When it is due to be told.
        due: Moment,
    },
    /// It does not stand.
    Gone,
    /// Nobody can say; nothing changes.
    Hold,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing changes; look again at that moment, where there is one.
    Nothing(Option<Moment>),
    /// An incident opens; the message is sent now, or held back until that moment.
    Open {
        /// Since when it stands.
        since: Moment,
        /// Whether it is told now.
        tell: bool,
        /// When a cooldown that holds it back ends.
        recheck: Option<Moment>,
    },
    /// It still stands after the cooldown that had held it back.
    Remind,
    /// It closes; told or not.
    Close {
        /// Whether it is told: only what was told open is told closed.
        tell: bool,
    },
}

/// Decides what follows for one kind of alert of one key.
///
/// `last_told` is when anything was last said about this kind and key, over all incidents.
/// The cooldown holds back openings, not closings: whoever was told that it broke is told that it
/// is whole again.
pub fn decide(
    open: Option<&Incident>,
    standing: Standing,
    last_told: Option<Moment>,
    manners: Manners,
    now: Moment,
) -> Outcome {
    // How long ago a stamp from the future was set nobody knows: rather once too often than for
    // years not at all.
    let cooled = last_told
        .is_none_or(|told| told.is_from_the_future(&now) || now.since(&told) >= manners.cooldown);
    let cooled_at = || last_told.map(|told| told.plus(manners.cooldown));
    match (open, standing) {
        (_, Standing::Hold) | (None, Standing::Gone) => Outcome::Nothing(None),
        (None, Standing::Stands { since, due }) => {
            if !now.has_reached(&due) {
                return Outcome::Nothing(Some(due));
            }
            let recheck = if cooled { None } else { cooled_at() };
            Outcome::Open {
                since,
                tell: cooled,
                recheck,
            }
        }
        // The node's incident speaks for it.
        (Some(incident), Standing::Stands { .. }) if incident.covered_by.is_some() => {
            Outcome::Nothing(None)
        }
        (Some(incident), Standing::Stands { .. }) => match incident.told {
            Some(_) => Outcome::Nothing(None),
            None if cooled => Outcome::Remind,
            None => Outcome::Nothing(cooled_at()),
        },
        (Some(incident), Standing::Gone) => Outcome::Close {
            tell: incident.told.is_some() && manners.notify_close,
        },
    }
}

/// When to look again after an outcome, where time alone may change it.
pub fn next_look(outcome: &Outcome, now: Moment) -> Option<Duration> {
    match outcome {
        Outcome::Nothing(due) | Outcome::Open { recheck: due, .. } => {
            due.map(|due| now.until(&due).max(Duration::from_millis(1)))
        }
        Outcome::Remind | Outcome::Close { .. } => None,
    }
}

/// Whether this many transitions within the window are flapping.
pub fn is_flapping(transitions: u32, threshold: u32) -> bool {
    transitions > threshold
}

/// A stable id for the incident of `kind` that opens at `at`: the same opening always gets the same
/// id, so a repeated message is recognised.
pub fn incident_id(scope: &Scope, kind: AlertKind, at: Moment) -> IncidentId {
    let opened = at.wall.as_millis();
    IncidentId(match scope {
        Scope::Component(key) => {
            format!("{}.{}.{kind}.{opened:x}", key.service, key.component)
        }
        Scope::Node => format!("node.{kind}.{opened:x}"),
    })
}

/// The incident after a message about it was sent.
#[must_use]
pub fn told(mut incident: Incident, event: AlertEvent, now: Moment) -> Incident {
    incident.told = Some((event, now));
    incident
}
