//! What was taken down comes back (S13, S16).
//!
//! A replacement that fails turns round and brings the old container back. What the runtime refuses
//! then, because a port is not free yet or a name still taken, is tried again with back-off: a
//! container that is only out of place is never given up, one that does not start is reported after
//! [`PATIENCE`]. An operation that waits behind it ends the trying: the old container gets its place,
//! or goes where it is to be undeployed, and the next one takes over.

use std::time::Duration;

use mcp_model::{KeyState, OperationKind, Phase, StepState, StepUpdate, Ticket};
use mcp_plan::drift::{Assessment, assess};
use tracing::warn;

use super::{Reconciler, Work};
use crate::node::Boot;
use crate::reconcile::RunError;
use crate::view::Verdict;

/// How long what runs may be refused before somebody is told. Ports and names that a dying process
/// still holds are free long before.
const PATIENCE: Duration = Duration::from_mins(2);

impl Work {
    /// Whether something was taken down that has to be there again, whatever happens.
    pub(super) fn must_come_up(&self) -> bool {
        let progress = &self.ticket.progress;
        let restarts = self.ticket.kind == OperationKind::Restart && progress.old_was_running;
        progress.restoring.is_some() || (restarts && progress.took_down)
    }
}

impl Reconciler {
    /// Where a replacement failed after the old container was taken down: turn round and bring it
    /// back (S16). Otherwise, what to report.
    pub(super) fn way_back(work: &mut Work, why: String) -> Option<String> {
        let progress = &mut work.ticket.progress;
        if let Some(first) = &progress.restoring {
            return Some(format!(
                "{first}; and the old container could not be brought back: {why}"
            ));
        }
        if !Self::can_turn_back(&work.ticket) {
            return Some(why);
        }
        warn!(key = %work.ticket.key, why, "bringing the old container back");
        work.ticket.progress.restoring = Some(why);
        work.started = false;
        work.made = None;
        None
    }

    /// Whether a replacement has taken down an old container that it could bring back instead.
    pub(super) fn can_turn_back(ticket: &Ticket) -> bool {
        let progress = &ticket.progress;
        let replaces = ticket.kind == OperationKind::Deploy && progress.restoring.is_none();
        replaces && progress.took_down && progress.old.is_some()
    }

    /// The runtime refused to bring up again what was taken down: later, once more.
    pub(super) async fn carry_on(
        &self,
        state: &mut KeyState,
        mut work: Work,
        why: String,
        in_place: bool,
    ) -> Result<(), RunError> {
        let now = self.ports.clock.now();
        let ticket = &mut work.ticket;
        let since = *ticket.progress.refused.get_or_insert(now);
        let is_late = now.since(&since) >= PATIENCE;
        if in_place && is_late {
            let why = match &ticket.progress.restoring {
                Some(first) => {
                    format!("{first}; the old container was put back and does not start: {why}")
                }
                None => format!("stopped, and cannot be started again: {why}"),
            };
            return self.settle(ticket, StepState::Failed, why).await;
        }
        if ticket.progress.refusal.as_ref() != Some(&why) {
            ticket.progress.refusal = Some(why.clone());
            self.ports
                .store
                .step(StepUpdate {
                    operation: ticket.operation.clone(),
                    key: ticket.key.clone(),
                    phase: Phase::Restoring,
                    progress: ticket.progress.clone(),
                    stopping: None,
                })
                .await?;
            self.progress.send_modify(|count| *count += 1);
            let held_up = ticket.progress.held_up();
            self.publisher.held_up(&ticket.key, held_up);
        }
        if is_late {
            // It is tried for as long as it takes, and that is no reason to keep quiet about it.
            let operation = ticket.operation.clone();
            let seen = self.look_and_absorb(state, Some(&operation), None).await?;
            let assessment = match &state.record {
                Some(record) => assess(record, &seen.observed, false, self.patience(), now),
                None => Assessment::Hold,
            };
            self.tell(state, &assessment, (Verdict::Off, Boot::Settled), now)
                .await?;
        }
        Err(RunError::Refused(why))
    }
}

/// Where a restart that is refused gives way to the operation that waits: how it failed.
pub(super) fn given_way(ticket: &Ticket, next: Option<OperationKind>) -> Option<String> {
    let progress = &ticket.progress;
    let next = next.filter(|_| progress.refused.is_some() && progress.restoring.is_none())?;
    Some(format!(
        "stopped, could not be started again, and was left to the {next} that waits"
    ))
}
