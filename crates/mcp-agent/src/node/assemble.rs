//! Puts the parts together.

use std::sync::Arc;

use mcp_config::agent::AgentConfig;
use mcp_controller::{Controller, Ports, Settings};
use mcp_proto::v1::mcp_agent_service_server::McpAgentServiceServer;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use super::families::Families;
use super::running::{Running, Stops, Task};
use super::{Parts, World, callers};
use crate::adapters::alert::AlertCommand;
use crate::adapters::hints::{HintGlue, SourceAges};
use crate::adapters::runtime::RuntimeAdapter;
use crate::adapters::store::RegistryStore;
use crate::api::Api;
use crate::gate::{Door, Gate, Refusals};
use crate::serve::{Connection, HeldPort, UnixFront, serve};

/// Finished handshakes that wait to be served.
const READY: usize = 32;

pub(super) async fn start(opened: Parts, port: HeldPort, world: World) -> anyhow::Result<Running> {
    let tls = mcp_identity::server_config(
        &opened.config.server.tls_cert,
        &opened.config.server.tls_key,
    )?;
    warn_of_certificate(&opened);
    let verifier = callers::verifier(&opened.config, &opened.registry, &opened.clock)?;
    let unix = UnixFront::bind(&opened.config.agent.run_dir)?;
    // Last: whoever gets through here finds the socket there too.
    let tcp = port.listen()?;
    let address = tcp.address();

    let World {
        runtime,
        podman,
        hints,
    } = world;
    let (controller, handle) = Controller::new(
        opened.failpoints.around(Ports {
            runtime: Arc::new(RuntimeAdapter(runtime)),
            store: Arc::new(RegistryStore(opened.registry.clone())),
            alerts: Arc::new(alerts(&opened.config)),
            clock: Arc::clone(&opened.clock),
        }),
        settings(&opened.config, &opened.instance),
    );
    let stops = Stops::default();
    let accepting = TaskTracker::new();
    let (processes, health) = hints
        .handles
        .map(|handles| (handles.processes, handles.health))
        .unzip();
    let sources = SourceAges {
        hints: health,
        view: handle.view(),
        clock: Arc::clone(&opened.clock),
    };
    let families = Families {
        opened: &opened,
        handle: &handle,
        podman,
        sources: Arc::new(sources),
        accepting: &accepting,
        stops: &stops,
    };
    let reporter = HealthReporter::new();
    let shared = families.routes(&reporter)?;

    let mut core: JoinSet<Task> = JoinSet::new();
    let stop = stops.core.clone();
    core.spawn(async move { ("controller", controller.run(stop).await).ok() });
    let glue = HintGlue::new(hints.receiver, processes, handle.clone());
    let stop = stops.core.clone();
    core.spawn(async move { ("hints' way to the controller", glue.run(stop).await).ok() });
    if let Some(sources) = hints.sources {
        let stop = stops.core.clone();
        core.spawn(async move { ("hint sources", sources.run(stop).await).ok() });
    }

    let refusals = Arc::new(Refusals::default());
    let network = Gate::new(Door::Network(verifier), Arc::clone(&refusals));
    let uid = rustix::process::geteuid().as_raw();
    let node = Gate::new(Door::Node { uid }, refusals);
    let local = families.local();

    let mut fronts: JoinSet<Task> = JoinSet::new();
    let (ready, connections) = mpsc::channel(READY);
    let stop = stops.closing.clone();
    fronts.spawn(async move { ("listener", tcp.accept(tls, ready, stop).await).ok() });
    spawn_server(
        &mut fronts,
        "server",
        shared.clone(),
        network,
        connections,
        &stops,
    );
    let (ready, connections) = mpsc::channel(READY);
    let stop = stops.closing.clone();
    fronts.spawn(async move { ("socket's listener", unix.accept(ready, stop).await).ok() });
    spawn_server(
        &mut fronts,
        "socket's server",
        shared.add_service(local),
        node,
        connections,
        &stops,
    );

    reporter.set_serving::<McpAgentServiceServer<Api>>().await;
    info!(%address, socket = %opened.config.agent.run_dir.display(), "serving");
    Ok(Running {
        address,
        controller: handle,
        fronts,
        core,
        accepting,
        stops,
        health: reporter,
        registry: opened.registry,
        _children: opened.children,
        lock: opened.lock,
    })
}

/// An expired certificate does not keep the node's own socket from being served, but no
/// workstation will believe it.
fn warn_of_certificate(opened: &Parts) {
    let now = opened.clock.now().wall;
    if let Err(problem) = mcp_identity::check_certificate(&opened.config.server.tls_cert, now) {
        warn!(problem = %crate::api::chain(&problem), "the certificate cannot be believed");
    }
}

/// Names what a task came to.
trait Named {
    fn ok(self) -> Task;
}

impl Named for (&'static str, ()) {
    fn ok(self) -> Task {
        (self.0, Ok(()))
    }
}

fn spawn_server<S>(
    tasks: &mut JoinSet<Task>,
    name: &'static str,
    routes: Routes,
    gate: Gate,
    connections: mpsc::Receiver<Connection<S>>,
    stops: &Stops,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let closing = stops.closing.clone();
    tasks.spawn(async move {
        let served = serve(routes, gate, connections, closing.cancelled_owned()).await;
        (name, served.map_err(Into::into))
    });
}

fn alerts(config: &AgentConfig) -> AlertCommand {
    AlertCommand::new(
        config.monitor.alert_command.clone(),
        config.monitor.alert_env.clone(),
        config.agent.node_name.clone(),
    )
}

fn settings(config: &AgentConfig, instance: &str) -> Settings {
    let monitor = &config.monitor;
    Settings {
        agent: instance.to_owned(),
        interval: monitor.interval,
        settle: monitor.settle,
        settle_intent: monitor.settle_intent,
        cooldown: monitor.cooldown,
        flap_threshold: monitor.flap_threshold,
        flap_window: monitor.flap_window,
        notify_close: monitor.notify_close,
        retention: monitor.retention,
    }
}
