//! The loop: triggers in, keys to workers, ends back into the queue.
//!
//! One task owns the queue and never waits for anything but the next thing to happen. Runs and
//! listings are tasks of its own, joined before it ends; nothing is sent to itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mcp_model::{ComponentKey, Container, ContainerId, Moment};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::dispatch;
use crate::handle::{Handle, Message, Trigger};
use crate::looks::{Index, Looks, Tick, is_set_aside};
use crate::port::{Failure, Listing, RuntimeFailure};
use crate::queue::{Queue, RunEnd};
use crate::reconcile::Reconciler;
use crate::view::{MAX_FOREIGN, Publisher};
use crate::{Ports, Settings};

/// Runs at once that only look.
const WORKERS: usize = 8;
/// Runs at once that carry out operations. Most of them wait: for a pull, or for their turn to act.
const OPERATIONS: usize = 64;
/// Operations' steps that may take something down or start something at once. A step keeps its
/// turn to its end, so that a large redeploy does not stop everything before it starts anything.
const ACTING: usize = 16;
/// Messages that wait for the loop.
const MESSAGES: usize = 1024;
/// How long the runtime must be quiet before a change is listed…
const QUIET: Duration = Duration::from_millis(500);
/// …and how long it may go on changing before it is listed all the same.
const QUIET_AT_MOST: Duration = Duration::from_secs(3);
/// How long runs get to end once the controller is told to stop. What is cut off is resumed by
/// the next agent.
const DRAIN: Duration = Duration::from_secs(25);

/// The controller, until it runs.
pub struct Controller {
    core: Arc<Reconciler>,
    messages: mpsc::Receiver<Message>,
}

impl Controller {
    /// A controller over these ports, and the handle on it.
    pub fn new(ports: Ports, settings: Settings) -> (Self, Handle) {
        let (sender, messages) = mpsc::channel(MESSAGES);
        let (publisher, view) = Publisher::new();
        let (progress, progress_reader) = watch::channel(0);
        let core = Arc::new(Reconciler {
            ports,
            settings,
            looks: Looks::default(),
            publisher,
            progress,
            messages: Notify::new(),
            acting: Arc::new(Semaphore::new(ACTING)),
        });
        let handle = Handle {
            messages: sender,
            view,
            progress: progress_reader,
        };
        (Self { core, messages }, handle)
    }

    /// Runs until `stop` is cancelled, then lets runs end for a while and joins every task.
    pub async fn run(self, stop: CancellationToken) {
        let mut dispatcher = JoinSet::new();
        dispatcher.spawn(dispatch::run(self.core.clone(), stop.clone()));
        let mut state = Loop::new(self.core);
        let mut messages = self.messages;
        state.list();
        loop {
            state.start_runs();
            let wake = state.next_wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = state.runs.join_next_with_id() => state.run_ended(ended),
                Some(listed) = state.listings.join_next() => state.listed(listed),
                Some(_) = state.pruning.join_next() => {}
                Some(message) = messages.recv() => state.message(message),
                () = tokio::time::sleep_until(wake) => state.timer(),
            }
        }
        state.drain().await;
        while dispatcher.join_next().await.is_some() {}
    }
}

type Listed = (
    Tick,
    Moment,
    Result<Listing, RuntimeFailure>,
    Result<Vec<ComponentKey>, Failure>,
);

/// Those who wait for keys to be looked at.
struct Waiters {
    replies: Vec<oneshot::Sender<Result<(), Failure>>>,
    /// For how many runs each key is waited for at most, while it is due for another one.
    keys: HashMap<ComponentKey, u8>,
}

/// How many runs of a key are waited for until it comes to rest: the one under way, the one that
/// follows an operation's, and one for what happened meanwhile.
const RUNS_TO_REST: u8 = 3;

struct Loop {
    core: Arc<Reconciler>,
    queue: Queue,
    runs: JoinSet<RunEnd>,
    running: HashMap<Id, (ComponentKey, Trigger)>,
    listings: JoinSet<Listed>,
    /// Those who asked after the listing that is under way had begun.
    next_look: Vec<oneshot::Sender<Result<(), Failure>>>,
    /// Those whom the listing under way will serve.
    this_look: Vec<oneshot::Sender<Result<(), Failure>>>,
    waiting: Vec<Waiters>,
    resync: Instant,
    /// A change that waits for quiet: when it will be listed, and when at the latest.
    change: Option<(Instant, Instant)>,
    /// When a container was last named by a hint.
    container_hint: Option<Instant>,
    /// When a change was last listed at once.
    listed_at: Option<Instant>,
    pruning: JoinSet<()>,
    pruned: Option<Instant>,
}

impl Loop {
    fn new(core: Arc<Reconciler>) -> Self {
        Self {
            core,
            queue: Queue::new(),
            runs: JoinSet::new(),
            running: HashMap::new(),
            listings: JoinSet::new(),
            next_look: Vec::new(),
            this_look: Vec::new(),
            waiting: Vec::new(),
            resync: Instant::now(),
            change: None,
            container_hint: None,
            listed_at: None,
            pruning: JoinSet::new(),
            pruned: None,
        }
    }

    fn start_runs(&mut self) {
        let now = Instant::now();
        self.queue.promote(now);
        for lane in [Trigger::Intent, Trigger::Hint] {
            let mut busy = self.running.values().filter(|(_, l)| *l == lane).count();
            let workers = match lane {
                Trigger::Intent => OPERATIONS,
                Trigger::Hint => WORKERS,
            };
            while busy < workers {
                let Some(key) = self.queue.take(lane, now) else {
                    break;
                };
                let (core, run_key) = (self.core.clone(), key.clone());
                let task = self
                    .runs
                    .spawn(async move { core.run(&run_key, lane).await });
                self.running.insert(task.id(), (key, lane));
                busy += 1;
            }
        }
    }

    fn run_ended(&mut self, ended: Result<(Id, RunEnd), JoinError>) {
        let (id, end) = match ended {
            Ok(ended) => ended,
            Err(panic) => {
                // One key's failure, nothing else's.
                let key = self
                    .running
                    .get(&panic.id())
                    .map(|(key, _)| key.to_string());
                error!(key, panic = %panic, "a reconciliation panicked");
                (panic.id(), RunEnd::Failed)
            }
        };
        let Some((key, _)) = self.running.remove(&id) else {
            return;
        };
        let now = Instant::now();
        self.queue.done(&key, end, now);
        let due = self.queue.is_due(&key, now);
        for waiters in &mut self.waiting {
            if let Some(runs) = waiters.keys.get_mut(&key) {
                *runs -= 1;
                if *runs == 0 || !due {
                    waiters.keys.remove(&key);
                }
            }
        }
        self.answer_waiters();
    }

    fn answer_waiters(&mut self) {
        if !self.waiting.iter().any(|waiters| waiters.keys.is_empty()) {
            return;
        }
        // Only now is it known which containers of the listing are somebody's.
        self.publish_foreign();
        self.waiting.retain_mut(|waiters| {
            if !waiters.keys.is_empty() {
                return true;
            }
            for reply in waiters.replies.drain(..) {
                let _ = reply.send(Ok(()));
            }
            false
        });
    }

    fn message(&mut self, message: Message) {
        let now = Instant::now();
        match message {
            Message::Keys(keys, trigger) => {
                for key in keys {
                    // What somebody wants says nothing about what is there.
                    if trigger == Trigger::Hint {
                        self.core.looks.distrust(&key);
                    }
                    self.queue.add(&key, trigger, now);
                }
            }
            Message::Container(id) => self.container(&id, now),
            Message::Changed => self.changed(now),
            Message::Look(reply) => {
                self.next_look.push(reply);
                self.list();
            }
            Message::Rest(keys, reply) => {
                let due = keys.into_iter().filter(|key| self.queue.is_due(key, now));
                let keys = due.map(|key| (key, RUNS_TO_REST)).collect();
                self.waiting.push(Waiters {
                    replies: vec![reply],
                    keys,
                });
                self.answer_waiters();
            }
        }
    }

    fn container(&mut self, id: &ContainerId, now: Instant) {
        self.container_hint = Some(now);
        match self.core.looks.owner(id) {
            Some(key) => {
                self.core.looks.distrust(&key);
                self.queue.add(&key, Trigger::Hint, now);
            }
            None => self.changed(now),
        }
    }

    /// The first change after quiet is listed at once, what follows it is gathered. While an
    /// operation runs, and right after a container was named, the change is most likely of that
    /// making: it can wait for quiet, and not slow down the look at that container.
    fn changed(&mut self, now: Instant) {
        let operating = self
            .running
            .values()
            .any(|(_, lane)| *lane == Trigger::Intent);
        let recent = |at: Option<Instant>| at.is_some_and(|at| now < at + QUIET);
        if let Some((_, latest)) = self.change {
            self.change = Some(((now + QUIET).min(latest), latest));
        } else if operating || recent(self.container_hint) || recent(self.listed_at) {
            self.change = Some((now + QUIET, now + QUIET_AT_MOST));
        } else {
            self.listed_at = Some(now);
            self.list();
        }
    }

    fn next_wake(&self) -> Instant {
        let change = self.change.map(|(due, _)| due);
        [self.queue.next_due(), change]
            .into_iter()
            .flatten()
            .fold(self.resync, Instant::min)
    }

    fn timer(&mut self) {
        let now = Instant::now();
        if self.change.is_some_and(|(due, _)| due <= now) {
            self.change = None;
            self.list();
        }
        if self.resync <= now {
            self.list();
            // Whoever waits for a listing that never comes is served by the next one.
            self.resync = now + jitter(self.core.settings.interval);
        }
    }

    /// Begins a listing, unless one is under way; then another one follows for those who asked
    /// since.
    fn list(&mut self) {
        if !self.listings.is_empty() {
            return;
        }
        self.this_look.append(&mut self.next_look);
        self.resync = Instant::now() + jitter(self.core.settings.interval);
        let core = self.core.clone();
        self.listings.spawn(async move {
            let (tick, began) = (core.looks.tick(), core.ports.clock.now());
            let mut listing = core.ports.runtime.list().await;
            if let Err(failure) = &listing {
                warn!(error = %failure, "listing failed; trying once more");
                listing = core.ports.runtime.list().await;
            }
            (tick, began, listing, core.ports.store.keys().await)
        });
    }

    fn listed(&mut self, listed: Result<Listed, JoinError>) {
        let (tick, began, listing, keys) = match listed {
            Ok(listed) => listed,
            Err(panic) => {
                error!(panic = %panic, "a listing panicked");
                let failure = RuntimeFailure::Other("the listing failed".to_owned());
                let tick = self.core.looks.tick();
                (
                    tick,
                    self.core.ports.clock.now(),
                    Err(failure),
                    Ok(Vec::new()),
                )
            }
        };
        let mut keys = keys.unwrap_or_else(|error| {
            warn!(error = %error, "cannot read the keys; using those that are known");
            Vec::new()
        });
        keys.extend(self.core.publisher.keys());
        keys.sort();
        keys.dedup();
        let now = Instant::now();
        let mut recovered = false;
        let changed = match listing {
            Ok(listing) => {
                let index = Index::new(tick, listing.containers);
                let agent = self.core.settings.agent.clone();
                let changed = self.core.looks.take_in(index, keys.clone(), &agent);
                self.core.publisher.look(|view| {
                    view.observed_at = Some(began);
                    recovered = view.observation_error.take().is_some();
                });
                changed
            }
            Err(failure) => {
                // What cannot be listed is looked at one by one; what fails then is unknown (S25).
                self.core
                    .publisher
                    .look(|view| view.observation_error = Some(failure.to_string()));
                for key in &keys {
                    self.core.looks.distrust(key);
                }
                keys.clone()
            }
        };
        debug!(
            keys = keys.len(),
            changed = changed.len(),
            "listed the runtime"
        );
        for key in &keys {
            if recovered {
                // It backed off from a runtime that did not answer.
                self.queue.forgive(key);
            }
            self.queue.add(key, Trigger::Hint, now);
        }
        self.prune(now);
        self.serve_look(changed);
        if !self.next_look.is_empty() {
            self.list();
        }
    }

    /// Those who asked for this look wait for the keys that it found changed, save those that an
    /// operation works on or is about to, which may take minutes and shows its own state, and those
    /// that wait out a back-off, which are shown as unknown.
    fn serve_look(&mut self, changed: Vec<ComponentKey>) {
        let (replies, now) = (std::mem::take(&mut self.this_look), Instant::now());
        let operated: HashSet<&ComponentKey> = self
            .running
            .values()
            .filter(|(_, lane)| *lane == Trigger::Intent)
            .map(|(key, _)| key)
            .collect();
        let keys = changed
            .into_iter()
            .filter(|key| !operated.contains(key) && self.queue.is_due_for_a_look(key, now))
            .map(|key| (key, 1))
            .collect();
        self.waiting.push(Waiters { replies, keys });
        self.answer_waiters();
    }

    fn publish_foreign(&self) {
        let agent = &self.core.settings.agent;
        let owned = self.core.publisher.owned();
        let is_ours = |container: &Container| {
            let key = container.labels.key();
            let status = key
                .as_ref()
                .and_then(|key| self.core.publisher.component_status(key));
            let just_made =
                status.is_some() && key.is_some_and(|key| container.claims(&key, agent));
            // Put aside by an operation that is under way; one that was left behind is shown.
            let set_aside = is_set_aside(container)
                && container.labels.agent.as_ref() == Some(agent)
                && status.is_some_and(|status| status.operation.is_some());
            set_aside || just_made || owned.contains(&container.instance.id)
        };
        let mut foreign = self.core.looks.unowned(is_ours);
        let omitted = foreign.len().saturating_sub(MAX_FOREIGN);
        foreign.truncate(MAX_FOREIGN);
        self.core.publisher.look(|view| {
            view.foreign = foreign;
            view.foreign_omitted = omitted;
        });
    }

    /// Prunes now and then, as a task of its own: a long log must not hold up a look.
    fn prune(&mut self, now: Instant) {
        const EVERY: Duration = Duration::from_hours(1);
        let recent = |at| now.saturating_duration_since(at) < EVERY;
        if self.pruned.is_some_and(recent) || !self.pruning.is_empty() {
            return;
        }
        self.pruned = Some(now);
        let core = self.core.clone();
        self.pruning.spawn(async move {
            let (clock, retention) = (core.ports.clock.now(), core.settings.retention);
            if let Err(error) = core.ports.store.prune(clock, retention).await {
                warn!(error = %error, "cannot prune old events");
            }
        });
    }

    /// Lets runs end, for a while. Cut off is only the waiting: what a run did is stored before it
    /// does it.
    async fn drain(&mut self) {
        let all = async {
            while self.runs.join_next().await.is_some() {}
            self.listings.shutdown().await;
        };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            warn!(
                runs = self.runs.len(),
                "stopping while work is under way; it will be resumed"
            );
        }
        self.runs.shutdown().await;
        self.listings.shutdown().await;
        self.pruning.shutdown().await;
    }
}

/// The interval, up to a tenth shorter or longer, so that agents do not list in step.
fn jitter(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}
