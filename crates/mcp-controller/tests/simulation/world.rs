//! The world of a simulation: a runtime in memory, a registry on disk, a clock that only waiting
//! moves, and somebody who writes down what he is told.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mcp_controller::port::{
    AlertSink, Clock, Failure, Listing, RunRequest, Runtime, RuntimeFailure, Store,
};
use mcp_controller::{Controller, Handle, Ports, Settings, Status, Trigger, View};
use mcp_model::{
    Alert, AlertEvent, BootId, ComponentKey, ComponentSpec, Container, ContainerId, Expiry,
    ImageRef, IncidentChange, KeyState, Moment, NodeState, ObservationChange, ObservedState,
    Operation, OperationId, OperationRequest, Origin, Request, ServiceSpec, Stamp, StandingRequest,
    StepOutcome, StepUpdate,
};
use mcp_registry::{Accepted, Database, EventFilter, OperationFilter, SyncRequest};
use mcp_runtime::fake::Fake;
use mcp_runtime::hints::{self, Hint};
use mcp_runtime::{ContainerRuntime, RuntimeError};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fate::Fate;

const AGENT: &str = "sim-agent";
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

/// The registry, called in line so that the paused clock waits for it. Can be made to panic, to
/// fail, and to take its time.
#[derive(Clone)]
pub(crate) struct SimStore {
    pub(crate) database: Arc<Mutex<Database>>,
    pub(crate) panics_on: Arc<Mutex<Option<ComponentKey>>>,
    pub(crate) fails: Arc<Mutex<bool>>,
    pub(crate) prunes_for: Arc<Mutex<Duration>>,
    pub(crate) observes_for: Arc<Mutex<Duration>>,
    pub(crate) fate: Fate,
}

impl SimStore {
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
        self.with(|db| db.undelivered(most)).await
    }

    async fn delivered(&self, id: i64, outcome: String) -> Result<(), Failure> {
        self.with(|db| db.delivered(id, &outcome)).await
    }

    async fn prune(&self, now: Moment, retention: Duration) -> Result<(), Failure> {
        let takes = *self.prunes_for.lock().unwrap();
        pass(takes).await;
        self.with(|db| db.prune(&now, retention)).await.map(drop)
    }
}

struct SimRuntime(Fake, Fate);

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
        let fails = self.fails_about.lock().unwrap().clone();
        if fails.is_some_and(|about| about == alert.scope.to_string()) {
            return Err(Failure("exit status: 3".into()));
        }
        Ok(())
    }
}

/// Lets simulated time pass.
pub(crate) async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

pub(crate) async fn seconds(count: u64) {
    pass(Duration::from_secs(count)).await;
}

pub(crate) struct Sim {
    pub(crate) fake: Fake,
    pub(crate) store: SimStore,
    pub(crate) clock: SimClock,
    pub(crate) scribe: Scribe,
    pub(crate) handle: Handle,
    pub(crate) settings: Settings,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    operations: u32,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Sim {
    /// A node with nothing on it. Images `registry.example/app:v1` and `:v2` can be pulled.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(adjust: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mcp.db");
        let mut settings = Settings::new(AGENT);
        adjust(&mut settings);
        let clock = SimClock {
            began: Instant::now(),
            wall_offset: Arc::default(),
            boot: Arc::new(Mutex::new((1, Duration::ZERO))),
        };
        let fake = Fake::new(clock.now().wall, AGENT);
        for image in ["registry.example/app:v1", "registry.example/app:v2"] {
            fake.add_image(&image.parse().unwrap());
        }
        let database = Database::open(&path, &mcp_registry::Options::default()).unwrap();
        let store = SimStore {
            database: Arc::new(Mutex::new(database)),
            panics_on: Arc::default(),
            fails: Arc::default(),
            prunes_for: Arc::default(),
            fate: Fate::of(&fake),
            observes_for: Arc::default(),
        };
        let scribe = Scribe::default();
        let stop = CancellationToken::new();
        let (handle, tasks) = boot(&fake, &store, &scribe, &clock, &settings, &stop);
        Self {
            fake,
            store,
            clock,
            scribe,
            handle,
            settings,
            stop,
            tasks,
            operations: 0,
            path,
            _folder: folder,
        }
    }

    /// Stops the agent and starts another one on the same registry and runtime.
    pub(crate) async fn restart_agent(&mut self) {
        self.stop_agent().await;
        self.start_agent();
    }

    /// Ends the agent wherever it is, as SIGKILL does.
    pub(crate) async fn kill_agent(&mut self) {
        self.tasks.shutdown().await;
    }

    /// From now on it is another boot. What that does to containers is the test's to say.
    pub(crate) fn reboot(&self) {
        let mut boot = self.clock.boot.lock().unwrap();
        *boot = (boot.0 + 1, self.clock.began.elapsed());
    }

    pub(crate) fn start_agent(&mut self) {
        self.store.fate.revive();
        let database = Database::open(&self.path, &mcp_registry::Options::default()).unwrap();
        self.store.database = Arc::new(Mutex::new(database));
        self.stop = CancellationToken::new();
        let (handle, tasks) = boot(
            &self.fake,
            &self.store,
            &self.scribe,
            &self.clock,
            &self.settings,
            &self.stop,
        );
        self.handle = handle;
        self.tasks = tasks;
    }

    pub(crate) async fn stop_agent(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    /// Stores a request, as the api does, and tells the controller.
    pub(crate) async fn ask(&mut self, request: Request) -> OperationId {
        self.try_ask(request).await.unwrap()
    }

    pub(crate) async fn try_ask(
        &mut self,
        request: Request,
    ) -> Result<OperationId, mcp_registry::AcceptError> {
        self.operations += 1;
        let id: OperationId = format!("op{:04}", self.operations).parse().unwrap();
        let request = OperationRequest {
            id: id.clone(),
            request,
            origin: origin(),
            message: String::new(),
            force: false,
            at: self.clock.now(),
        };
        let accepted: Accepted = self.store.database.lock().unwrap().accept(&request)?;
        self.handle
            .trigger(accepted.keys().cloned().collect(), Trigger::Intent)
            .await;
        Ok(id)
    }

    /// Waits until an operation is settled, and returns it.
    pub(crate) async fn settled(&self, id: &OperationId) -> Operation {
        let mut progress = self.handle.progress();
        loop {
            progress.mark_unchanged();
            let operation = self.operation(id);
            if operation.state.is_settled() {
                return operation;
            }
            progress.changed().await.unwrap();
        }
    }

    pub(crate) fn operation(&self, id: &OperationId) -> Operation {
        let filter = OperationFilter {
            id: Some(id.clone()),
            limit: 1,
            ..OperationFilter::default()
        };
        self.store
            .database
            .lock()
            .unwrap()
            .operations(&filter)
            .unwrap()
            .remove(0)
    }

    pub(crate) async fn deploy(&mut self, service: ServiceSpec) -> Operation {
        let id = self
            .ask(Request::Deploy {
                service,
                only: None,
            })
            .await;
        self.settled(&id).await
    }

    pub(crate) async fn sync(&mut self, services: Vec<ServiceSpec>) {
        let request = SyncRequest {
            services,
            origin: origin(),
            message: String::new(),
            force: false,
            at: self.clock.now(),
        };
        let outcome = self.store.database.lock().unwrap().sync(&request).unwrap();
        self.handle.trigger(outcome.keys, Trigger::Intent).await;
    }

    /// Waits until the view satisfies a condition. Simulated time passes meanwhile, at most a day.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&View) -> bool) {
        let mut view = self.handle.view();
        let waiting = view.wait_for(|view| condition(view));
        let met = tokio::time::timeout(Duration::from_hours(24), waiting)
            .await
            .is_ok();
        assert!(met, "never: {what}; {:#?}", *self.handle.view().borrow());
    }

    pub(crate) async fn until_state(&self, key: &str, state: ObservedState) {
        let parsed: ComponentKey = key.parse().unwrap();
        self.until(&format!("{key} {state}"), |view| {
            view.components
                .get(&parsed)
                .is_some_and(|s| s.observed.state() == state)
        })
        .await;
    }

    /// Waits until so many messages were sent.
    pub(crate) async fn until_told(&self, count: usize) {
        for _ in 0..100_000 {
            if self.scribe.told.lock().unwrap().len() >= count {
                return;
            }
            pass(Duration::from_millis(10)).await;
        }
        panic!("only {:?} were sent", self.told());
    }

    pub(crate) fn told(&self) -> Vec<(AlertEvent, String)> {
        let told = self.scribe.told.lock().unwrap();
        told.iter()
            .map(|alert| (alert.event, format!("{} {}", alert.kind, alert.scope)))
            .collect()
    }

    pub(crate) fn status(&self, key: &str) -> Arc<Status> {
        let key: ComponentKey = key.parse().unwrap();
        self.handle
            .view()
            .borrow()
            .components
            .get(&key)
            .cloned()
            .expect("it has a status")
    }

    pub(crate) fn events(&self) -> Vec<(ObservedState, ObservedState)> {
        let filter = EventFilter {
            limit: 1_000_000,
            ..EventFilter::default()
        };
        let mut events = self.store.database.lock().unwrap().events(&filter).unwrap();
        events.reverse();
        events
            .into_iter()
            .map(|event| (event.prev, event.new))
            .collect()
    }

    /// The kinds of all incidents that are on record, open and closed, oldest first.
    pub(crate) fn incidents(&self) -> Vec<String> {
        let registry = rusqlite::Connection::open(&self.path).unwrap();
        let mut query = registry
            .prepare("SELECT kind FROM incidents ORDER BY seq")
            .unwrap();
        let kinds = query.query_map([], |row| row.get(0)).unwrap();
        kinds.map(Result::unwrap).collect()
    }

    pub(crate) fn writes(&self) -> u64 {
        self.store.database.lock().unwrap().total_changes()
    }
}

fn boot(
    fake: &Fake,
    store: &SimStore,
    scribe: &Scribe,
    clock: &SimClock,
    settings: &Settings,
    stop: &CancellationToken,
) -> (Handle, JoinSet<()>) {
    let ports = Ports {
        runtime: Arc::new(SimRuntime(fake.clone(), store.fate.clone())),
        store: Arc::new(store.clone()),
        alerts: Arc::new(scribe.clone()),
        clock: Arc::new(clock.clone()),
    };
    let (controller, handle) = Controller::new(ports, settings.clone());
    let (sender, mut receiver) = hints::channel(64);
    fake.send_hints_to(sender);
    let (to, ended) = (handle.clone(), stop.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = ended.cancelled() => break,
                hint = receiver.recv() => match hint {
                    Some(Hint::Container(id)) => to.container_hint(id).await,
                    Some(Hint::Changed) => to.change_hint().await,
                    None => break,
                },
            }
        }
    });
    let stop = stop.clone();
    tasks.spawn(async move { controller.run(stop).await });
    (handle, tasks)
}

fn origin() -> Origin {
    Origin {
        caller: "alice".into(),
        peer: "127.0.0.1:1".into(),
        method: "test".into(),
        host: String::new(),
    }
}

/// A service of components `name:image[:restart]`.
pub(crate) fn service(name: &str, components: &[(&str, &str, &str)]) -> ServiceSpec {
    let spec = |(component, version, restart): &(&str, &str, &str)| {
        let image = format!("registry.example/app:{version}").parse().unwrap();
        let mut spec = ComponentSpec::of_image(image);
        spec.restart = Some(restart.parse().unwrap());
        (component.parse().unwrap(), spec)
    };
    ServiceSpec {
        name: name.parse().unwrap(),
        active: true,
        components: components.iter().map(spec).collect(),
    }
}

/// A service of `count` components `c0`, `c1`, ….
pub(crate) fn many(name: &str, count: usize) -> ServiceSpec {
    let names: Vec<String> = (0..count).map(|n| format!("c{n}")).collect();
    let components: Vec<_> = names.iter().map(|c| (c.as_str(), "v1", "no")).collect();
    service(name, &components)
}
