//! The loop: triggers in, keys to workers, ends back into the queue.
//!
//! One task owns the queue and never waits for anything but the next thing to happen. Runs and
//! listings are tasks of its own, joined before it ends; nothing is sent to itself.

mod expiry;
mod listing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mcp_model::{ComponentKey, ContainerId, Expiry, Moment};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::dispatch;
use crate::handle::{Handle, Message, Trigger};
use crate::looks::{Looks, Tick};
use crate::node::{self, Node};
use crate::port::{Failure, Listing, RuntimeFailure};
use crate::queue::{Queue, RunEnd};
use crate::reconcile::Reconciler;
use crate::view::Publisher;
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
            node: Node::new(),
            progress,
            messages: Notify::new(),
            acting: Arc::new(Semaphore::new(ACTING)),
        });
        let handle = Handle {
            acts_on_drift: core.settings.auto.is_some(),
            messages: sender,
            view,
            progress: progress_reader,
        };
        (Self { core, messages }, handle)
    }

    /// Runs until `stop` is cancelled, then lets runs end for a while and joins every task.
    pub async fn run(self, stop: CancellationToken) {
        let mut helpers = JoinSet::new();
        helpers.spawn(dispatch::run(self.core.clone(), stop.clone()));
        helpers.spawn(node::run(self.core.clone(), stop.clone()));
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
                Some(_) = state.explaining.join_next() => {}
                Some(ended) = state.expiring.join_next() => state.expired(ended),
                Some(message) = messages.recv() => state.message(message),
                () = tokio::time::sleep_until(wake) => state.timer(),
            }
        }
        state.drain().await;
        while helpers.join_next().await.is_some() {}
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
    explaining: JoinSet<()>,
    expiring: JoinSet<Result<Expiry, Failure>>,
    /// When the next waiting step may expire.
    expiry: Instant,
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
            explaining: JoinSet::new(),
            expiring: JoinSet::new(),
            expiry: Instant::now(),
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
                let key = self.running.get(&panic.id()).map(|(key, _)| key);
                error!(key = key.map(ToString::to_string), panic = %panic, "a reconciliation panicked");
                if let Some(key) = key {
                    self.core.lost_sight(key, "its reconciliation broke down");
                }
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
                if trigger == Trigger::Intent {
                    // Operations may have come with it, or ended because of it.
                    self.core.progress.send_modify(|count| *count += 1);
                }
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
            Message::Explain(key, reply) => {
                let schedule = self.queue.schedule(&key, self.resync, now);
                let core = self.core.clone();
                self.explaining.spawn(async move {
                    let explained = core.explain(&key, schedule).await;
                    let _ = reply.send(explained.map_err(|error| Failure(error.to_string())));
                });
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
        let expiry = self.expiring.is_empty().then_some(self.expiry);
        [self.queue.next_due(), change, expiry]
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
        if self.expiry <= now && self.expiring.is_empty() {
            self.expire();
        }
        if self.resync <= now {
            self.list();
            // Whoever waits for a listing that never comes is served by the next one.
            self.resync = now + jitter(self.core.settings.interval);
        }
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
        self.explaining.shutdown().await;
        self.expiring.shutdown().await;
    }
}

/// The interval, up to a tenth shorter or longer, so that agents do not list in step.
fn jitter(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}
