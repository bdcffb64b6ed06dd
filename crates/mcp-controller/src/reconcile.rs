//! One run of one key: look, remember, decide, act where allowed, tell, publish.

mod absorb;
mod auto;
mod execute;
mod explain;
mod look;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use mcp_model::{
    ComponentKey, ContainerId, DriftKind, Incident, KeyState, Moment, Observed, OperationId,
};
use mcp_plan::drift::{Assessment, Patience, assess};
use tokio::sync::{Notify, Semaphore, watch};
use tracing::{debug, warn};

use crate::Ports;
use crate::handle::Trigger;
use crate::looks::{Looks, Seen};
use crate::node::{Boot, Node};
use crate::port::Failure;
use crate::queue::RunEnd;
use crate::settings::Settings;
use crate::view::{Publisher, Standing, Status, Verdict};

/// Longest run that only looks. The runtime's own deadlines are shorter; this one holds even if
/// they do not.
const LOOK_LIMIT: Duration = Duration::from_mins(3);

/// Shortest time after which a key is looked at again by itself.
const AT_LEAST: Duration = Duration::from_millis(1);

/// What every run needs. Shared by all of them; owned by the controller.
pub(crate) struct Reconciler {
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) looks: Looks,
    pub(crate) publisher: Publisher,
    /// What concerns all of them.
    pub(crate) node: Node,
    /// Counts stored steps and new intent, for those who wait for an operation.
    pub(crate) progress: watch::Sender<u64>,
    /// Wakes the dispatcher: a message was stored.
    pub(crate) messages: Notify,
    /// Turns to act, for steps of operations.
    pub(crate) acting: Arc<Semaphore>,
}

/// Why a run could not do what it had to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The registry failed.
    #[error(transparent)]
    Store(#[from] Failure),
    /// The component could not be observed.
    #[error("cannot observe: {0}")]
    Unobserved(String),
    /// A container that is to go could not be removed.
    #[error("cannot remove a container: {0}")]
    Unremoved(String),
    /// What was taken down could not be brought up again yet.
    #[error("cannot bring the container up again yet: {0}")]
    Refused(String),
    /// The run took longer than anything in it may.
    #[error("the run did not end within its deadline")]
    Overdue,
}

impl RunError {
    /// Whether the run may have ended before anything that it saw was published.
    fn hides_the_state(&self) -> bool {
        match self {
            Self::Store(_) | Self::Overdue => true,
            Self::Unobserved(_) | Self::Unremoved(_) | Self::Refused(_) => false,
        }
    }
}

/// What is to be shown about a key besides what was seen.
#[derive(Default)]
struct Findings {
    drift: Vec<Standing>,
    flapping: Option<Incident>,
    auto: Option<Verdict>,
    held_up: Option<String>,
}

impl Reconciler {
    /// Runs one key, within a deadline.
    pub(crate) async fn run(&self, key: &ComponentKey, lane: Trigger) -> RunEnd {
        match self.reconcile(key, lane).await {
            Ok(end) => end,
            Err(error) => {
                warn!(key = %key, error = %error, "reconciliation failed");
                if error.hides_the_state() {
                    self.lost_sight(key, &error.to_string());
                }
                RunEnd::Failed
            }
        }
    }

    /// Publishes that a key's state is not known any more: a run of it ended without a look that
    /// could be told. What was published before may have been true once.
    pub(crate) fn lost_sight(&self, key: &ComponentKey, why: &str) {
        // It may have been cut off in the middle of an act: no look from before that counts.
        self.looks.distrust(key);
        let Some(before) = self.publisher.component_status(key) else {
            return;
        };
        if before.observed.is_unknown() {
            return;
        }
        let status = Status {
            observed: Observed::Unknown {
                why: why.to_owned(),
            },
            drift: Vec::new(),
            seen_at: self.ports.clock.now(),
            ..(*before).clone()
        };
        self.publisher.component(key, Some(status));
    }

    async fn reconcile(&self, key: &ComponentKey, lane: Trigger) -> Result<RunEnd, RunError> {
        // Before the key is loaded: what was stored when a reboot had settled is seen then.
        let boot = self.node.boot();
        let mut state = self.ports.store.load(key).await?;
        if state.record.is_none() {
            // What stood about the key was closed together with its record.
            self.looks.forget(key);
            self.publisher.component(key, None);
            self.node.nudge();
            return Ok(RunEnd::Done(None));
        }
        if let Some(ticket) = state.ticket.take() {
            if lane == Trigger::Hint {
                return Ok(RunEnd::HasOperation);
            }
            let limit = execute::limit(&ticket);
            let operation = ticket.operation.clone();
            let executed = tokio::time::timeout(limit, self.execute(&mut state, ticket)).await;
            match executed.map_err(|_| RunError::Overdue)? {
                // Newer intent came between loading the key and storing that the step begins.
                // Nothing was done, so nothing has failed, and what was seen still holds.
                Err(RunError::Store(_)) if !self.is_open(key, &operation).await? => {}
                ended => ended?,
            }
            // Once more without the ticket: for the next one in line, and for drift.
            return Ok(RunEnd::Done(Some(Duration::ZERO)));
        }
        let look = async {
            let seen = self.look_and_absorb(&mut state, None, None).await?;
            let end = self.judge(&state, &seen, boot).await?;
            Ok::<_, RunError>((seen, end))
        };
        let (seen, end) = tokio::time::timeout(LOOK_LIMIT, look)
            .await
            .map_err(|_| RunError::Overdue)??;
        match &seen.observed {
            Observed::Unknown { why } => Err(RunError::Unobserved(why.clone())),
            _ => Ok(end),
        }
    }

    /// Whether an operation still has the word about a key.
    async fn is_open(&self, key: &ComponentKey, operation: &OperationId) -> Result<bool, RunError> {
        let ticket = self.ports.store.load(key).await?.ticket;
        Ok(ticket.is_some_and(|ticket| ticket.operation == *operation))
    }

    /// Looks, stores what changed, and publishes it.
    async fn look_and_absorb(
        &self,
        state: &mut KeyState,
        operation: Option<&OperationId>,
        made: Option<&ContainerId>,
    ) -> Result<Seen, RunError> {
        let Some(record) = &state.record else {
            return Err(RunError::Unobserved(
                "the component has no record".to_owned(),
            ));
        };
        let seen = self.look(record, made).await;
        self.absorb(state, &seen, operation).await?;
        Ok(seen)
    }

    /// Compares with intent, tells what has to be told, publishes, and takes up what may be done
    /// about it. Says when to look again, or that there is an operation now.
    async fn judge(&self, state: &KeyState, seen: &Seen, boot: Boot) -> Result<RunEnd, RunError> {
        let Some(record) = &state.record else {
            return Ok(RunEnd::Done(None));
        };
        let now = self.ports.clock.now();
        let mut assessment = assess(record, &seen.observed, false, self.patience(), now);
        add_last_lines(&mut assessment, seen);
        let weighed = self.weigh(state, &seen.observed, &assessment, now).await?;
        let told = self
            .tell(state, &assessment, (weighed.verdict, boot), now)
            .await?;
        let drift = match &assessment {
            Assessment::Differs { drift, since, .. } => drift
                .iter()
                .map(|drift| Standing {
                    drift: drift.clone(),
                    since: *since,
                    incident: told.drift_incident.clone(),
                })
                .collect(),
            // What cannot be observed is unknown, not drift. Its incident stays open all the same.
            Assessment::Hold | Assessment::InSync | Assessment::Settling(_) => Vec::new(),
        };
        if let [first, ..] = drift.as_slice() {
            debug!(key = %record.key, cause = %first.drift.cause, "drift stands");
        }
        let findings = Findings {
            drift,
            flapping: told.flapping,
            auto: Some(weighed.verdict),
            held_up: None,
        };
        self.publish(state, seen, findings, None, now);
        let settled = match assessment {
            Assessment::Settling(due) => Some(now.until(&due)),
            _ => None,
        };
        if self.take_up(state, &weighed, &assessment, now).await? {
            return Ok(RunEnd::HasOperation);
        }
        let next = match weighed.verdict {
            Verdict::NotBefore(due) | Verdict::Wait(due) => Some(now.until(&due).max(AT_LEAST)),
            Verdict::Off | Verdict::Nothing(_) | Verdict::GaveUp | Verdict::Act(_) => None,
        };
        let recheck = [settled, told.recheck, next].into_iter().flatten().min();
        Ok(RunEnd::Done(recheck))
    }

    /// How long differences are left alone.
    fn patience(&self) -> Patience {
        Patience {
            settle: self.settings.settle,
            settle_intent: self.settings.settle_intent,
        }
    }

    fn publish(
        &self,
        state: &KeyState,
        seen: &Seen,
        findings: Findings,
        operation: Option<OperationId>,
        seen_at: Moment,
    ) {
        let Some(record) = state.record.clone() else {
            return;
        };
        let key = record.key.clone();
        let before = self.publisher.component_status(&key);
        let auto = findings.auto;
        let mut status = Status {
            // While an operation is at work, nothing is weighed.
            auto: auto
                .or_else(|| before.as_ref().map(|before| before.auto))
                .unwrap_or(Verdict::Off),
            record,
            observed: seen.observed.clone(),
            drift: findings.drift,
            flapping: findings.flapping,
            operation,
            held_up: findings.held_up,
            seen_at,
        };
        // Only a change is news: the time of a look that found the same is the view's.
        if let Some(before) = before {
            let same = Status {
                seen_at: before.seen_at,
                ..status.clone()
            };
            if same == *before {
                status = same;
            }
        }
        self.publisher.component(&key, Some(status));
    }
}

fn add_last_lines(assessment: &mut Assessment, seen: &Seen) {
    if let Assessment::Differs { drift, .. } = assessment {
        for drift in drift
            .iter_mut()
            .filter(|drift| drift.kind == DriftKind::State)
        {
            drift.cause = mcp_plan::words::with_last_lines(&drift.cause, &seen.last_lines);
        }
    }
}
