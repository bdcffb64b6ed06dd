//! What happened, and what differs.

use serde::{Deserialize, Serialize};

use crate::name::ComponentKey;
use crate::operation::OperationId;
use crate::state::{DesiredState, ObservedState, words};
use crate::time::Moment;

/// One transition of a component's observed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Orders events; 0 until it is stored.
    pub id: i64,
    /// Of what.
    pub key: ComponentKey,
    /// From.
    pub prev: ObservedState,
    /// To.
    pub new: ObservedState,
    /// When it was observed.
    pub at: Moment,
    /// How the process ended, where it did.
    pub exit_code: Option<i32>,
    /// In plain words (S33); may be empty.
    pub cause: String,
    /// The operation that was open on the key. Such events count neither for drift nor for
    /// flapping (S28).
    pub operation: Option<OperationId>,
}

/// What kind of difference a drift is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftKind {
    /// Observed state differs from desired state.
    State,
    /// The container was made from another spec.
    Spec,
}

words!(DriftKind, "drift kind", { State => "state", Spec => "spec" });

/// A difference between what is wanted and what is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Which kind.
    pub kind: DriftKind,
    /// What is wanted.
    pub desired: DesiredState,
    /// What is.
    pub observed: ObservedState,
    /// Why, in plain words.
    pub cause: String,
    /// How the process ended, where it did.
    pub exit_code: Option<i32>,
}
