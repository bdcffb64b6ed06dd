//! Carrying out an operation's step (S4, S12–S14, S16, S17).
//!
//! Look, plan, act, look again, until the plan is empty. Whatever a look cannot tell is stored
//! before the act that makes it true, so that a killed agent goes on from where the world is.

mod act;
mod way_back;

use std::time::Duration;

use mcp_model::operation::START_BY;
use mcp_model::{
    Condition, Container, ContainerId, KeyState, Moment, Observed, ObservedState, OperationKind,
    RuntimeState, StepOutcome, StepState, Ticket,
};
use mcp_plan::{Action, Decision, Goal, Situation, plan, words};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::info;

use super::{Findings, Reconciler, RunError};
use crate::looks::Seen;
use way_back::given_way;

/// How often a step looks and plans before it is given up. A step needs two or three rounds; more
/// only after time-outs.
const MAX_ROUNDS: u32 = 8;

/// How often a replacement waits for the end of a call that is to bring the new container up,
/// before it brings the old one back.
const MOST_HUNG: u32 = 2;

/// How often a start or a stop that is refused is asked for again where an earlier one was cut off.
/// What a killed start or stop has left makes the next ones fail, and each clears some of it away
/// (measured).
const FREE_TRIES: u8 = 3;

/// How long a new container must have lived before what it replaces is removed: the runtime may call
/// one running that is about to die of its first line (S17). There is no way back after that.
const FIRST_BREATH: Duration = Duration::from_millis(500);

/// What a step may take beyond its own time-outs.
const SLACK: Duration = Duration::from_mins(5);

/// How long a step may run in one go (S21). It goes on after that, from a fresh look.
pub(super) fn limit(ticket: &Ticket) -> Duration {
    ticket.spec.pull_timeout() + ticket.spec.stop_timeout() * 2 + SLACK
}

/// How a round ended.
enum Round {
    /// Look and plan again.
    Again,
    /// The goal is reached.
    Reached,
    /// It cannot be reached, and why.
    Lost(String),
    /// There is nothing more to do: this is how it failed.
    Over(String),
    /// Newer intent came before anything was taken down.
    Overruled,
    /// The runtime refused a call, with these words. Nothing came up that could have died.
    Refused {
        /// Its words.
        why: String,
        /// The container is in its place, and only does not start.
        in_place: bool,
    },
}

/// A step while it is being carried out.
struct Work {
    ticket: Ticket,
    /// A container was made or started by this run of the step.
    started: bool,
    /// When that was.
    started_at: Option<Instant>,
    /// The container that was made, until it is on record.
    made: Option<ContainerId>,
    /// The container that was there when the step began is known to be gone.
    aside_gone: bool,
    /// The name turned out to be taken once.
    name_taken: bool,
    /// Calls that were to bring something up and did not end, with what was said of the last.
    hung: (u32, String),
    /// How often a start or a stop that is refused may yet be asked for again: an earlier run of the
    /// step may have been killed in the middle of one.
    free_tries: u8,
    /// Its turn to act, from its first act but a pull to its end.
    turn: Option<OwnedSemaphorePermit>,
}

impl Reconciler {
    /// Carries out a step as far as it goes now.
    pub(super) async fn execute(
        &self,
        state: &mut KeyState,
        ticket: Ticket,
    ) -> Result<(), RunError> {
        let now = self.ports.clock.now();
        let begun = ticket.state == StepState::Running;
        if !begun && now.since(&ticket.accepted) > START_BY {
            let late = format!("not begun within {} min", START_BY.as_secs() / 60);
            return self.settle(&ticket, StepState::Expired, late).await;
        }
        info!(
            key = %ticket.key, operation = %ticket.operation, kind = %ticket.kind, begun,
            "carrying out a step"
        );
        if ticket.kind != OperationKind::Deploy {
            // What these do depends on what is there now. A deploy replaces whatever is there.
            self.looks.distrust(&ticket.key);
        }
        let mut work = Work {
            ticket,
            started: false,
            started_at: None,
            made: None,
            aside_gone: false,
            name_taken: false,
            hung: (0, String::new()),
            free_tries: if begun { FREE_TRIES } else { 0 },
            turn: None,
        };
        for _ in 0..MAX_ROUNDS {
            match self.round(state, &mut work).await? {
                Round::Again => {}
                Round::Reached => {
                    let (state, error) = (StepState::Succeeded, String::new());
                    return self.settle(&work.ticket, state, error).await;
                }
                Round::Over(why) => return self.settle(&work.ticket, StepState::Failed, why).await,
                Round::Overruled => {
                    let why = "newer intent came before it did anything".to_owned();
                    return self.settle(&work.ticket, StepState::Superseded, why).await;
                }
                Round::Lost(why) => match Self::way_back(&mut work, why) {
                    None => {}
                    Some(why) => return self.settle(&work.ticket, StepState::Failed, why).await,
                },
                Round::Refused { why, .. } if !work.must_come_up() => {
                    if let Some(why) = Self::way_back(&mut work, why) {
                        return self.settle(&work.ticket, StepState::Failed, why).await;
                    }
                }
                Round::Refused { why, in_place } => {
                    return self.carry_on(state, work, why, in_place).await;
                }
            }
        }
        let why = format!("not there after looking {MAX_ROUNDS} times");
        if work.ticket.progress.took_down {
            // What was taken down is brought to an end, however long the runtime takes (S13).
            return Err(RunError::Unobserved(why));
        }
        self.settle(&work.ticket, StepState::Failed, why).await
    }

    async fn round(&self, state: &mut KeyState, work: &mut Work) -> Result<Round, RunError> {
        let operation = work.ticket.operation.clone();
        let (seen, aside) = self.look_around(state, work).await?;
        self.publish(
            state,
            &seen,
            Findings {
                held_up: work.ticket.progress.held_up(),
                ..Findings::default()
            },
            Some(operation),
            self.ports.clock.now(),
        );
        if let Observed::Unknown { why } = &seen.observed {
            return self.unobserved(work, why);
        }
        remember_old(&mut work.ticket, &seen.observed);
        if let Some(why) = given_way(&work.ticket, state.next) {
            return Ok(Round::Over(why));
        }
        let goal = Goal::of(&work.ticket, state.next);
        let took_down = work.ticket.progress.took_down;
        let spec = work.ticket.spec.clone();
        let situation = Situation {
            holder: &seen.observed,
            aside: aside.as_ref(),
            spec: &spec,
            took_down,
        };
        let actions = match plan(&goal, situation) {
            Decision::Wait => return self.unobserved(work, "its state cannot be read"),
            Decision::Done => return Ok(arrived(&work.ticket, &seen.observed, state.next)),
            Decision::Act(actions) => actions,
        };
        let makes = actions
            .iter()
            .any(|a| matches!(a, Action::Run | Action::Start(_)));
        let came_up =
            work.started || has_ended_since(&work.ticket, &seen.observed, self.ports.clock.now());
        if came_up && makes {
            return Ok(Round::Lost(did_not_come_up(&seen)));
        }
        if makes && work.hung.0 >= MOST_HUNG && Self::can_turn_back(&work.ticket) {
            // What does not answer may go on so for hours; meanwhile the old one could run.
            return Ok(Round::Lost(work.hung.1.clone()));
        }
        if let (Some(foreign), true) = (&seen.foreign, actions.contains(&Action::Run)) {
            return Ok(Round::Lost(name_is_held(&work.ticket, foreign)));
        }
        let holder = seen.observed.container().map(|c| &c.instance.id);
        self.act(state, work, actions, holder).await
    }

    /// Looks at the component's place and, where the step has moved a container away, at that one.
    /// Both at once: the runtime answers them in one call.
    async fn look_around(
        &self,
        state: &mut KeyState,
        work: &Work,
    ) -> Result<(Seen, Option<Container>), RunError> {
        let operation = work.ticket.operation.clone();
        let old = work
            .ticket
            .progress
            .old
            .clone()
            .filter(|_| !work.aside_gone);
        let old = old.filter(|_| work.ticket.progress.took_down);
        let aside = async {
            match &old {
                Some(old) => self.ports.runtime.inspect(&old.id).await,
                None => Ok(None),
            }
        };
        let (seen, aside) = futures::join!(
            self.look_and_absorb(state, Some(&operation), work.made.as_ref()),
            aside
        );
        let mut seen = seen?;
        let holder = seen.observed.container().map(|c| c.instance.id.clone());
        let aside = match aside {
            Ok(aside) => aside.filter(|c| Some(&c.instance.id) != holder.as_ref()),
            Err(failure) => {
                // Half a look is no look.
                seen.observed = Observed::Unknown {
                    why: failure.to_string(),
                };
                None
            }
        };
        Ok((seen, aside))
    }

    /// Nothing may be concluded: try again later, but not for ever with nothing taken down.
    fn unobserved(&self, work: &Work, why: &str) -> Result<Round, RunError> {
        let waited = self.ports.clock.now().since(&work.ticket.accepted);
        if waited > START_BY + limit(&work.ticket) && !work.ticket.progress.took_down {
            return Ok(Round::Lost(format!(
                "the runtime could not be asked: {why}"
            )));
        }
        Err(RunError::Unobserved(why.to_owned()))
    }

    async fn settle(
        &self,
        ticket: &Ticket,
        state: StepState,
        error: String,
    ) -> Result<(), RunError> {
        info!(
            key = %ticket.key, operation = %ticket.operation, kind = %ticket.kind, outcome = %state,
            error, "step settled"
        );
        self.ports
            .store
            .settle(StepOutcome {
                operation: ticket.operation.clone(),
                key: ticket.key.clone(),
                state,
                error,
                at: self.ports.clock.now(),
            })
            .await?;
        self.progress.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// Fixes, before the first act, which life was there when the step began (S14).
pub(super) fn remember_old(ticket: &mut Ticket, holder: &Observed) {
    if ticket.state == StepState::Running || ticket.progress.old.is_some() {
        return;
    }
    if let Some(container) = holder.container() {
        ticket.progress.old = Some(container.instance.clone());
        // A start that was cut off may have come as far as a process.
        ticket.progress.old_was_running = holder.state() == ObservedState::Running
            || container.state == RuntimeState::Initialized;
    }
}

/// What it means that nothing is left to do: success, or the end of the way back.
fn arrived(ticket: &Ticket, holder: &Observed, next: Option<OperationKind>) -> Round {
    let Some(why) = &ticket.progress.restoring else {
        return Round::Reached;
    };
    let old = ticket.progress.old.as_ref().map(|old| &old.id);
    let is_back = holder.container().map(|c| &c.instance.id) == old;
    let left = next.filter(|_| ticket.progress.refused.is_some());
    Round::Over(if let Some(next) = left {
        format!("{why}; the old container was left to the {next} that waits")
    } else if is_back {
        format!("{why}; the old container was put back")
    } else {
        format!("{why}; the old container is gone and could not be put back")
    })
}

/// Whether a life that this step began has ended already: a resumed step does not begin another one
/// (S14). Not after a reboot, which ends everything.
fn has_ended_since(ticket: &Ticket, holder: &Observed, now: Moment) -> bool {
    let Observed::Present {
        state: ObservedState::Exited,
        container,
        ..
    } = holder
    else {
        return false;
    };
    let progress = &ticket.progress;
    let is_the_steps = match ticket.kind {
        OperationKind::Deploy if progress.restoring.is_none() => {
            container.labels.operation.as_ref() == Some(&ticket.operation)
        }
        _ => progress.old.as_ref().is_some_and(|old| {
            old.id == container.instance.id && !old.is_same_life(&container.instance)
        }),
    };
    ticket.state == StepState::Running && ticket.accepted.boot_id == now.boot_id && is_the_steps
}

fn did_not_come_up(seen: &Seen) -> String {
    let words = match seen.observed.container() {
        Some(container) => words::death(container),
        None => "its container is gone".to_owned(),
    };
    let words = words::with_last_lines(&words, &seen.last_lines);
    let created = matches!(
        &seen.observed,
        Observed::Present {
            condition: Some(Condition::Created | Condition::Initialized),
            ..
        }
    );
    match (created, words.is_empty()) {
        (true, _) => "started, but never came up".to_owned(),
        (false, true) => "started, but does not run".to_owned(),
        (false, false) => format!("started, but did not stay up: {words}"),
    }
}

fn name_is_held(ticket: &Ticket, foreign: &Container) -> String {
    format!(
        "the name {} is held by container {}, which is not MCP's: adopt it or rename it",
        ticket.key.container_name(),
        foreign.instance.id.short(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_model::{BootId, ComponentSpec, DesiredState, Moment, Progress, Stamp};

    #[test]
    fn a_step_is_bounded_by_its_components_own_time_outs() {
        let mut spec = ComponentSpec::of_image("localhost/a:1".parse().unwrap());
        let ticket = |spec: &ComponentSpec| Ticket {
            operation: "op01".parse().unwrap(),
            kind: OperationKind::Deploy,
            key: "a/b".parse().unwrap(),
            desired: DesiredState::Running,
            spec: spec.clone(),
            revision: 1,
            generation: 1,
            caller: String::new(),
            accepted: Moment {
                wall: Stamp::from_millis(0),
                boot: Duration::ZERO,
                boot_id: BootId(1),
            },
            state: StepState::Waiting,
            progress: Progress::default(),
        };
        assert_eq!(
            limit(&ticket(&spec)),
            Duration::from_secs(600 + 2 * 10) + SLACK
        );
        spec.pull_timeout = Some(Duration::from_hours(2));
        spec.stop_timeout = Some(Duration::from_mins(30));
        assert_eq!(limit(&ticket(&spec)), Duration::from_hours(3) + SLACK);
    }
}
