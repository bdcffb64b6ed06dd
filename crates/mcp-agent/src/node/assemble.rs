//! Puts the parts together.

use std::sync::Arc;

use mcp_config::agent::AgentConfig;
use mcp_controller::{Controller, Handle, Ports, Settings};
use mcp_plan::auto::Allowance;
use mcp_proto::v1::mcp_agent_service_server::McpAgentServiceServer;
use mcp_runtime::hints::{HintHandles, ProcessWatch};
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
use crate::watch::{Journal, Limits};

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
    let (processes, sources) = sources(hints.handles, &handle, &opened);
    let (journal, writer) = Journal::new(Limits::default());
    let families = Families {
        opened: &opened,
        handle: &handle,
        podman,
        sources: Arc::new(sources),
        journal,
        accepting: &accepting,
        stops: &stops,
    };
    let reporter = HealthReporter::new();
    let shared = families.routes(&reporter)?;

    let mut core: JoinSet<Task> = JoinSet::new();
    own(&mut core, "controller", controller.run(stops.core.clone()));
    let writing = writer.run(opened.registry.clone(), handle.clone(), stops.core.clone());
    own(&mut core, "journal", writing);
    let glue = HintGlue::new(hints.receiver, processes, handle.clone());
    own(
        &mut core,
        "hints' way to the controller",
        glue.run(stops.core.clone()),
    );
    if let Some(sources) = hints.sources {
        own(&mut core, "hint sources", sources.run(stops.core.clone()));
    }

    let refusals = Arc::new(Refusals::default());
    let network = Gate::new(Door::Network(verifier), Arc::clone(&refusals));
    let uid = rustix::process::geteuid().as_raw();
    let node = Gate::new(Door::Node { uid }, refusals);
    let local = families.local();

    let mut fronts: JoinSet<Task> = JoinSet::new();
    let (ready, connections) = mpsc::channel(READY);
    let accepts = tcp.accept(tls, ready, stops.closing.clone());
    own(&mut fronts, "listener", accepts);
    spawn_server(
        &mut fronts,
        "server",
        shared.clone(),
        network,
        connections,
        &stops,
    );
    let (ready, connections) = mpsc::channel(READY);
    let accepts = unix.accept(ready, stops.closing.clone());
    own(&mut fronts, "socket's listener", accepts);
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

/// What watches processes, and what tells how every source of hints fares.
fn sources(
    handles: Option<HintHandles>,
    handle: &Handle,
    opened: &Parts,
) -> (Option<ProcessWatch>, SourceAges) {
    let (processes, health) = handles
        .map(|handles| (handles.processes, handles.health))
        .unzip();
    let sources = SourceAges {
        hints: health,
        view: handle.view(),
        clock: Arc::clone(&opened.clock),
    };
    (processes, sources)
}

fn own(
    tasks: &mut JoinSet<Task>,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) {
    tasks.spawn(async move {
        work.await;
        (name, Ok(()))
    });
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
    let (monitor, reconcile) = (&config.monitor, &config.reconcile);
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
        auto: reconcile.auto.then_some(Allowance {
            initial: reconcile.initial,
            max: reconcile.max,
            budget: reconcile.budget,
            window: reconcile.window,
        }),
    }
}
