//! A running node and its end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use mcp_controller::Handle;
use mcp_proto::v1::mcp_agent_service_server::McpAgentServiceServer;
use mcp_registry::Registry;
use mcp_runtime::Children;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::server::NamedService as _;
use tracing::{info, warn};

use crate::api::Api;
use crate::lock::Lock;

/// How long calls that are under way, and the operations they wait for, may take to end.
const DRAIN: Duration = Duration::from_secs(30);
/// How long answers may take once waiting was ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long the controller may take to reach a safe point.
const SETTLE: Duration = Duration::from_secs(30);

/// One of a node's tasks: its name, and what it came to.
pub(super) type Task = (&'static str, anyhow::Result<()>);

/// A node that serves.
pub struct Running {
    pub(super) address: SocketAddr,
    pub(super) controller: Handle,
    /// Listeners, handshakes and connections.
    pub(super) fronts: JoinSet<Task>,
    /// The controller and what feeds it.
    pub(super) core: JoinSet<Task>,
    /// Calls that are being accepted.
    pub(super) accepting: TaskTracker,
    pub(super) stops: Stops,
    pub(super) health: tonic_health::server::HealthReporter,
    pub(super) registry: Registry,
    /// Holds the folder of children against other agents.
    pub(super) _children: Children,
    pub(super) lock: Lock,
}

/// What ends what, in the order of cancelling.
#[derive(Debug, Clone, Default)]
pub(super) struct Stops {
    /// No new connections and calls.
    pub(super) closing: CancellationToken,
    /// No more waiting for operations.
    pub(super) ending: CancellationToken,
    /// No new reconciliations.
    pub(super) core: CancellationToken,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The handle on its controller.
    pub fn controller(&self) -> &Handle {
        &self.controller
    }

    /// Its registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Resolves when a part of it ended that should not have, with the reason.
    pub async fn broken(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            Some(ended) = self.fronts.join_next() => ended,
            Some(ended) = self.core.join_next() => ended,
            else => return anyhow!("no part of the agent runs any more"),
        };
        match outcome(ended) {
            Err(error) => error,
            Ok(name) => anyhow!("the {name} ended by itself"),
        }
    }

    /// Ends it: no new calls, calls and operations under way get 30 s, the controller comes
    /// to a safe point, every task is joined, the registry is closed. Containers go on.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        info!("stopping");
        let until = Instant::now() + DRAIN;
        // Ends the streams of those who watch it; they would hold up the end of the server.
        for service in ["", McpAgentServiceServer::<Api>::NAME] {
            self.health.clear_service_status(service).await;
        }
        self.stops.closing.cancel();
        self.accepting.close();
        if timeout_at(until, join(&mut self.fronts)).await.is_err() {
            warn!("calls are still waiting; they are answered now, their operations go on later");
            self.stops.ending.cancel();
            let until = Instant::now() + LAST_WORDS;
            let _ = timeout_at(until, join(&mut self.fronts)).await;
        }
        self.fronts.shutdown().await;
        self.accepting.wait().await;
        self.stops.core.cancel();
        let until = Instant::now() + SETTLE;
        if timeout_at(until, join(&mut self.core)).await.is_err() {
            warn!("the controller did not come to a safe point; operations are resumed by looking");
        }
        self.core.shutdown().await;
        self.registry
            .close()
            .await
            .context("cannot close the registry")?;
        // Last: whoever gets the lock next finds everything closed.
        drop(self.lock);
        info!("stopped");
        Ok(())
    }
}

fn outcome(ended: Result<Task, JoinError>) -> anyhow::Result<&'static str> {
    let (name, result) = ended.context("a part of the agent panicked")?;
    result.with_context(|| format!("the {name} failed"))?;
    Ok(name)
}

async fn join(tasks: &mut JoinSet<Task>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = outcome(ended) {
            warn!(error = %format!("{error:#}"), "while stopping");
        }
    }
}
