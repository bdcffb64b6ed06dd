//! Which actions lead where an operation, or intent itself, wants to go (S13, S14, S16, S19, S20).
//!
//! A plan is computed from what is seen, never from what was done before: executing it, looking
//! again and planning again ends in an empty plan, also after a crash in the middle. What a look
//! cannot tell (which life was there when the step began) the step has stored before it acted.

use std::time::Duration;

use mcp_model::{
    ComponentRecord, ComponentSpec, Condition, Container, ContainerId, DesiredState, ImageRef,
    Instance, Observed, ObservedState, OperationId, OperationKind, Phase, RuntimeState, Ticket,
};

/// One thing to do to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Fetch the image. Before anything is taken down, so that a missing image costs nothing.
    Pull {
        /// Which image.
        image: ImageRef,
        /// How long it may take.
        limit: Duration,
    },
    /// Stop a container: SIGTERM, then SIGKILL after the grace.
    Stop {
        /// Which life of which container; remembered, so that its end is known as meant (S22).
        instance: Instance,
        /// How long it may take to end by itself.
        grace: Duration,
    },
    /// Move a stopped container out of the way of the new one, under its set-aside name.
    SetAside(ContainerId),
    /// Make and start a container from the spec.
    Run,
    /// Start a container that is there.
    Start(ContainerId),
    /// Remove a container that does not run.
    Remove(ContainerId),
    /// Give a container that was set aside its name back.
    PutBack(ContainerId),
}

impl Action {
    /// What those who watch are told that the step is doing.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Pull { .. } => Phase::Pulling,
            Self::Stop { .. } => Phase::Stopping,
            Self::SetAside(_) => Phase::SettingAside,
            Self::Run | Self::Start(_) => Phase::Starting,
            Self::Remove(_) => Phase::Removing,
            Self::PutBack(_) => Phase::Restoring,
        }
    }

    /// Whether it ends something that may be running.
    pub fn takes_down(&self) -> bool {
        matches!(
            self,
            Self::Stop { .. } | Self::SetAside(_) | Self::Remove(_)
        )
    }
}

/// Where the actions are to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A running container that this operation made.
    MadeBy(OperationId),
    /// A running container.
    Running,
    /// A running container, in a newer life than this one.
    NewerThan(Option<Instance>),
    /// No running container.
    Stopped,
    /// No container at all.
    Absent,
    /// The container that was set aside is back, and runs if it ran.
    Restored {
        /// The life that was there before.
        old: Instance,
        /// Whether that life was running.
        running: bool,
    },
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The container that holds the component's place.
    pub holder: &'a Observed,
    /// The container that this step found when it began, where it is another one now and still
    /// there: under its set-aside name.
    pub aside: Option<&'a Container>,
    /// What a container would be made from.
    pub spec: &'a ComponentSpec,
    /// Something was taken down already: the image is there, and there is no way back but forward.
    pub took_down: bool,
}

/// What a step should do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing may be concluded from what was seen: look again later, do nothing (S25).
    Wait,
    /// These, in this order, then look again.
    Act(Vec<Action>),
    /// The goal is reached.
    Done,
}

impl Goal {
    /// What an operation's step wants. Where the runtime refuses to bring the old container up again
    /// and another operation waits, `next` is what that one wants: the old one is then only put out
    /// of harm's way, as the next operation expects to find it (S16).
    pub fn of(ticket: &Ticket, next: Option<OperationKind>) -> Self {
        let progress = &ticket.progress;
        if let (Some(_), Some(old)) = (&progress.restoring, &progress.old) {
            return match next.filter(|_| progress.refused.is_some()) {
                Some(OperationKind::Undeploy) => Self::Absent,
                next => Self::Restored {
                    old: old.clone(),
                    running: progress.old_was_running && next.is_none(),
                },
            };
        }
        match ticket.kind {
            OperationKind::Deploy => Self::MadeBy(ticket.operation.clone()),
            OperationKind::Start => Self::Running,
            OperationKind::Restart => Self::NewerThan(
                ticket
                    .progress
                    .old
                    .clone()
                    .filter(|_| ticket.progress.old_was_running),
            ),
            OperationKind::Stop => Self::Stopped,
            OperationKind::Undeploy => Self::Absent,
        }
    }
}

/// Plans the way to a goal.
///
/// The order holds for every plan: pull, take down, make, remove. Nothing is planned on `unknown`.
pub fn plan(goal: &Goal, situation: Situation<'_>) -> Decision {
    if situation.holder.is_unknown() {
        return Decision::Wait;
    }
    let actions = match goal {
        Goal::MadeBy(operation) => replace(operation, situation),
        Goal::Running => revive(situation),
        Goal::NewerThan(old) => renew(old.as_ref(), situation),
        Goal::Stopped => quiet(situation),
        Goal::Absent => clear(situation),
        Goal::Restored { old, running } => restore(old, *running, situation),
    };
    if actions.is_empty() {
        Decision::Done
    } else {
        Decision::Act(actions)
    }
}

/// What intent itself would want done: what `mcp why` explains and what auto-reconcile executes.
/// Executed only under a permission.
pub fn converge(record: &ComponentRecord, observed: &Observed) -> Decision {
    let goal = match record.desired {
        _ if record.orphaned => return Decision::Done,
        DesiredState::Ignore => return Decision::Done,
        DesiredState::Running => Goal::Running,
        DesiredState::Stopped => Goal::Stopped,
    };
    let spec = record
        .deployed
        .as_ref()
        .map_or(&record.spec, |(_, spec)| spec);
    plan(
        &goal,
        Situation {
            holder: observed,
            aside: None,
            spec,
            took_down: false,
        },
    )
}

/// What is being stopped or removed does not run for long, if it runs at all.
fn is_running(observed: &Observed) -> bool {
    let ends = |c: &Container| c.state == RuntimeState::Stopping || is_going(c);
    observed.state() == ObservedState::Running && !observed.container().is_some_and(ends)
}

/// A podman that is killed while it removes a container leaves one that has no process any more, that
/// can be removed and renamed, and neither stopped nor started (measured).
fn is_going(container: &Container) -> bool {
    container.state == RuntimeState::Removing
}

fn stop(container: &Container, spec: &ComponentSpec) -> Action {
    Action::Stop {
        instance: container.instance.clone(),
        grace: spec.stop_timeout(),
    }
}

/// Starts a container. A podman that is killed while it starts or stops one leaves it in between:
/// the process may run, and yet podman refuses every start of it. A stop ends that (measured).
fn start(container: &Container, spec: &ComponentSpec) -> Vec<Action> {
    let is_in_between = matches!(
        container.state,
        RuntimeState::Initialized | RuntimeState::Stopping
    );
    let clear = is_in_between.then(|| stop(container, spec));
    let start = Action::Start(container.instance.id.clone());
    clear.into_iter().chain([start]).collect()
}

/// Removes a container that was set aside. It had been stopped; where it lives all the same it is
/// stopped again: a removal by force forgets what is stopping, and its process lives on (measured).
fn remove_aside(situation: Situation<'_>) -> Vec<Action> {
    let Some(old) = situation.aside else {
        return Vec::new();
    };
    let lives = matches!(
        old.state,
        RuntimeState::Initialized | RuntimeState::Running | RuntimeState::Stopping
    );
    let stop = lives.then(|| stop(old, situation.spec));
    let remove = Action::Remove(old.instance.id.clone());
    stop.into_iter().chain([remove]).collect()
}

fn pull(situation: Situation<'_>) -> Option<Action> {
    let wanted = !situation.took_down && !situation.spec.image.is_local();
    wanted.then(|| Action::Pull {
        image: situation.spec.image.clone(),
        limit: situation.spec.pull_timeout(),
    })
}

/// Whatever has a process, or may get one by itself, is stopped before it is removed or renamed:
/// what died by itself may be about to be started again by its restart policy.
fn may_live(observed: &Observed) -> bool {
    match observed {
        Observed::Present {
            state, condition, ..
        } => {
            let was_never_started = *condition == Some(Condition::Created);
            let was_stopped = *state == ObservedState::Stopped && condition.is_none();
            let is_going = *condition == Some(Condition::Removing);
            !was_never_started && !was_stopped && !is_going
        }
        _ => false,
    }
}

fn replace(operation: &OperationId, situation: Situation<'_>) -> Vec<Action> {
    let holder = situation.holder.container();
    let made = holder.filter(|c| c.labels.operation.as_ref() == Some(operation) && !is_going(c));
    if let Some(new) = made {
        // A start is not yet a container that runs: until one was seen, the old one is the way back.
        if !is_running(situation.holder) {
            return start(new, situation.spec);
        }
        return remove_aside(situation);
    }
    let mut actions: Vec<Action> = pull(situation).into_iter().collect();
    if let Some(old) = holder {
        if may_live(situation.holder) {
            actions.push(stop(old, situation.spec));
        }
        // The place aside is taken only by what this operation put there. What holds the name since
        // then is not what there would be to go back to.
        let id = old.instance.id.clone();
        let aside_is_free = situation.aside.is_none();
        actions.push(if aside_is_free && !is_going(old) {
            Action::SetAside(id)
        } else {
            Action::Remove(id)
        });
    }
    // The old one is removed by the next plan, once the new one was seen running.
    actions.push(Action::Run);
    actions
}

fn revive(situation: Situation<'_>) -> Vec<Action> {
    match situation.holder {
        holder if is_running(holder) => Vec::new(),
        Observed::Present { container, .. } if !is_going(container) => {
            start(container, situation.spec)
        }
        holder => {
            let gone = holder.container().map(|c| c.instance.id.clone());
            let remove = gone.map(Action::Remove);
            pull(situation)
                .into_iter()
                .chain(remove)
                .chain([Action::Run])
                .collect()
        }
    }
}

fn renew(old: Option<&Instance>, situation: Situation<'_>) -> Vec<Action> {
    match (situation.holder.container(), old) {
        (Some(now), Some(old))
            if is_running(situation.holder) && now.instance.is_same_life(old) =>
        {
            vec![
                stop(now, situation.spec),
                Action::Start(now.instance.id.clone()),
            ]
        }
        _ => revive(situation),
    }
}

fn quiet(situation: Situation<'_>) -> Vec<Action> {
    let holder = situation.holder.container();
    // Its process is gone; half of it would be shown as it was before for ever.
    let going = holder.filter(|holder| is_going(holder));
    let remove = going.map(|holder| Action::Remove(holder.instance.id.clone()));
    let stop = stop_holder(situation);
    remove.into_iter().chain(stop).collect()
}

fn stop_holder(situation: Situation<'_>) -> Vec<Action> {
    let lives = may_live(situation.holder);
    situation
        .holder
        .container()
        .filter(|_| lives)
        .map(|c| stop(c, situation.spec))
        .into_iter()
        .collect()
}

fn clear(situation: Situation<'_>) -> Vec<Action> {
    let mut actions = stop_holder(situation);
    let holder = situation.holder.container();
    actions.extend(holder.map(|container| Action::Remove(container.instance.id.clone())));
    actions.extend(remove_aside(situation));
    actions
}

fn restore(old: &Instance, running: bool, situation: Situation<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    let holder = situation.holder.container();
    if let Some(old) = holder.filter(|holder| holder.instance.id == old.id) {
        if is_going(old) {
            // Nothing brings it back any more, and half of it would hold the name.
            actions.push(Action::Remove(old.instance.id.clone()));
        } else if running && !is_running(situation.holder) {
            actions.extend(start(old, situation.spec));
        }
        return actions;
    }
    // Without the old one there is nothing to go back to: the failed one stays, to be looked at.
    let Some(aside) = situation.aside else {
        return actions;
    };
    if is_going(aside) {
        return vec![Action::Remove(aside.instance.id.clone())];
    }
    if let Some(new) = holder {
        if may_live(situation.holder) {
            actions.push(stop(new, situation.spec));
        }
        actions.push(Action::Remove(new.instance.id.clone()));
    }
    actions.push(Action::PutBack(old.id.clone()));
    if running {
        actions.push(Action::Start(old.id.clone()));
    }
    actions
}
