//! When the agent dies, and what is true whenever it calls the world.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use mcp_model::{ContainerId, Stamp};
use mcp_runtime::fake::Fake;
use tokio::sync::Notify;

/// Passed before and after every call of a port. Where it strikes, neither that call nor any other
/// goes on: the agent is dead, and only its tasks are left to be ended.
#[derive(Clone)]
pub(crate) struct Fate(Arc<Inner>);

struct Inner {
    fake: Fake,
    state: Mutex<State>,
    struck: Notify,
}

#[derive(Default)]
struct State {
    passed: usize,
    strikes_at: Option<usize>,
    dead: bool,
    /// Every life that a container was seen in, running or ended.
    lives: BTreeSet<(ContainerId, Option<Stamp>)>,
    /// Names of components of which two containers ran at once.
    doubled: Vec<String>,
}

impl Fate {
    pub(crate) fn of(fake: &Fake) -> Self {
        Self(Arc::new(Inner {
            fake: fake.clone(),
            state: Mutex::default(),
            struck: Notify::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Before or after a call.
    pub(crate) async fn pass(&self) {
        self.look();
        let dead = {
            let mut state = self.state();
            state.passed += 1;
            if state.strikes_at == Some(state.passed) {
                state.strikes_at = None;
                state.dead = true;
                self.0.struck.notify_one();
            }
            state.dead
        };
        if dead {
            std::future::pending::<()>().await;
        }
    }

    /// A call between two passes.
    pub(crate) async fn at<T>(&self, call: impl Future<Output = T>) -> T {
        self.pass().await;
        let result = call.await;
        self.pass().await;
        result
    }

    /// Strikes at the pass after `passes` more.
    pub(crate) fn strike_after(&self, passes: usize) {
        let mut state = self.state();
        state.strikes_at = Some(state.passed + passes + 1);
    }

    /// Resolves once it struck.
    pub(crate) async fn struck(&self) {
        self.0.struck.notified().await;
    }

    /// The next agent is not dead, and not meant to die.
    pub(crate) fn revive(&self) {
        let mut state = self.state();
        state.dead = false;
        state.strikes_at = None;
    }

    /// How many passes there were.
    pub(crate) fn passed(&self) -> usize {
        self.state().passed
    }

    /// How many lives there were so far.
    pub(crate) fn lives(&self) -> usize {
        self.look();
        self.state().lives.len()
    }

    /// Components of which two containers ran at once.
    pub(crate) fn doubled(&self) -> Vec<String> {
        self.state().doubled.clone()
    }

    fn look(&self) {
        let mut running = BTreeSet::new();
        let mut state = self.0.state.lock().unwrap();
        for container in self.0.fake.containers() {
            let (instance, name) = (container.instance, container.name);
            if instance.started_at.is_some() {
                state.lives.insert((instance.id, instance.started_at));
            }
            let component = name.split('.').next().unwrap_or_default().to_owned();
            if instance.pid.is_some() && !running.insert(component.clone()) {
                state.doubled.push(component);
            }
        }
    }
}
