//! A thousand components on the runtime in memory, with a real registry file.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use mcp_agent::adapters::clock::SystemClock;
use mcp_agent::adapters::runtime::RuntimeAdapter;
use mcp_agent::adapters::store::RegistryStore;
use mcp_config::agent::AgentConfig;
use mcp_controller::port::{AlertSink, Clock as _, Failure, Store};
use mcp_controller::{Controller, Handle, Ports, Settings, Trigger, View};
use mcp_identity::issue::{CertPaths, SanName, Validity, issue_ca_and_cert};
use mcp_model::{
    Alert, BootId, ComponentKey, ComponentSpec, Expiry, ImageRef, IncidentChange, KeyState, Moment,
    NodeState, ObservationChange, ObservedState, OperationRequest, Origin, Request, ServiceSpec,
    StandingRequest, StepOutcome, StepUpdate,
};
use mcp_registry::{Options, Registry};
use mcp_runtime::fake::Fake;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Components in all.
pub(crate) const COMPONENTS: usize = 1_000;
const SERVICES: usize = 100;
const IMAGE: &str = "localhost/hello:v1";

/// What a node is made from.
pub(crate) struct Node {
    pub(crate) config: AgentConfig,
    /// The certificate of the authority, PEM.
    pub(crate) authority: String,
    _dir: TempDir,
}

impl Node {
    /// Settings, certificates and folders of a node.
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::tempdir().context("cannot make a folder")?;
        let paths = CertPaths::within(dir.path());
        let names: [SanName; 1] = ["127.0.0.1".parse()?];
        let name = "large".parse()?;
        let now = SystemClock::new().now().wall;
        let pems = issue_ca_and_cert(&name, &names, Validity::default(), now)?;
        pems.write(&paths)?;
        let database = dir.path().join("mcp.db");
        let mut config = AgentConfig::new(
            name,
            "127.0.0.1:0".parse()?,
            paths.cert,
            paths.key,
            database,
        );
        config.agent.run_dir = dir.path().join("run");
        config.agent.service_root = dir.path().join("srv");
        config.agent.volume_prefixes = vec![dir.path().join("srv")];
        // What is measured is caused by the measurement.
        config.monitor.interval = Duration::from_hours(1);
        std::fs::create_dir(dir.path().join("srv")).context("cannot make the service root")?;
        Ok(Self {
            config,
            authority: pems.ca_cert,
            _dir: dir,
        })
    }
}

/// A controller over the runtime in memory and a registry, without an agent around it.
pub(crate) struct Core {
    pub(crate) handle: Handle,
    pub(crate) fake: Fake,
    pub(crate) store: Arc<Counting>,
    registry: Registry,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Core {
    /// Opens the registry of a node and runs a controller over it.
    pub(crate) async fn start(config: &AgentConfig) -> Result<Self> {
        let registry = Registry::open(&config.database.path, &Options::default())?;
        let instance = registry.instance_id().await?;
        let clock = SystemClock::new();
        let fake = Fake::new(clock.now().wall, &instance);
        fake.add_image(&IMAGE.parse()?);
        let store = Arc::new(Counting {
            inner: RegistryStore(registry.clone()),
            loads: AtomicUsize::new(0),
        });
        let ports = Ports {
            runtime: Arc::new(RuntimeAdapter(Arc::new(fake.clone()))),
            store: store.clone(),
            alerts: Arc::new(Nobody),
            clock: Arc::new(clock),
        };
        let settings = Settings {
            interval: config.monitor.interval,
            ..Settings::new(instance)
        };
        let (controller, handle) = Controller::new(ports, settings);
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(controller.run(stop.clone()));
        Ok(Self {
            handle,
            fake,
            store,
            registry,
            tasks,
            stop,
        })
    }

    /// Deploys every component and waits until all of them run.
    pub(crate) async fn deploy(&self) -> Result<()> {
        for n in 0..SERVICES {
            let request = OperationRequest {
                id: format!("bench{n:03}").parse()?,
                request: Request::Deploy {
                    service: service(n)?,
                    only: None,
                },
                origin: Origin {
                    caller: "bench".to_owned(),
                    peer: "bench".to_owned(),
                    method: "bench".to_owned(),
                    host: String::new(),
                },
                message: String::new(),
                force: false,
                at: SystemClock::new().now(),
            };
            let accepted = self.registry.accept(request).await?;
            let keys = accepted.keys().cloned().collect();
            self.handle.trigger(keys, Trigger::Intent).await;
        }
        self.handle.view().wait_for(|view| all_run(view)).await?;
        Ok(())
    }

    /// Ends the controller and closes the registry.
    pub(crate) async fn stop(mut self) -> Result<Fake> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        self.registry.close().await?;
        Ok(self.fake)
    }
}

/// Whether every component is seen running, with nothing left to do.
pub(crate) fn all_run(view: &View) -> bool {
    view.components.len() == COMPONENTS
        && view.components.values().all(|status| {
            status.observed.state() == ObservedState::Running
                && status.operation.is_none()
                && status.drift.is_empty()
        })
}

fn service(n: usize) -> Result<ServiceSpec> {
    let image: ImageRef = IMAGE.parse()?;
    let component = |c: usize| -> Result<_> {
        Ok((
            format!("c{c}").parse()?,
            ComponentSpec::of_image(image.clone()),
        ))
    };
    Ok(ServiceSpec {
        name: format!("s{n:03}").parse()?,
        active: true,
        components: (0..COMPONENTS / SERVICES)
            .map(component)
            .collect::<Result<_>>()?,
    })
}

/// Nobody is told anything.
struct Nobody;

#[async_trait]
impl AlertSink for Nobody {
    async fn deliver(&self, _: &Alert) -> Result<(), Failure> {
        Ok(())
    }
}

/// The registry, and how many keys were reconciled: each run of a key begins by loading it.
pub(crate) struct Counting {
    inner: RegistryStore,
    loads: AtomicUsize,
}

impl Counting {
    /// Keys that were loaded since it was asked last.
    pub(crate) fn take(&self) -> usize {
        self.loads.swap(0, Ordering::Relaxed)
    }

    /// Keys that were loaded since [`Self::take`].
    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Store for Counting {
    async fn keys(&self) -> Result<Vec<ComponentKey>, Failure> {
        self.inner.keys().await
    }

    async fn load(&self, key: &ComponentKey) -> Result<KeyState, Failure> {
        let state = self.inner.load(key).await;
        self.loads.fetch_add(1, Ordering::Relaxed);
        state
    }

    async fn observe(&self, change: ObservationChange) -> Result<(), Failure> {
        self.inner.observe(change).await
    }

    async fn incidents(&self, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        self.inner.incidents(changes).await
    }

    async fn node(&self) -> Result<NodeState, Failure> {
        self.inner.node().await
    }

    async fn booted(&self, boot: BootId, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        self.inner.booted(boot, changes).await
    }

    async fn transitions(
        &self,
        key: &ComponentKey,
        now: Moment,
        window: Duration,
    ) -> Result<u32, Failure> {
        self.inner.transitions(key, now, window).await
    }

    async fn accept_standing(&self, request: StandingRequest) -> Result<bool, Failure> {
        self.inner.accept_standing(request).await
    }

    async fn standing_attempts(
        &self,
        key: &ComponentKey,
        generation: u64,
        most: u32,
    ) -> Result<Vec<Moment>, Failure> {
        self.inner.standing_attempts(key, generation, most).await
    }

    async fn step(&self, update: StepUpdate) -> Result<(), Failure> {
        self.inner.step(update).await
    }

    async fn settle(&self, outcome: StepOutcome) -> Result<(), Failure> {
        self.inner.settle(outcome).await
    }

    async fn expire(&self, now: Moment) -> Result<Expiry, Failure> {
        self.inner.expire(now).await
    }

    async fn undelivered(&self, most: u32) -> Result<Vec<(i64, Alert)>, Failure> {
        self.inner.undelivered(most).await
    }

    async fn delivered(&self, id: i64, outcome: String) -> Result<(), Failure> {
        self.inner.delivered(id, outcome).await
    }

    async fn prune(&self, now: Moment, retention: Duration) -> Result<(), Failure> {
        self.inner.prune(now, retention).await
    }
}
