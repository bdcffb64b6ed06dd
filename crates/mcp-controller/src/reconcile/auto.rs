//! Acting on drift without being asked (S35): the standing permission becomes an operation, and
//! that is carried out like any other.

use mcp_model::{AlertKind, KeyState, Moment, Observed, OperationId, StandingRequest};
use mcp_plan::alert::Standing as Stands;
use mcp_plan::auto::{Allowance, Because, Permit, Wish, permit, recent, wish};
use mcp_plan::drift::Assessment;
use tracing::info;

use super::{Reconciler, RunError};
use crate::view::Verdict;

/// What the standing permission comes to for one key.
pub(super) struct Weighed {
    pub(super) verdict: Verdict,
    /// Attempts that the present window holds.
    pub(super) attempts: u32,
}

impl Reconciler {
    /// Says what the standing permission allows. Reads the history only where there is drift that
    /// it is about.
    pub(super) async fn weigh(
        &self,
        state: &KeyState,
        observed: &Observed,
        assessment: &Assessment,
        now: Moment,
    ) -> Result<Weighed, RunError> {
        let without_history = |verdict| {
            Ok(Weighed {
                verdict,
                attempts: 0,
            })
        };
        let (Some(allowance), Some(record)) = (self.settings.auto, &state.record) else {
            return without_history(Verdict::Off);
        };
        let decision = mcp_plan::converge(record, observed);
        let kind = match wish(record, assessment, &decision, now) {
            Wish::Nothing(because) => return without_history(Verdict::Nothing(because)),
            Wish::NotBefore(due) => return without_history(Verdict::NotBefore(due)),
            Wish::Now(kind) => kind,
        };
        let (key, store) = (&record.key, &self.ports.store);
        let attempts = store
            .standing_attempts(key, record.generation, allowance.budget)
            .await?;
        let gave_up = state
            .incidents
            .iter()
            .any(|incident| incident.kind == AlertKind::GaveUp);
        let verdict = match permit(key, &attempts, gave_up, allowance, now) {
            Permit::Act => Verdict::Act(kind),
            Permit::Wait(due) => Verdict::Wait(due),
            Permit::Spent => Verdict::GaveUp,
        };
        let attempts = recent(&attempts, allowance.window, now).len();
        Ok(Weighed {
            verdict,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        })
    }

    /// Makes an operation of the permission. False where intent has changed meanwhile: whoever
    /// changed it has a run of the key coming.
    pub(super) async fn take_up(
        &self,
        state: &KeyState,
        weighed: &Weighed,
        assessment: &Assessment,
        now: Moment,
    ) -> Result<bool, RunError> {
        let (Verdict::Act(kind), Some(record)) = (weighed.verdict, &state.record) else {
            return Ok(false);
        };
        let id = new_operation_id()?;
        let request = StandingRequest {
            id: id.clone(),
            key: record.key.clone(),
            kind,
            generation: record.generation,
            message: cause(assessment).to_owned(),
            at: now,
        };
        let accepted = self.ports.store.accept_standing(request).await?;
        if accepted {
            let earlier = weighed.attempts;
            info!(key = %record.key, operation = %id, kind = %kind, earlier, "acting on drift");
            self.progress.send_modify(|count| *count += 1);
        }
        Ok(accepted)
    }
}

/// Whether somebody is to be told that nothing more is tried, and why.
pub(super) fn given_up(
    verdict: Verdict,
    assessment: &Assessment,
    allowance: Option<Allowance>,
    now: Moment,
) -> (Stands, String) {
    let (standing, allowance) = match (verdict, allowance) {
        (Verdict::GaveUp, Some(allowance)) => (
            Stands::Stands {
                since: now,
                due: now,
            },
            allowance,
        ),
        (Verdict::Nothing(Because::Unknown) | Verdict::NotBefore(_), _) => {
            return (Stands::Hold, String::new());
        }
        _ => return (Stands::Gone, String::new()),
    };
    let reason = format!(
        "{} attempts within {} s did not last, nothing more is tried until something changes: {}",
        allowance.budget,
        allowance.window.as_secs(),
        cause(assessment)
    );
    (standing, reason)
}

fn cause(assessment: &Assessment) -> &str {
    match assessment {
        Assessment::Differs { drift, .. } => drift.first().map_or("", |drift| drift.cause.as_str()),
        Assessment::Hold | Assessment::InSync | Assessment::Settling(_) => "",
    }
}

fn new_operation_id() -> Result<OperationId, RunError> {
    let text = format!("{:016x}", fastrand::u64(..));
    text.parse()
        .map_err(|error: mcp_model::operation::OperationIdError| {
            RunError::Store(crate::port::Failure(error.to_string()))
        })
}
