//! Deciding without doing (S36): what the next run of a key would decide, from what it would decide
//! it, by the functions that a run calls.

use std::time::Duration;

use mcp_model::{ComponentKey, Container, KeyState, Moment, Observed, OperationKind, Ticket};
use mcp_plan::drift::assess;
use mcp_plan::{Decision, Goal, Situation, converge, plan};

use super::auto::Weighed;
use super::execute::remember_old;
use super::{Reconciler, RunError};
use crate::explain::{Explanation, Schedule};
use crate::view::Verdict;

/// How long the runtime may take to say whether a container is still aside.
const PATIENCE: Duration = Duration::from_secs(3);

impl Reconciler {
    /// Explains one key; `None` where it has no record.
    pub(crate) async fn explain(
        &self,
        key: &ComponentKey,
        schedule: Schedule,
    ) -> Result<Option<Explanation>, RunError> {
        let state = self.ports.store.load(key).await?;
        let Some(record) = &state.record else {
            return Ok(None);
        };
        let (observed, seen_at) = self.last_look(key);
        let at = self.ports.clock.now();
        let ticket = state.ticket.as_ref();
        let assessment = assess(record, &observed, ticket.is_some(), self.patience(), at);
        let deployed = record.deployed.as_ref().map(|(_, spec)| spec);
        let intent = || deployed.unwrap_or(&record.spec);
        let spec = ticket.map_or_else(intent, |ticket| &ticket.spec).clone();
        let decision = match ticket {
            Some(ticket) => {
                self.step_decision(ticket.clone(), state.next, &observed)
                    .await
            }
            None => converge(record, &observed),
        };
        let Weighed { verdict, attempts } = match ticket {
            Some(_) => Weighed {
                verdict: Verdict::Off,
                attempts: 0,
            },
            None => self.weigh(&state, &observed, &assessment, at).await?,
        };
        let KeyState {
            record,
            ticket,
            incidents,
            ..
        } = state;
        Ok(record.map(|record| Explanation {
            record,
            observed,
            seen_at,
            assessment,
            ticket,
            decision,
            spec,
            verdict,
            attempts,
            budget: self.settings.auto.map_or(0, |allowance| allowance.budget),
            incidents,
            schedule,
            at,
        }))
    }

    /// What was published of a key, and when the look began that last confirmed it.
    fn last_look(&self, key: &ComponentKey) -> (Observed, Option<Moment>) {
        let Some(status) = self.publisher.component_status(key) else {
            let why = "nothing was looked at yet".to_owned();
            return (Observed::Unknown { why }, None);
        };
        let seen_at = match &status.observed {
            // That it could not be seen is known since it was said.
            Observed::Unknown { .. } => None,
            Observed::Present { .. } | Observed::Removed => self.looks.last(key),
        };
        (
            status.observed.clone(),
            Some(seen_at.unwrap_or(status.seen_at)),
        )
    }

    /// What an open step would do next.
    async fn step_decision(
        &self,
        mut ticket: Ticket,
        next: Option<OperationKind>,
        holder: &Observed,
    ) -> Decision {
        let Ok(aside) = self.aside(&ticket, holder).await else {
            // Half a look is no look.
            return Decision::Wait;
        };
        remember_old(&mut ticket, holder);
        let situation = Situation {
            holder,
            aside: aside.as_ref(),
            spec: &ticket.spec,
            took_down: ticket.progress.took_down,
        };
        plan(&Goal::of(&ticket, next), situation)
    }

    /// The container that a step has moved away, where it is still there.
    async fn aside(&self, ticket: &Ticket, holder: &Observed) -> Result<Option<Container>, ()> {
        let old = ticket.progress.old.as_ref();
        let Some(old) = old.filter(|_| ticket.progress.took_down) else {
            return Ok(None);
        };
        if holder.container().map(|c| &c.instance.id) == Some(&old.id) {
            return Ok(None);
        }
        let look = self.ports.runtime.inspect(&old.id);
        let answer = tokio::time::timeout(PATIENCE, look).await;
        answer.map_err(drop)?.map_err(drop)
    }
}
