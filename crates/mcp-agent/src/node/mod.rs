//! The composition root: puts one node's parts together and takes them apart again.
//!
//! ```text
//!  Opened (lock, registry)  ──►  start(World)  ──►  Running (tasks)  ──►  stop
//! ```
//!
//! Opening comes first because the runtime must know the agent's instance id, which the registry
//! holds. `main` and the tests go through the same steps and differ in the world only.

mod assemble;
mod callers;
mod families;
mod fronts;
mod running;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mcp_config::agent::AgentConfig;
use mcp_controller::port::Clock;
use mcp_registry::{Options, Registry};
use mcp_runtime::{Children, CoreLimit};
use tracing::{info, warn};

pub use callers::identity_service;
pub use running::Running;
pub use world::{HintFeed, World, podman_args};

use crate::adapters::clock::SystemClock;
use crate::api::Policy;
use crate::failpoints::Failpoints;
use crate::lock::Lock;
use crate::serve::limits::Limits;
use crate::serve::{HeldPort, private_dir};

/// A node whose lock and port are held and whose registry is open.
pub struct Opened {
    parts: Parts,
    port: HeldPort,
    limits: Limits,
}

/// What a node is put together from.
struct Parts {
    config: AgentConfig,
    lock: Lock,
    registry: Registry,
    instance: String,
    policy: Arc<Policy>,
    clock: Arc<dyn Clock>,
    children: Children,
    failpoints: Failpoints,
}

/// How long a process that an agent before this one has left behind may take to end once killed.
const SURVIVORS: Duration = Duration::from_secs(30);

impl Opened {
    /// Takes the lock and the port, then opens the registry: where either is somebody else's,
    /// nothing was touched. What a killed agent has left running is ended and waited for: nothing
    /// that acts for an agent before this one goes on beside it (S15). Nothing is served yet.
    pub async fn open(config: AgentConfig) -> anyhow::Result<Self> {
        let lock = Lock::take_over(&config.database.path).await?;
        let port = HeldPort::hold(config.server.grpc_addr)?;
        let registry = Registry::open(&config.database.path, &Options::default())?;
        let instance = registry
            .instance_id()
            .await
            .context("cannot tell who this agent is")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let interrupted = registry.interrupt_audits(clock.now().wall).await?;
        if interrupted > 0 {
            warn!(
                calls = interrupted,
                "calls were interrupted when the agent last ended"
            );
        }
        info!(node = %config.agent.node_name, instance, "registry is open");
        let failpoints = Failpoints::from_environment();
        let children = end_survivors(&config).await?;
        failpoints.follow(&children);
        let policy = Arc::new(Policy::of(&config));
        let parts = Parts {
            config,
            lock,
            registry,
            instance,
            policy,
            clock,
            children,
            failpoints,
        };
        let limits = Limits::default();
        Ok(Self {
            parts,
            port,
            limits,
        })
    }

    /// The agent's instance id (S3).
    pub fn instance(&self) -> &str {
        &self.parts.instance
    }

    /// With other limits for its front doors.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// With the limit on core files that children are to have: the agent has lowered its own.
    #[must_use]
    pub fn with_core_limit(mut self, limit: CoreLimit) -> Self {
        self.parts.children = self.parts.children.with_core_limit(limit);
        self
    }

    /// The configured runtime as this agent's world.
    pub async fn podman(&self) -> World {
        World::podman(
            &self.parts.config,
            self.parts.instance.clone(),
            self.parts.policy.mounts.clone(),
            self.parts.children.clone(),
        )
        .await
    }

    /// Starts everything in `world`.
    pub async fn start(self, world: World) -> anyhow::Result<Running> {
        assemble::start(self.parts, self.port, world, self.limits).await
    }
}

/// Ends what an agent that was killed has left running (S15).
async fn end_survivors(config: &AgentConfig) -> anyhow::Result<Children> {
    private_dir(&config.agent.run_dir)?;
    let children = Children::open(&config.agent.run_dir.join("children"))?;
    let survivors = children.end_survivors(SURVIVORS).await?;
    if survivors > 0 {
        warn!(
            survivors,
            "ended what an agent that was killed had left running"
        );
    }
    Ok(children)
}
