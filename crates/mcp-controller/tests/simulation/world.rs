//! The world of a simulation: a whole controller, and what a test does to it and sees of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_controller::port::Clock as _;
use mcp_controller::{Controller, Handle, Ports, Settings, Status, Trigger, View};
use mcp_model::{
    AlertEvent, ComponentKey, ComponentSpec, ObservedState, Operation, OperationId,
    OperationRequest, Origin, Request, ServiceSpec,
};
use mcp_registry::{Accepted, Database, EventFilter, OperationFilter, SyncRequest};
use mcp_runtime::fake::Fake;
use mcp_runtime::hints::{self, Hint};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fate::Fate;
use crate::ports::{Scribe, SimClock, SimRuntime, SimStore};

const AGENT: &str = "sim-agent";

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
        let clock = SimClock::new();
        let fake = Fake::new(clock.now().wall, AGENT);
        for image in ["registry.example/app:v1", "registry.example/app:v2"] {
            fake.add_image(&image.parse().unwrap());
        }
        let database = Database::open(&path, &mcp_registry::Options::default()).unwrap();
        let store = SimStore::new(database, Fate::of(&fake));
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
        self.clock.reboot();
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

    /// Waits until an operation is settled, and returns it. Simulated time passes meanwhile, at most
    /// two days.
    pub(crate) async fn settled(&self, id: &OperationId) -> Operation {
        let mut progress = self.handle.progress();
        let settled = async {
            loop {
                progress.mark_unchanged();
                let operation = self.operation(id);
                if operation.state.is_settled() {
                    return operation;
                }
                progress.changed().await.unwrap();
            }
        };
        let settled = tokio::time::timeout(Duration::from_hours(48), settled).await;
        settled.unwrap_or_else(|_| panic!("never settled: {:?}", self.operation(id)))
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
