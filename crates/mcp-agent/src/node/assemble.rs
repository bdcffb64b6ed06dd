//! Puts the parts together.

use std::sync::Arc;

use mcp_config::agent::AgentConfig;
use mcp_controller::{Controller, Handle, Ports, Settings};
use mcp_plan::auto::Allowance;
use mcp_proto::v1::mcp_agent_service_server::McpAgentServiceServer;
use mcp_runtime::hints::{HintHandles, ProcessWatch};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use super::families::Families;
use super::fronts::{Fronts, own};
use super::running::{Running, Stops, Task};
use super::{Parts, World, callers};
use crate::adapters::alert::AlertCommand;
use crate::adapters::hints::{HintGlue, SourceAges};
use crate::adapters::runtime::RuntimeAdapter;
use crate::adapters::store::RegistryStore;
use crate::api::Api;
use crate::gate::{Door, Gate, Refusals};
use crate::serve::limits::Limits;
use crate::serve::{HeldPort, UnixFront};
use crate::watch::{self, Journal};

pub(super) async fn start(
    opened: Parts,
    port: HeldPort,
    world: World,
    limits: Limits,
) -> anyhow::Result<Running> {
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
    let (journal, writer) = Journal::new(watch::Limits::default());
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

    let refusals = Arc::new(Refusals::new(&limits));
    // With the core, which ends after the front doors: by then every refusal has been counted.
    let telling = Arc::clone(&refusals).tell_what_was_left_out(stops.core.clone());
    own(&mut core, "refusals' way to the log", telling);
    let name = &opened.config.agent.node_name;
    let network = Gate::new(
        name,
        Door::Network(verifier),
        Arc::clone(&refusals),
        limits.clone(),
    );
    let uid = rustix::process::geteuid().as_raw();
    let node = Gate::new(name, Door::Node { uid }, refusals, limits.clone());

    let fronts = Fronts {
        tcp,
        tls,
        network,
        shared,
        unix,
        node,
        local: families.local(),
        limits,
    }
    .open(&stops);

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
        ..Settings::new(instance)
    }
}
