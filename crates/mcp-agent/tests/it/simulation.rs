//! The controller with the agent's adapters and a real database, under a paused clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mcp_agent::adapters::database::DatabaseStore;
use mcp_agent::adapters::hints::HintGlue;
use mcp_agent::adapters::runtime::RuntimeAdapter;
use mcp_controller::port::{AlertSink, Clock, Failure};
use mcp_controller::{Controller, Handle, Ports, Settings, Trigger};
use mcp_model::spec::Restart;
use mcp_model::{
    Alert, AlertEvent, BootId, ComponentKey, ComponentSpec, Moment, OperationRequest, Origin,
    Request, ServiceSpec, Stamp,
};
use mcp_registry::{Database, OperationFilter};
use mcp_runtime::fake::Fake;
use mcp_runtime::hints::channel;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// When simulations begin.
const BEGIN: i64 = 1_795_163_353_007;

/// Both clocks, as far as tokio's has come.
struct SimulatedClock(Instant);

impl Clock for SimulatedClock {
    fn now(&self) -> Moment {
        Moment {
            wall: Stamp::from_millis(BEGIN).plus(self.0.elapsed()),
            boot: Duration::from_hours(1) + self.0.elapsed(),
            boot_id: BootId(1),
        }
    }
}

struct Told(mpsc::Sender<Alert>);

#[async_trait]
impl AlertSink for Told {
    async fn deliver(&self, alert: &Alert) -> Result<(), Failure> {
        self.0
            .send(alert.clone())
            .await
            .map_err(|_| Failure("nobody listens".to_owned()))
    }
}

/// What outlives an agent.
struct Simulation {
    fake: Fake,
    store: Arc<DatabaseStore>,
    clock: Arc<SimulatedClock>,
    agent: String,
    tell: mpsc::Sender<Alert>,
    told: mpsc::Receiver<Alert>,
}

/// One life of the agent's core.
struct Life {
    handle: Handle,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Life {
    async fn end(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Simulation {
    fn new() -> Self {
        let database = Database::in_memory().unwrap();
        let agent = database.instance_id().unwrap();
        let fake = Fake::new(Stamp::from_millis(BEGIN), &agent);
        fake.add_image(&"localhost/hello:v1".parse().unwrap());
        let (tell, told) = mpsc::channel(64);
        Self {
            fake,
            store: Arc::new(DatabaseStore::new(database)),
            clock: Arc::new(SimulatedClock(Instant::now())),
            agent,
            tell,
            told,
        }
    }

    fn live(&self) -> Life {
        let ports = Ports {
            runtime: Arc::new(RuntimeAdapter(Arc::new(self.fake.clone()))),
            store: self.store.clone(),
            alerts: Arc::new(Told(self.tell.clone())),
            clock: self.clock.clone(),
        };
        let (controller, handle) = Controller::new(ports, Settings::new(self.agent.clone()));
        let (sender, receiver) = channel(64);
        self.fake.send_hints_to(sender);
        let glue = HintGlue::new(receiver, None, handle.clone());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(controller.run(stop.clone()));
        tasks.spawn(glue.run(stop.clone()));
        Life {
            handle,
            stop,
            tasks,
        }
    }

    /// Deploys `hello/web` without a restart policy and waits until the operation is settled.
    async fn deploy(&self, life: &Life) {
        let key: ComponentKey = "hello/web".parse().unwrap();
        let mut spec = ComponentSpec::of_image("localhost/hello:v1".parse().unwrap());
        spec.restart = Some(Restart::No);
        let service = ServiceSpec {
            name: key.service.clone(),
            active: true,
            components: [(key.component.clone(), spec)].into(),
        };
        let request = OperationRequest {
            id: "deploy".parse().unwrap(),
            request: Request::Deploy {
                service,
                only: None,
            },
            origin: Origin {
                caller: "alice".to_owned(),
                peer: String::new(),
                method: "Deploy".to_owned(),
                host: String::new(),
            },
            message: String::new(),
            force: false,
            at: self.clock.now(),
        };
        self.store.database().accept(&request).unwrap();
        life.handle.trigger(vec![key], Trigger::Intent).await;
        let filter = OperationFilter {
            limit: 1,
            ..OperationFilter::default()
        };
        let mut progress = life.handle.progress();
        while !self.store.database().operations(&filter).unwrap()[0]
            .state
            .is_settled()
        {
            progress.changed().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_death_is_told_once_and_its_end_once_though_the_agent_was_restarted_between() {
    let mut simulation = Simulation::new();
    let life = simulation.live();
    simulation.deploy(&life).await;
    assert!(simulation.fake.kill("hello-web", 137));
    let opened = simulation.told.recv().await.unwrap();
    assert_eq!(
        (opened.event, opened.exit_code),
        (AlertEvent::Opened, Some(137))
    );
    assert_eq!(opened.scope.to_string(), "hello/web");
    life.end().await;

    let life = simulation.live();
    // Many resyncs, and longer than any cooldown.
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert!(simulation.told.try_recv().is_err(), "it had been told");
    assert!(simulation.fake.start_by_hand("hello-web"));
    let closed = simulation.told.recv().await.unwrap();
    assert_eq!(
        (closed.event, &closed.incident),
        (AlertEvent::Closed, &opened.incident)
    );
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert!(simulation.told.try_recv().is_err());
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_at_rest_writes_nothing_and_changes_no_container() {
    let simulation = Simulation::new();
    let life = simulation.live();
    simulation.deploy(&life).await;
    life.handle.look().await.unwrap();
    let written = simulation.store.database().total_changes();
    simulation.fake.forget_calls();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(simulation.fake.calls().len() >= 50, "it was looked at");
    assert_eq!(simulation.fake.mutations(), []);
    assert_eq!(simulation.store.database().total_changes(), written);
    life.end().await;
}
