//! A runtime in memory, for simulations and benches under a paused clock.
//!
//! It mirrors what podman was seen to do: who holds a name, what a failed start leaves behind,
//! what restart policies count, which calls find nothing. Its faults are scripted per kind of
//! call; its hints go through the same channel as the real ones and can be lost, doubled or
//! delayed. Looks answer with what was true when they began, however long they take: the stalest
//! answer that a real runtime could give.

mod half_way;
mod lives;
mod ports;
mod script;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mcp_model::{Container, ContainerId, ImageRef, Stamp};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{Call, RuntimeError};
use crate::hints::{Hint, HintSender};
use crate::runtime::{ContainerRuntime, Listing, RunRequest};

pub use script::{Fault, HintPolicy, Recorded};
pub use world::Behaviour;

use script::Script;
use world::{Effect, World};

/// The runtime in memory. Clones share one world.
#[derive(Clone)]
pub struct Fake {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Counts releases of hanging calls.
    released: watch::Sender<u64>,
    /// Delayed restarts and hints; they end with the fake.
    later: Mutex<JoinSet<()>>,
}

struct State {
    world: World,
    script: Script,
    hints: Option<HintSender>,
    policy: HintPolicy,
    stale: Option<Listing>,
}

impl Fake {
    /// An empty runtime whose clock shows `now`, for the agent of this instance id (S3).
    pub fn new(now: Stamp, agent: &str) -> Self {
        let state = State {
            world: World::new(now, agent),
            script: Script::default(),
            hints: None,
            policy: HintPolicy::default(),
            stale: None,
        };
        let inner = Inner {
            state: Mutex::new(state),
            released: watch::Sender::new(0),
            later: Mutex::new(JoinSet::new()),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of the test that holds it should be the only one.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends hints there from now on.
    pub fn send_hints_to(&self, hints: HintSender) {
        self.state().hints = Some(hints);
    }

    /// What becomes of hints from now on.
    pub fn hint_policy(&self, policy: HintPolicy) {
        self.state().policy = policy;
    }

    /// Makes an image known: to be pulled, or at once where it is local.
    pub fn add_image(&self, image: &ImageRef) {
        self.add_image_that(image, Behaviour::default());
    }

    /// Makes an image known, and says what its containers do.
    pub fn add_image_that(&self, image: &ImageRef, behaviour: Behaviour) {
        self.state().world.add_image(image, behaviour);
    }

    /// Every call of this kind takes so long from now on.
    pub fn latency(&self, call: Call, latency: Duration) {
        self.state().script.latencies.insert(call, latency);
    }

    /// The next `times` calls of this kind meet with `fault`, after those scripted before.
    pub fn next(&self, call: Call, times: usize, fault: &Fault) {
        self.state().script.add(call, times, fault);
    }

    /// Forgets the faults that no call has met with yet.
    pub fn forget_faults(&self) {
        self.state().script.forget();
    }

    /// Lets every call that hangs go on.
    pub fn release(&self) {
        self.inner.released.send_modify(|count| *count += 1);
    }

    /// Listings answer with what is true now, until [`Self::thaw_listing`].
    pub fn freeze_listing(&self) {
        let mut state = self.state();
        state.stale = Some(state.world.listing());
    }

    /// Listings are true again.
    pub fn thaw_listing(&self) {
        self.state().stale = None;
    }

    /// Leaves a container out of listings, or shows it again; an inspect finds it all the same.
    pub fn hide_from_listing(&self, name: &str, hidden: bool) {
        self.state().world.hide(name, hidden);
    }

    /// Every call so far, oldest first.
    pub fn calls(&self) -> Vec<Recorded> {
        self.state().script.calls.clone()
    }

    /// The calls so far that can change something, oldest first.
    pub fn mutations(&self) -> Vec<Recorded> {
        let mut calls = self.calls();
        calls.retain(|call| call.mutating);
        calls
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.state().script.calls.clear();
    }

    /// Every container as it is now.
    pub fn containers(&self) -> Vec<Container> {
        self.state().world.listing().containers
    }

    /// The container of that name, as it is now.
    pub fn container(&self, name: &str) -> Option<Container> {
        self.state().world.by_name(name).cloned()
    }

    /// Makes a container behind MCP's back, running, without MCP's labels.
    pub fn add_foreign(&self, name: &str, image: &str) -> ContainerId {
        self.change(|world| world.add_foreign(name, image))
    }

    /// Leaves a phantom behind, as a killed create does.
    pub fn add_phantom(&self, name: &str) {
        self.state().world.add_phantom(name);
    }

    /// Ends a container's process by itself. Its restart policy acts. Whether it ran.
    pub fn crash(&self, name: &str, code: i32, out_of_memory: bool) -> bool {
        self.change(|world| world.crash(name, code, out_of_memory))
    }

    /// Stops a container behind MCP's back, as `podman kill` and `podman stop` do: its restart
    /// policy does not act. Whether it ran.
    pub fn kill(&self, name: &str, code: i32) -> bool {
        self.change(|world| world.kill(name, code))
    }

    /// Starts a container behind MCP's back. Whether it was there and did not run.
    pub fn start_by_hand(&self, name: &str) -> bool {
        self.change(|world| world.start_by_hand(name))
    }

    /// Removes a container behind MCP's back, running or not. Whether it was there.
    pub fn remove_by_hand(&self, name: &str) -> bool {
        self.change(|world| world.remove_by_name(name))
    }

    /// The next process gets the pid of this container's last one.
    pub fn reuse_pid_of(&self, name: &str) {
        self.state().world.reuse_pid_of(name);
    }

    /// How long a restart policy waits before it acts; 100 ms unless set.
    pub fn restart_delay(&self, delay: Duration) {
        self.state().world.restart_delay = delay;
    }

    /// Writes a line to a container's output.
    pub fn write_line(&self, name: &str, line: &str) {
        self.state().world.write_line(name, line);
    }

    /// Changes the world and sees to what follows from it.
    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state.world);
        let effects = state.world.take_effects();
        self.follow_up(&state, effects);
        result
    }

    fn follow_up(&self, state: &State, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Hint(hint) => self.hint(state, hint),
                Effect::Later { after, then } => {
                    let fake = Arc::downgrade(&self.inner);
                    self.later(async move {
                        tokio::time::sleep(after).await;
                        if let Some(inner) = fake.upgrade() {
                            Self { inner }.change(|world| world.happen(&then));
                        }
                    });
                }
            }
        }
    }

    fn hint(&self, state: &State, hint: Hint) {
        let Some(sender) = &state.hints else {
            return;
        };
        let (sender, policy) = (sender.clone(), state.policy);
        if policy.delay.is_zero() {
            policy.deliver(&sender, &hint);
        } else {
            self.later(async move {
                tokio::time::sleep(policy.delay).await;
                policy.deliver(&sender, &hint);
            });
        }
    }

    fn later(&self, task: impl Future<Output = ()> + Send + 'static) {
        let later = self.inner.later.lock();
        let mut later = later.unwrap_or_else(PoisonError::into_inner);
        while later.try_join_next().is_some() {}
        later.spawn(task);
    }

    /// Records a call; returns the fault that it meets with and how long it takes.
    fn begin(&self, call: Call, object: &str) -> (Option<Fault>, Duration) {
        let mut state = self.state();
        state.script.begin(call, object, Instant::now())
    }

    /// Waits out a call's latency and, where it is to hang, for a release or its deadline.
    async fn wait(
        &self,
        call: Call,
        object: &str,
        deadline: Duration,
    ) -> Result<Option<Fault>, RuntimeError> {
        let mut released = self.inner.released.subscribe();
        let (fault, latency) = self.begin(call, object);
        let timed_out = || RuntimeError::TimedOut {
            call,
            object: object.to_owned(),
            after: deadline,
        };
        if latency >= deadline {
            tokio::time::sleep(deadline).await;
            return Err(timed_out());
        }
        tokio::time::sleep(latency).await;
        match fault {
            Some(Fault::Fail(error)) => Err(error),
            Some(Fault::Hang) => {
                match tokio::time::timeout(deadline.saturating_sub(latency), released.changed())
                    .await
                {
                    Ok(_) => Ok(None),
                    Err(_) => Err(timed_out()),
                }
            }
            other => Ok(other),
        }
    }

    async fn look<T>(
        &self,
        call: Call,
        object: &str,
        see: impl FnOnce(&State) -> T,
    ) -> Result<T, RuntimeError> {
        let seen = see(&self.state());
        self.wait(call, object, LOOK_DEADLINE).await?;
        Ok(seen)
    }

    async fn act<T>(
        &self,
        call: Call,
        object: &str,
        deadline: Duration,
        act: impl FnOnce(&mut World) -> Result<T, RuntimeError>,
    ) -> Result<T, RuntimeError> {
        let fault = self.wait(call, object, deadline).await?;
        let result = self.change(act);
        match fault {
            Some(Fault::DoThenFail(error)) => Err(error),
            _ => result,
        }
    }
}

/// The deadlines of [`crate::Deadlines`].
const LOOK_DEADLINE: Duration = Duration::from_secs(30);
const ACT_DEADLINE: Duration = Duration::from_mins(1);

#[async_trait]
impl ContainerRuntime for Fake {
    async fn version(&self) -> Result<String, RuntimeError> {
        self.look(Call::Version, "fake", |_| "0.0.0-fake".to_owned())
            .await
    }

    async fn list(&self) -> Result<Listing, RuntimeError> {
        let see = |state: &State| {
            let stale = state.stale.clone();
            stale.unwrap_or_else(|| state.world.visible_listing())
        };
        self.look(Call::List, "fake", see).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, RuntimeError> {
        let see = |state: &State| state.world.by_id(id).cloned();
        self.look(Call::Inspect, id.short(), see).await
    }

    async fn inspect_name(&self, name: &str) -> Result<Option<Container>, RuntimeError> {
        let see = |state: &State| state.world.by_name(name).cloned();
        self.look(Call::InspectName, name, see).await
    }

    async fn is_phantom(&self, name: &str) -> Result<bool, RuntimeError> {
        self.look(Call::Phantom, name, |state| state.world.is_phantom(name))
            .await
    }

    async fn pull(&self, image: &ImageRef, limit: Duration) -> Result<(), RuntimeError> {
        if image.is_local() {
            return Ok(());
        }
        let pull = |world: &mut World| world.pull(image);
        self.act(Call::Pull, image.as_str(), limit, pull).await
    }

    async fn run(&self, request: &RunRequest) -> Result<ContainerId, RuntimeError> {
        let name = request.key.container_name();
        let run = |world: &mut World| world.run(request);
        self.act(Call::Run, name.as_str(), ACT_DEADLINE, run).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let start = |world: &mut World| world.start(id);
        self.act(Call::Start, id.short(), ACT_DEADLINE, start).await
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let deadline = grace.saturating_add(LOOK_DEADLINE);
        let fault = self.wait(Call::Stop, id.short(), deadline).await?;
        let patience = self.change(|world| world.ask_to_stop(id))?;
        if patience {
            tokio::time::sleep(grace).await;
        }
        self.change(|world| world.finish_stop(id, patience));
        match fault {
            Some(Fault::DoThenFail(error)) => Err(error),
            _ => Ok(()),
        }
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let remove = |world: &mut World| {
            world.remove(id);
            Ok(())
        };
        self.act(Call::Remove, id.short(), ACT_DEADLINE, remove)
            .await
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), RuntimeError> {
        let rename = |world: &mut World| world.rename(id, name);
        self.act(Call::Rename, id.short(), ACT_DEADLINE, rename)
            .await
    }

    async fn last_lines(&self, id: &ContainerId, lines: u32) -> Result<Vec<String>, RuntimeError> {
        let see = |state: &State| state.world.last_lines(id, lines);
        self.look(Call::Logs, id.short(), see).await?
    }
}

#[cfg(test)]
mod tests;
