//! Why something happens, or does not (S36).

use std::time::Duration;

use mcp_model::{ComponentRecord, ComponentSpec, Incident, Moment, Observed, Ticket};
use mcp_plan::Decision;
use mcp_plan::drift::Assessment;

use crate::view::Verdict;

/// What is planned for one component, from what, and who may carry it out: as the next run of its
/// key would decide it, by the same functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What is stored of it, intent included.
    pub record: ComponentRecord,
    /// What was seen last.
    pub observed: Observed,
    /// When that look began; never, where nothing was seen yet.
    pub seen_at: Option<Moment>,
    /// What differs.
    pub assessment: Assessment,
    /// The step that is open on it: the permission to act.
    pub ticket: Option<Ticket>,
    /// The plan: the step's, or that of intent itself.
    pub decision: Decision,
    /// The spec that the plan acts on.
    pub spec: ComponentSpec,
    /// What the standing permission allows.
    pub verdict: Verdict,
    /// How often the agent acted by itself within the window…
    pub attempts: u32,
    /// …and how often it may.
    pub budget: u32,
    /// Incidents that stand.
    pub incidents: Vec<Incident>,
    /// When it is looked at next.
    pub schedule: Schedule,
    /// When this was said.
    pub at: Moment,
}

/// When a key is looked at next, from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// It is being looked at.
    pub running: bool,
    /// If nothing happens before.
    pub next: Duration,
    /// Its last run failed: hints wait as long.
    pub backing_off: Option<Duration>,
}
