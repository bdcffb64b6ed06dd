//! The doubles of a simulation: a clock that only waiting moves, a registry on disk, a runtime in
//! memory, and somebody who writes down what he is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mcp_controller::port::{
    AlertSink, Clock, Failure, Listing, RunRequest, Runtime, RuntimeFailure, Store,
};
use mcp_model::{
    Alert, BootId, ComponentKey, Container, ContainerId, Expiry, ImageRef, IncidentChange,
    KeyState, Moment, NodeState, ObservationChange, Stamp, StandingRequest, StepOutcome,
    StepUpdate,
};
use mcp_registry::Database;
use mcp_runtime::fake::Fake;
use mcp_runtime::{ContainerRuntime, RuntimeError};
use tokio::time::Instant;

use crate::fate::Fate;
use crate::world::pass;

/// podman takes a moment to end after the container was started.
const CALL_ENDS: Duration = Duration::from_millis(1);
const EPOCH: i64 = 1_790_000_000_000;

/// Time as tokio's paused clock tells it, on both of ours; the wall clock can be set.
#[derive(Clone)]
pub(crate) struct SimClock {
    began: Instant,
    wall_offset: Arc<Mutex<i64>>,
    /// Which boot this is, and how far the simulation had come when it began.
    boot: Arc<Mutex<(u128, Duration)>>,
}

impl SimClock {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            wall_offset: Arc::default(),
            boot: Arc::new(Mutex::new((1, Duration::ZERO))),
        }
    }

    /// From now on it is another boot.
    pub(crate) fn reboot(&self) {
        let mut boot = self.boot.lock().unwrap();
        *boot = (boot.0 + 1, self.began.elapsed());
    }

    pub(crate) fn set_wall_back(&self, millis: i64) {
        *self.wall_offset.lock().unwrap() -= millis;
    }
}

impl Clock for SimClock {
    fn now(&self) -> Moment {
        let elapsed = self.began.elapsed();
        let millis = i64::try_from(elapsed.as_millis()).unwrap();
        let (boot, began) = *self.boot.lock().unwrap();
        Moment {
            wall: Stamp::from_millis(EPOCH + millis + *self.wall_offset.lock().unwrap()),
            boot: elapsed.saturating_sub(began),
            boot_id: BootId(boot),
        }
    }
}

/// How many calls are yet to panic.
#[derive(Clone, Default)]
pub(crate) struct Breaks(Arc<Mutex<u32>>);

impl Breaks {
    pub(crate) fn next(&self, calls: u32) {
        *self.0.lock().unwrap() = calls;
    }

    fn pass(&self) {
        let left = self.0.lock().unwrap().checked_sub(1);
        if let Some(left) = left {
            *self.0.lock().unwrap() = left;
            panic!("a bug in a call");
        }
    }
}

/// The registry, called in line so that the paused clock waits for it. Can be made to panic, to
/// fail, and to take its time.
#[derive(Clone)]
pub(crate) struct SimStore {
    pub(crate) database: Arc<Mutex<Database>>,
    pub(crate) panics_on: Arc<Mutex<Option<ComponentKey>>>,
    pub(crate) fails: Arc<Mutex<bool>>,
    /// Calls about messages.
    pub(crate) breaks: Breaks,
    /// Looks at what is stored of the node.
    pub(crate) node_breaks: Breaks,
    pub(crate) prunes_for: Arc<Mutex<Duration>>,
    pub(crate) observes_for: Arc<Mutex<Duration>>,
    pub(crate) fate: Fate,
}

impl SimStore {
    pub(crate) fn new(database: Database, fate: Fate) -> Self {
        Self {
            database: Arc::new(Mutex::new(database)),
            panics_on: Arc::default(),
            fails: Arc::default(),
            breaks: Breaks::default(),
            node_breaks: Breaks::default(),
            prunes_for: Arc::default(),
            observes_for: Arc::default(),
            fate,
        }
    }

    async fn with<T>(
        &self,
        act: impl FnOnce(&mut Database) -> Result<T, mcp_registry::RegistryError>,
    ) -> Result<T, Failure> {
        self.fate.pass().await;
        let result = if *self.fails.lock().unwrap() {
            Err(Failure("the disk is full".into()))
        } else {
            act(&mut self.database.lock().unwrap()).map_err(|error| Failure(error.to_string()))
        };
        self.fate.pass().await;
        result
    }
}

#[async_trait]
impl Store for SimStore {
    async fn keys(&self) -> Result<Vec<ComponentKey>, Failure> {
        self.with(|db| db.keys()).await
    }

    async fn load(&self, key: &ComponentKey) -> Result<KeyState, Failure> {
        let panics = self.panics_on.lock().unwrap().as_ref() == Some(key);
        assert!(!panics, "a bug in one key");
        self.with(|db| db.load(key)).await
    }

    async fn observe(&self, change: ObservationChange) -> Result<(), Failure> {
        let takes = *self.observes_for.lock().unwrap();
        if !takes.is_zero() {
            pass(takes).await;
        }
        self.with(|db| db.observe(&change)).await
    }

    async fn incidents(&self, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        self.with(|db| db.incidents(&changes)).await
    }

    async fn node(&self) -> Result<NodeState, Failure> {
        self.node_breaks.pass();
        self.with(|db| db.node()).await
    }

    async fn booted(&self, boot: BootId, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        self.with(|db| db.booted(boot, &changes)).await
    }

    async fn transitions(
        &self,
        key: &ComponentKey,
        now: Moment,
        window: Duration,
    ) -> Result<u32, Failure> {
        self.with(|db| db.transitions(key, &now, window)).await
    }

    async fn accept_standing(&self, request: StandingRequest) -> Result<bool, Failure> {
        self.with(|db| db.accept_standing(&request)).await
    }

    async fn standing_attempts(
        &self,
        key: &ComponentKey,
        generation: u64,
        most: u32,
    ) -> Result<Vec<Moment>, Failure> {
        self.with(|db| db.standing_attempts(key, generation, most))
            .await
    }

    async fn step(&self, update: StepUpdate) -> Result<(), Failure> {
        self.with(|db| db.step(&update)).await
    }

    async fn settle(&self, outcome: StepOutcome) -> Result<(), Failure> {
        self.with(|db| db.settle(&outcome)).await
    }

    async fn expire(&self, now: Moment) -> Result<Expiry, Failure> {
        self.with(|db| db.expire(&now)).await
    }

    async fn undelivered(&self, most: u32) -> Result<Vec<(i64, Alert)>, Failure> {
        self.breaks.pass();
        self.with(|db| db.undelivered(most)).await
    }

    async fn delivered(&self, id: i64, outcome: String) -> Result<(), Failure> {
        self.breaks.pass();
        self.with(|db| db.delivered(id, &outcome)).await
    }

    async fn prune(&self, now: Moment, retention: Duration) -> Result<(), Failure> {
        let takes = *self.prunes_for.lock().unwrap();
        pass(takes).await;
        self.with(|db| db.prune(&now, retention)).await.map(drop)
    }
}

pub(crate) struct SimRuntime(pub(crate) Fake, pub(crate) Fate);

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: RuntimeError) -> RuntimeFailure {
    let words = error.in_words();
    match error {
        RuntimeError::NameTaken { .. } => RuntimeFailure::NameTaken(words),
        RuntimeError::NotFound { .. } => RuntimeFailure::NotFound(words),
        RuntimeError::TimedOut { .. } => RuntimeFailure::TimedOut(words),
        _ => RuntimeFailure::Other(words),
    }
}

#[async_trait]
impl Runtime for SimRuntime {
    async fn list(&self) -> Result<Listing, RuntimeFailure> {
        let listing = self.1.at(self.0.list()).await.map_err(failure)?;
        Ok(Listing {
            containers: listing.containers,
        })
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, RuntimeFailure> {
        self.1.at(self.0.inspect(id)).await.map_err(failure)
    }

    async fn inspect_name(&self, name: &str) -> Result<Option<Container>, RuntimeFailure> {
        self.1.at(self.0.inspect_name(name)).await.map_err(failure)
    }

    async fn is_phantom(&self, name: &str) -> Result<bool, RuntimeFailure> {
        self.1.at(self.0.is_phantom(name)).await.map_err(failure)
    }

    async fn pull(&self, image: &ImageRef, limit: Duration) -> Result<(), RuntimeFailure> {
        self.1.at(self.0.pull(image, limit)).await.map_err(failure)
    }

    async fn run(&self, request: &RunRequest) -> Result<ContainerId, RuntimeFailure> {
        let RunRequest {
            key,
            spec,
            revision,
            operation,
            replace_phantom,
        } = request.clone();
        let request = mcp_runtime::RunRequest {
            key,
            spec,
            revision,
            operation,
            replace_phantom,
        };
        let made = self.1.at(self.0.run(&request)).await.map_err(failure);
        pass(CALL_ENDS).await;
        made
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeFailure> {
        let started = self.1.at(self.0.start(id)).await.map_err(failure);
        pass(CALL_ENDS).await;
        started
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeFailure> {
        self.1.at(self.0.stop(id, grace)).await.map_err(failure)
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeFailure> {
        self.1.at(self.0.remove(id)).await.map_err(failure)
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), RuntimeFailure> {
        self.1.at(self.0.rename(id, name)).await.map_err(failure)
    }

    async fn last_lines(&self, id: &ContainerId, n: u32) -> Result<Vec<String>, RuntimeFailure> {
        self.1.at(self.0.last_lines(id, n)).await.map_err(failure)
    }
}

/// Writes down what he is told; can be made to hang or fail.
#[derive(Clone, Default)]
pub(crate) struct Scribe {
    pub(crate) told: Arc<Mutex<Vec<Alert>>>,
    pub(crate) hangs: Arc<Mutex<Option<Duration>>>,
    /// Messages about this fail.
    pub(crate) fails_about: Arc<Mutex<Option<String>>>,
    /// So many deliveries tell, and then panic.
    pub(crate) breaks: Breaks,
    /// Tells, and then takes so long to end.
    pub(crate) lingers: Arc<Mutex<Option<Duration>>>,
}

#[async_trait]
impl AlertSink for Scribe {
    async fn deliver(&self, alert: &Alert) -> Result<(), Failure> {
        let hangs = *self.hangs.lock().unwrap();
        if let Some(limit) = hangs {
            pass(limit).await;
            return Err(Failure("the alert command did not end".into()));
        }
        self.told.lock().unwrap().push(alert.clone());
        let lingers = *self.lingers.lock().unwrap();
        if let Some(time) = lingers {
            pass(time).await;
        }
        self.breaks.pass();
        let fails = self.fails_about.lock().unwrap().clone();
        if fails.is_some_and(|about| about == alert.scope.to_string()) {
            return Err(Failure("exit status: 3".into()));
        }
        Ok(())
    }
}
