//! What may be done about drift without being asked (S35).
//!
//! Two decisions, one after the other. [`wish`] says what intent wants done about what was seen:
//! only state drift that has opened, never what is unknown, never another spec. [`permit`] says
//! whether it may be done now: attempts back off exponentially, a window holds only so many of
//! them, and once they are spent nothing more is done until something changes.
//!
//! The attempts are those since intent or an operator last had a say. They are stored operations,
//! so that neither events nor a restart of the agent shorten a back-off.

use std::time::Duration;

use mcp_model::{
    ComponentKey, ComponentRecord, DesiredState, DriftKind, Moment, ObservedState, OperationKind,
};

use crate::drift::Assessment;
use crate::plan::Decision;

/// How often drift may be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How long to wait after the first attempt; doubled after each further one.
    pub initial: Duration,
    /// Longest wait between two attempts.
    pub max: Duration,
    /// How many attempts a window holds.
    pub budget: u32,
    /// The window.
    pub window: Duration,
}

/// What intent wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing, and why.
    Nothing(Because),
    /// Something, but drift opens only at that moment (S29).
    NotBefore(Moment),
    /// This.
    Now(OperationKind),
}

/// Why nothing is to be done by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// It is as wanted.
    InSync,
    /// It is ignored, or its service no longer names it.
    NotManaged,
    /// Nothing may be concluded from what was seen.
    Unknown,
    /// Only the spec differs: replacing a container is the operator's to say.
    SpecOnly,
    /// It never was deployed: there is nothing to bring back.
    NeverDeployed,
}

/// Whether a wish may be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Now.
    Act,
    /// Not before that moment.
    Wait(Moment),
    /// Not until something changes.
    Spent,
}

/// Says what intent wants done about what was seen. `decision` is what [`crate::converge`] came to.
pub fn wish(
    record: &ComponentRecord,
    assessment: &Assessment,
    decision: &Decision,
    now: Moment,
) -> Wish {
    if record.orphaned || record.desired == DesiredState::Ignore {
        return Wish::Nothing(Because::NotManaged);
    }
    let (drift, due) = match assessment {
        Assessment::Hold => return Wish::Nothing(Because::Unknown),
        Assessment::InSync => return Wish::Nothing(Because::InSync),
        Assessment::Settling(due) => return Wish::NotBefore(*due),
        Assessment::Differs { drift, due, .. } => (drift, *due),
    };
    let Some(state) = drift.iter().find(|drift| drift.kind == DriftKind::State) else {
        return Wish::Nothing(Because::SpecOnly);
    };
    let kind = match (record.desired, decision) {
        (_, Decision::Wait) => return Wish::Nothing(Because::Unknown),
        (_, Decision::Done) | (DesiredState::Ignore, _) => {
            return Wish::Nothing(Because::InSync);
        }
        (DesiredState::Running, Decision::Act(_)) => OperationKind::Start,
        (DesiredState::Stopped, Decision::Act(_)) => OperationKind::Stop,
    };
    if state.observed == ObservedState::Removed && record.deployed.is_none() {
        return Wish::Nothing(Because::NeverDeployed);
    }
    if now.has_reached(&due) {
        Wish::Now(kind)
    } else {
        Wish::NotBefore(due)
    }
}

/// Decides whether drift of `key` may be acted on now.
///
/// `attempts` are those since intent or an operator last had a say, newest first; at least as many
/// as the budget where there are so many. `gave_up`: the incident about a spent budget stands.
/// What is spent does not refill with time alone.
pub fn permit(
    key: &ComponentKey,
    attempts: &[Moment],
    gave_up: bool,
    allowance: Allowance,
    now: Moment,
) -> Permit {
    let recent = recent(attempts, allowance.window, now);
    let Some(last) = recent.first() else {
        return if gave_up && !attempts.is_empty() {
            Permit::Spent
        } else {
            Permit::Act
        };
    };
    let count = u32::try_from(recent.len()).unwrap_or(u32::MAX);
    if gave_up || count >= allowance.budget {
        return Permit::Spent;
    }
    let due = last.plus(delay(key, *last, count, allowance));
    if now.has_reached(&due) {
        Permit::Act
    } else {
        Permit::Wait(due)
    }
}

/// The attempts that the window holds. A stamp from the future is no reason to wait for years: its
/// attempt was made under another boot, and is forgotten.
pub fn recent(attempts: &[Moment], window: Duration, now: Moment) -> Vec<Moment> {
    let counts = |at: &&Moment| !at.is_from_the_future(&now) && now.since(at) < window;
    attempts.iter().filter(counts).copied().collect()
}

/// How long to wait after the `count`th attempt of the window, up to a quarter less than doubling
/// says: what failed together is not tried again together. Derived from the key and the attempt, so
/// that whoever asks is told the moment that will be kept.
fn delay(key: &ComponentKey, last: Moment, count: u32, allowance: Allowance) -> Duration {
    let doubled = 2_u32.saturating_pow(count.saturating_sub(1));
    let delay = allowance.initial.saturating_mul(doubled).min(allowance.max);
    delay.saturating_sub(delay / 1000 * jitter(key, last))
}

/// Thousandths, from 0 to 250.
fn jitter(key: &ComponentKey, last: Moment) -> u32 {
    // FNV-1a: any spread of keys and attempts will do, as long as it is the same tomorrow.
    let text = key.to_string();
    let stamp = last.wall.as_millis().to_le_bytes();
    let hash = text
        .bytes()
        .chain(stamp)
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    // Its upper half is mixed better than its lower one.
    u32::try_from((hash >> 32) % 251).unwrap_or(0)
}
