//! Plans lead where they say, in an order that is safe to be killed in.

mod common;

use std::time::Duration;

use common::{
    RUNTIME_STATES, condition, container, id, instance, key, operation, present, record, seen, spec,
};
use mcp_model::{
    Container, ContainerId, DesiredState, Instance, Observed, ObservedState, OperationId,
    RuntimeState,
};
use mcp_plan::classify::classify;
use mcp_plan::{Action, Decision, Goal, Situation, converge, plan};
use proptest::prelude::*;

/// A runtime of two places: the component's own name, and the set-aside name.
#[derive(Debug, Clone)]
struct World {
    holder: Observed,
    aside: Option<Container>,
    took_down: bool,
    lives: u32,
    /// The life that was stopped on purpose last.
    stopped: Option<Instance>,
}

impl World {
    fn decide(&self, goal: &Goal) -> Decision {
        let spec = spec();
        plan(
            goal,
            Situation {
                holder: &self.holder,
                aside: self.aside.as_ref(),
                spec: &spec,
                took_down: self.took_down,
            },
        )
    }

    /// A container in another state: in the same life where it ends, in a new one where it starts.
    fn set(&mut self, which: &ContainerId, state: &RuntimeState) {
        self.lives += 1;
        let lives = self.lives;
        let changed = |c: &Container| {
            let n = u8::from_str_radix(&c.instance.id.as_str()[62..], 16).unwrap();
            let mut changed = container(n, lives, state.clone(), c.labels.operation.clone());
            if *state == RuntimeState::Exited {
                changed.instance = Instance {
                    pid: None,
                    ..c.instance.clone()
                };
            }
            changed
        };
        match self.holder.container().map(|c| c.instance.id == *which) {
            Some(true) => self.holder = self.see(changed(self.holder.container().unwrap())),
            _ => self.aside = self.aside.as_ref().map(changed),
        }
    }

    fn is(&self, which: &ContainerId, state: &RuntimeState) -> bool {
        let is_it = |c: &Container| c.instance.id == *which && c.state == *state;
        self.holder.container().is_some_and(is_it)
    }

    fn see(&self, container: Container) -> Observed {
        classify(container, self.stopped.as_ref(), ObservedState::Running)
    }

    /// What podman does, and refuses to do.
    fn apply(&mut self, action: &Action, made_by: &OperationId) {
        self.took_down |= action.takes_down();
        let holds = |world: &Self, which: &ContainerId| {
            world
                .holder
                .container()
                .is_some_and(|c| c.instance.id == *which)
        };
        match action {
            Action::Pull { .. } => {}
            Action::Stop { instance, .. } => {
                assert!(
                    !self.is(&instance.id, &RuntimeState::Removing),
                    "stopped while it goes"
                );
                self.stopped = Some(instance.clone());
                self.set(&instance.id, &RuntimeState::Exited);
            }
            Action::Start(which) => {
                let is_half_started =
                    |c: &Container| c.instance.id == *which && c.state == RuntimeState::Initialized;
                let refused = self.holder.container().is_some_and(is_half_started);
                assert!(!refused, "started where it may run");
                self.set(which, &RuntimeState::Running);
            }
            Action::Run => {
                assert!(self.holder.container().is_none(), "the name is taken");
                self.lives += 1;
                self.holder = seen(container(
                    9,
                    self.lives,
                    RuntimeState::Running,
                    Some(made_by.clone()),
                ));
            }
            Action::SetAside(which) => {
                assert!(holds(self, which) && self.aside.is_none());
                assert_ne!(
                    self.holder.state(),
                    ObservedState::Running,
                    "set aside while it runs"
                );
                self.aside = self.holder.container().cloned();
                self.holder = Observed::Removed;
            }
            Action::PutBack(which) => {
                assert!(self.holder.container().is_none(), "the name is taken");
                let aside = self.aside.take().unwrap();
                assert_eq!(aside.instance.id, *which);
                self.holder = self.see(aside);
            }
            Action::Remove(which) if holds(self, which) => {
                let state = &self.holder.container().unwrap().state;
                assert_ne!(*state, RuntimeState::Running, "removed while it runs");
                self.holder = Observed::Removed;
            }
            Action::Remove(which) => {
                assert_eq!(self.aside.take().unwrap().instance.id, *which);
            }
        }
    }
}

fn goals() -> impl Strategy<Value = Goal> {
    prop_oneof![
        Just(Goal::MadeBy(operation())),
        Just(Goal::Running),
        Just(Goal::NewerThan(None)),
        Just(Goal::NewerThan(Some(instance(1, 1)))),
        Just(Goal::Stopped),
        Just(Goal::Absent),
        any::<bool>().prop_map(|running| Goal::Restored {
            old: instance(1, 1),
            running
        }),
    ]
}

fn worlds() -> impl Strategy<Value = World> {
    let state = || prop::sample::select(RUNTIME_STATES.to_vec());
    let maker = || {
        prop_oneof![
            Just(None),
            Just(Some(operation())),
            Just(Some("op02".parse().unwrap()))
        ]
    };
    let holder = prop_oneof![
        1 => Just(Observed::Removed),
        4 => (1u8..3, state(), maker()).prop_map(|(n, state, by)| seen(container(n, 1, state, by))),
    ];
    let aside = prop_oneof![
        Just(None),
        state().prop_map(|s| Some(container(1, 1, s, None)))
    ];
    (holder, aside, any::<bool>()).prop_map(|(holder, aside, took_down)| {
        // One container is in one place, and what was set aside had been stopped.
        let aside = aside.filter(|a: &Container| {
            holder
                .container()
                .is_none_or(|h| h.instance.id != a.instance.id)
                && a.state == RuntimeState::Exited
        });
        World {
            holder,
            aside,
            took_down,
            lives: 1,
            stopped: None,
        }
    })
}

proptest! {
    /// Killed after any action, a step that looks and plans again still arrives.
    #[test]
    fn a_plan_applied_to_its_own_result_is_empty(
        goal in goals(),
        mut world in worlds(),
        cuts in prop::collection::vec(1usize..4, 12),
    ) {
        for cut in cuts {
            match world.decide(&goal) {
                Decision::Done => break,
                Decision::Wait => prop_assert!(world.holder.is_unknown()),
                Decision::Act(actions) => {
                    for action in actions.iter().take(cut) {
                        world.apply(action, &operation());
                    }
                }
            }
        }
        prop_assert_eq!(world.decide(&goal), Decision::Done, "{:?}", world);
        match goal {
            Goal::MadeBy(_) | Goal::Running | Goal::NewerThan(_) => {
                prop_assert_eq!(world.holder.state(), ObservedState::Running);
            }
            Goal::Stopped => prop_assert_ne!(world.holder.state(), ObservedState::Running),
            Goal::Absent => prop_assert!(world.holder.container().is_none() && world.aside.is_none()),
            Goal::Restored { .. } => {}
        }
    }

    #[test]
    fn no_plan_acts_on_unknown(goal in goals(), aside in any::<bool>(), took_down in any::<bool>()) {
        let aside = aside.then(|| container(1, 1, RuntimeState::Exited, None));
        for holder in [
            present(ObservedState::Unknown),
            seen(container(1, 1, RuntimeState::Other("confused".into()), None)),
        ] {
            let spec = spec();
            let situation = Situation { holder: &holder, aside: aside.as_ref(), spec: &spec, took_down };
            prop_assert_eq!(plan(&goal, situation), Decision::Wait);
        }
    }

    #[test]
    fn desired_ignore_plans_nothing(world in worlds()) {
        let record = record(DesiredState::Ignore, ObservedState::Running);
        prop_assert_eq!(converge(&record, &world.holder), Decision::Done);
    }

    #[test]
    fn an_orphan_plans_nothing(world in worlds()) {
        let mut record = record(DesiredState::Running, ObservedState::Running);
        record.orphaned = true;
        prop_assert_eq!(converge(&record, &world.holder), Decision::Done);
    }

    #[test]
    fn nothing_is_taken_down_before_the_pull(world in worlds()) {
        if let Decision::Act(actions) = world.decide(&Goal::MadeBy(operation())) {
            let pull = actions.iter().position(|a| matches!(a, Action::Pull { .. }));
            let down = actions.iter().position(Action::takes_down);
            if let (Some(pull), Some(down)) = (pull, down) {
                prop_assert!(pull < down);
            }
        }
    }

    #[test]
    fn whatever_may_live_is_stopped_before_it_is_moved(world in worlds(), goal in goals()) {
        if let Decision::Act(actions) = world.decide(&goal) {
            let moves = actions.iter().position(|a| {
                matches!(a, Action::SetAside(which) | Action::Remove(which)
                    if world.holder.container().is_some_and(|c| c.instance.id == *which))
            });
            let lives = world.holder.state() == ObservedState::Running
                || world.holder.state() == ObservedState::Exited
                || condition(&world.holder).is_some_and(|c| c != mcp_model::Condition::Created);
            let lives = lives && condition(&world.holder) != Some(mcp_model::Condition::Removing);
            if let Some(moves) = moves.filter(|_| lives) {
                let stopped = actions[..moves].iter().any(|a| matches!(a, Action::Stop { .. }));
                prop_assert!(stopped, "{:?}", actions);
            }
        }
    }
}

#[test]
fn the_old_container_outlives_the_pull_and_the_start_of_the_new_one() {
    let mut world = World {
        holder: present(ObservedState::Running),
        aside: None,
        took_down: false,
        lives: 1,
        stopped: None,
    };
    let goal = Goal::MadeBy(operation());
    let Decision::Act(actions) = world.decide(&goal) else {
        panic!("nothing planned")
    };
    let phases: Vec<&str> = actions.iter().map(|a| a.phase().as_str()).collect();
    assert_eq!(phases, ["pulling", "stopping", "setting-aside", "starting"]);
    for action in &actions {
        world.apply(action, &operation());
    }
    assert_eq!(
        world.decide(&goal),
        Decision::Act(vec![Action::Remove(id(1))])
    );
}

#[test]
fn an_old_container_that_never_came_back_is_put_back_and_started() {
    let world = World {
        holder: seen(container(9, 2, RuntimeState::Exited, Some(operation()))),
        aside: Some(container(1, 1, RuntimeState::Exited, None)),
        took_down: true,
        lives: 2,
        stopped: None,
    };
    let goal = Goal::Restored {
        old: instance(1, 1),
        running: true,
    };
    assert_eq!(
        world.decide(&goal),
        Decision::Act(vec![
            // It died, but its restart policy may be about to bring it back.
            Action::Stop {
                instance: world.holder.container().unwrap().instance.clone(),
                grace: spec().stop_timeout(),
            },
            Action::Remove(id(9)),
            Action::PutBack(id(1)),
            Action::Start(id(1))
        ])
    );
}

#[test]
fn stops_and_pulls_have_the_limits_of_their_component() {
    let (stop, pull) = (Duration::from_secs(33), Duration::from_hours(2));
    let mut spec = spec();
    spec.image = "registry.example/app:v1".parse().unwrap();
    (spec.stop_timeout, spec.pull_timeout) = (Some(stop), Some(pull));
    let holder = seen(container(1, 1, RuntimeState::Running, None));
    let planned = |goal: &Goal, holder: &Observed| {
        let situation = Situation {
            holder,
            aside: None,
            spec: &spec,
            took_down: false,
        };
        match plan(goal, situation) {
            Decision::Act(actions) => actions,
            other => panic!("{goal:?}: {other:?}"),
        }
    };
    let replaces = Goal::MadeBy(operation());
    let renews = Goal::NewerThan(Some(instance(1, 1)));
    for goal in [replaces, renews, Goal::Stopped, Goal::Absent] {
        let bounded = planned(&goal, &holder)
            .into_iter()
            .any(|action| matches!(action, Action::Stop { grace, .. } if grace == stop));
        assert!(bounded, "{goal:?}");
    }
    for goal in [Goal::MadeBy(operation()), Goal::Running] {
        let bounded = planned(&goal, &Observed::Removed)
            .into_iter()
            .any(|action| matches!(action, Action::Pull { limit, .. } if limit == pull));
        assert!(bounded, "{goal:?}");
    }
}

#[test]
fn a_restart_is_not_repeated_once_a_newer_life_runs() {
    let goal = Goal::NewerThan(Some(instance(1, 1)));
    let newer = World {
        holder: seen(container(1, 2, RuntimeState::Running, None)),
        aside: None,
        took_down: true,
        lives: 2,
        stopped: None,
    };
    assert_eq!(newer.decide(&goal), Decision::Done);
    let stopped_between = World {
        holder: seen(container(1, 1, RuntimeState::Exited, None)),
        ..newer
    };
    assert_eq!(
        stopped_between.decide(&goal),
        Decision::Act(vec![Action::Start(id(1))])
    );
}

#[test]
fn a_local_image_is_not_pulled() {
    let mut local = spec();
    local.image = "localhost/web:v1".parse().unwrap();
    let situation = Situation {
        holder: &Observed::Removed,
        aside: None,
        spec: &local,
        took_down: false,
    };
    assert_eq!(
        plan(&Goal::Running, situation),
        Decision::Act(vec![Action::Run])
    );
}

#[test]
fn start_touches_nothing_that_runs() {
    let world = World {
        holder: present(ObservedState::Running),
        aside: None,
        took_down: false,
        lives: 1,
        stopped: None,
    };
    assert_eq!(world.decide(&Goal::Running), Decision::Done);
    assert_eq!(key().to_string(), "shop/web");
}
