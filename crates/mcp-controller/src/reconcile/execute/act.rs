//! Doing what was planned, one act after the other, each stored before it is done.

use mcp_model::operation::{AUTO_RECONCILE, START_BY};
use mcp_model::{
    ComponentRecord, ContainerId, KeyState, OperationKind, StepState, StepUpdate, Ticket,
};
use mcp_plan::Action;
use tokio::time::Instant;
use tracing::warn;

use super::{FIRST_BREATH, FREE_TRIES, Reconciler, Round, Work, limit};
use crate::port::{RunRequest, RuntimeFailure};
use crate::reconcile::RunError;

impl Reconciler {
    pub(super) async fn act(
        &self,
        state: &mut KeyState,
        work: &mut Work,
        actions: Vec<Action>,
        holder: Option<&ContainerId>,
    ) -> Result<Round, RunError> {
        let last = removal_of_aside(&work.ticket, holder);
        let mut actions = actions.into_iter().peekable();
        while let Some(action) = actions.next() {
            if !matches!(action, Action::Pull { .. }) && self.had_to_wait(work).await {
                // What was planned on may be minutes old by now.
                return Ok(Round::Again);
            }
            if self.is_overruled(work).await? {
                return Ok(Round::Overruled);
            }
            let is_last = Some(&action) == last.as_ref();
            let is_to_go = last.is_some() && actions.peek() == last.as_ref();
            if is_last && self.had_to_watch(work).await {
                return Ok(Round::Again);
            }
            self.announce(state, work, &action).await?;
            let result = self.perform(work, &action).await;
            if result.is_ok() && is_last {
                // It was set aside: what holds the place now is as it was seen.
                work.aside_gone = true;
                continue;
            }
            self.looks.distrust(&work.ticket.key);
            match result {
                Ok(()) if matches!(action, Action::Run | Action::Start(_)) => {
                    work.started = true;
                    work.started_at = Some(Instant::now());
                }
                Ok(()) => {}
                // Nobody knows what it did: look before anything else.
                Err(RuntimeFailure::TimedOut(why)) => {
                    warn!(key = %work.ticket.key, phase = %action.phase(), why, "call timed out");
                    if matches!(action, Action::Run | Action::Start(_)) {
                        work.free_tries = FREE_TRIES;
                        work.hung = (work.hung.0 + 1, why);
                    }
                    return Ok(Round::Again);
                }
                Err(RuntimeFailure::NotFound(_)) if action.takes_down() => return Ok(Round::Again),
                // Somebody took the name since the last look: see who.
                Err(RuntimeFailure::NameTaken(_)) if !work.name_taken => {
                    work.name_taken = true;
                    return Ok(Round::Again);
                }
                Err(RuntimeFailure::Other(why))
                    if matches!(action, Action::Start(_) | Action::Stop { .. })
                        && work.free_tries > 0 =>
                {
                    warn!(key = %work.ticket.key, why, "refused after a resumption; asking again");
                    work.free_tries -= 1;
                    return Ok(Round::Again);
                }
                // What is to go is gone for sooner or later, whatever holds the runtime up: a
                // container that nobody knows of any more could come back to life.
                Err(failure) if matches!(action, Action::Remove(_)) || is_to_go => {
                    return self.insist(work, &failure);
                }
                Err(failure) => {
                    return Ok(Round::Refused {
                        why: failure.to_string(),
                        in_place: matches!(action, Action::Start(_)),
                    });
                }
            }
        }
        Ok(Round::Again)
    }

    /// Takes the step's turn to act, unless it has it. Says whether it had to wait for it.
    async fn had_to_wait(&self, work: &mut Work) -> bool {
        if work.turn.is_some() {
            return false;
        }
        let turns = &self.acting;
        let (turn, waited) = match turns.clone().try_acquire_owned() {
            Ok(turn) => (Some(turn), false),
            Err(_) => (turns.clone().acquire_owned().await.ok(), true),
        };
        work.turn = turn;
        waited
    }

    /// Lets a new container live for its first moments before the old one goes. Says whether that
    /// took any time, so that it has to be looked at again.
    async fn had_to_watch(&self, work: &mut Work) -> bool {
        let until = work.started_at.map(|started| started + FIRST_BREATH);
        let Some(until) = until.filter(|until| *until > Instant::now()) else {
            return false;
        };
        // Others may act meanwhile.
        work.turn = None;
        tokio::time::sleep_until(until).await;
        self.looks.distrust(&work.ticket.key);
        true
    }

    /// Whether somebody has said something else since the agent decided to act by itself (S35): a
    /// pull may have taken minutes. What was taken down is brought to its end all the same (S13).
    /// Compared with the intent that the permission was given for, not with the intent that this
    /// run began under: a run that resumes begins under what was said meanwhile.
    async fn is_overruled(&self, work: &Work) -> Result<bool, RunError> {
        let ticket = &work.ticket;
        if ticket.caller != AUTO_RECONCILE || ticket.progress.took_down {
            return Ok(false);
        }
        let now = self.ports.store.load(&ticket.key).await?.record;
        let stands =
            |record: &ComponentRecord| record.generation == ticket.generation && !record.orphaned;
        Ok(!now.as_ref().is_some_and(stands))
    }

    /// A removal failed: try again later, but not for ever.
    fn insist(&self, work: &Work, failure: &RuntimeFailure) -> Result<Round, RunError> {
        let waited = self.ports.clock.now().since(&work.ticket.accepted);
        // An old container that is to come back waits for its place.
        if waited > START_BY + limit(&work.ticket) && work.ticket.progress.restoring.is_none() {
            let running = if work.started {
                "the new container runs, but "
            } else {
                ""
            };
            return Ok(Round::Over(format!(
                "{running}an old one could not be removed: {failure}"
            )));
        }
        Err(RunError::Unremoved(failure.to_string()))
    }

    /// Stores what is about to be done, before it is done.
    async fn announce(
        &self,
        state: &mut KeyState,
        work: &mut Work,
        action: &Action,
    ) -> Result<(), RunError> {
        let ticket = &mut work.ticket;
        ticket.state = StepState::Running;
        ticket.progress.took_down |= action.takes_down();
        let stopping = match action {
            Action::Stop { instance, .. } => Some(instance.clone()),
            _ => None,
        };
        self.ports
            .store
            .step(StepUpdate {
                operation: ticket.operation.clone(),
                key: ticket.key.clone(),
                phase: action.phase(),
                progress: ticket.progress.clone(),
                stopping: stopping.clone(),
            })
            .await?;
        if let (Some(record), Some(stopping)) = (&mut state.record, stopping) {
            record.stopped = Some(stopping);
        }
        self.progress.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn perform(&self, work: &mut Work, action: &Action) -> Result<(), RuntimeFailure> {
        let (runtime, ticket) = (&self.ports.runtime, &work.ticket);
        let name = ticket.key.container_name();
        match action {
            Action::Pull { image, limit } => runtime.pull(image, *limit).await,
            Action::Stop { instance, grace } => runtime.stop(&instance.id, *grace).await,
            Action::SetAside(id) => runtime.rename(id, &name.set_aside(&ticket.operation)).await,
            Action::PutBack(id) => runtime.rename(id, name.as_str()).await,
            Action::Start(id) => runtime.start(id).await,
            Action::Remove(id) => runtime.remove(id).await,
            Action::Run => {
                let id = self.run_container(ticket).await?;
                // Before the first look: a hint at its death must find its key.
                self.looks.own(&id, &ticket.key);
                work.made = Some(id);
                Ok(())
            }
        }
    }

    /// Makes the container. A name that a phantom holds is cleared by replacing it, once it was
    /// confirmed that it is a phantom (S4).
    async fn run_container(&self, ticket: &Ticket) -> Result<ContainerId, RuntimeFailure> {
        let mut request = RunRequest {
            key: ticket.key.clone(),
            spec: ticket.spec.clone(),
            revision: ticket.revision,
            operation: ticket.operation.clone(),
            replace_phantom: false,
        };
        match self.ports.runtime.run(&request).await {
            Err(RuntimeFailure::NameTaken(why)) => {
                let name = ticket.key.container_name();
                if !self.ports.runtime.is_phantom(name.as_str()).await? {
                    return Err(RuntimeFailure::NameTaken(why));
                }
                request.replace_phantom = true;
                self.ports.runtime.run(&request).await
            }
            result => result,
        }
    }
}

/// The last act of a replacement: the removal of what it has set aside. What holds the place is not
/// that, even where it is what is to be replaced.
fn removal_of_aside(ticket: &Ticket, holder: Option<&ContainerId>) -> Option<Action> {
    let old = ticket.progress.old.as_ref().map(|old| &old.id);
    let old = old.filter(|old| ticket.kind == OperationKind::Deploy && holder != Some(*old))?;
    Some(Action::Remove(old.clone()))
}
