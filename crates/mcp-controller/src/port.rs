//! What the controller needs from the world. The agent's adapters implement these traits over the
//! registry, the runtime and the alert command; the simulation implements them over doubles and a
//! paused clock.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use mcp_model::{
    Alert, BootId, ComponentKey, ComponentSpec, Container, ContainerId, Expiry, ImageRef,
    IncidentChange, KeyState, Moment, NodeState, ObservationChange, OperationId, StandingRequest,
    StepOutcome, StepUpdate,
};

/// A call that failed, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    /// A call that panics has failed, and is tried again like any that failed: the task that made it
    /// goes on.
    pub(crate) async fn or_panic<T>(
        call: impl Future<Output = Result<T, Self>>,
    ) -> Result<T, Self> {
        let outcome = AssertUnwindSafe(call).catch_unwind().await;
        outcome.unwrap_or_else(|_| Err(Self("it panicked".to_owned())))
    }
}

/// Why a call to the runtime did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeFailure {
    /// The name is taken by a container that is not the one that was meant, or by a phantom.
    #[error("{0}")]
    NameTaken(String),
    /// The object that was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// The call reached its deadline. Nothing is known of its effect: look again.
    #[error("{0}")]
    TimedOut(String),
    /// Anything else, with the runtime's own words.
    #[error("{0}")]
    Other(String),
}

/// A complete look at the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Every container, running or not.
    pub containers: Vec<Container>,
}

/// What a container is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRequest {
    /// The component that it will belong to.
    pub key: ComponentKey,
    /// What it should be.
    pub spec: ComponentSpec,
    /// For its `mcp.revision` label.
    pub revision: u64,
    /// For its `mcp.operation` label.
    pub operation: OperationId,
    /// Clear a phantom that holds the name (S4). Never set for a name that a real container holds.
    pub replace_phantom: bool,
}

/// The container runtime. Every call has a deadline of its own.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Lists every container in one call.
    async fn list(&self) -> Result<Listing, RuntimeFailure>;
    /// Looks at one container. `None` only where its absence was confirmed.
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, RuntimeFailure>;
    /// Looks up who holds a name. `None` only where nobody does, phantoms aside.
    async fn inspect_name(&self, name: &str) -> Result<Option<Container>, RuntimeFailure>;
    /// Whether a phantom (a container that a killed create left behind) holds the name.
    async fn is_phantom(&self, name: &str) -> Result<bool, RuntimeFailure>;
    /// Fetches an image. Returns at once for an image that is local by definition.
    async fn pull(&self, image: &ImageRef, limit: Duration) -> Result<(), RuntimeFailure>;
    /// Makes and starts a container.
    async fn run(&self, request: &RunRequest) -> Result<ContainerId, RuntimeFailure>;
    /// Starts a container that is there.
    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeFailure>;
    /// Stops a container: SIGTERM, then SIGKILL after `grace`.
    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeFailure>;
    /// Removes a container, by id.
    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeFailure>;
    /// Gives a container another name.
    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), RuntimeFailure>;
    /// The last lines that a container wrote, oldest first, raw.
    async fn last_lines(&self, id: &ContainerId, lines: u32)
    -> Result<Vec<String>, RuntimeFailure>;
}

/// The registry, as far as the controller uses it.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Every key that has a record or an open step.
    async fn keys(&self) -> Result<Vec<ComponentKey>, Failure>;
    /// Everything stored about one key.
    async fn load(&self, key: &ComponentKey) -> Result<KeyState, Failure>;
    /// Stores what was observed, in one transaction.
    async fn observe(&self, change: ObservationChange) -> Result<(), Failure>;
    /// Stores changes of incidents and the messages that they make necessary.
    async fn incidents(&self, changes: Vec<IncidentChange>) -> Result<(), Failure>;
    /// Everything stored about the node as a whole.
    async fn node(&self) -> Result<NodeState, Failure>;
    /// Stores that the beginning of a boot was dealt with, together with what came of it.
    async fn booted(&self, boot: BootId, changes: Vec<IncidentChange>) -> Result<(), Failure>;
    /// Counts the transitions of a key within `window` before `now` that count for flapping.
    async fn transitions(
        &self,
        key: &ComponentKey,
        now: Moment,
        window: Duration,
    ) -> Result<u32, Failure>;
    /// Accepts an operation of the agent's own, under the standing permission (S35). False where
    /// intent is no longer the one that it was decided on, or another operation is open.
    async fn accept_standing(&self, request: StandingRequest) -> Result<bool, Failure>;
    /// When the agent itself last acted on a key, newest first, since intent changed to this
    /// generation and since an operator's last operation on it.
    async fn standing_attempts(
        &self,
        key: &ComponentKey,
        generation: u64,
        most: u32,
    ) -> Result<Vec<Moment>, Failure>;
    /// Stores that a step is about to do something. The first call begins the step.
    async fn step(&self, update: StepUpdate) -> Result<(), Failure>;
    /// Stores that a step ended; settles its operation with its last step.
    async fn settle(&self, outcome: StepOutcome) -> Result<(), Failure>;
    /// Ends the steps that were to begin by `now` and have not (S13).
    async fn expire(&self, now: Moment) -> Result<Expiry, Failure>;
    /// Messages that are stored and not known to be delivered: the oldest of each incident, oldest
    /// first.
    async fn undelivered(&self, most: u32) -> Result<Vec<(i64, Alert)>, Failure>;
    /// Stores what became of a message.
    async fn delivered(&self, id: i64, outcome: String) -> Result<(), Failure>;
    /// Removes events older than `retention` before `now`.
    async fn prune(&self, now: Moment, retention: Duration) -> Result<(), Failure>;
}

/// Tells somebody.
#[async_trait]
pub trait AlertSink: Send + Sync + 'static {
    /// Delivers one message within the sink's own deadline; says what became of it.
    async fn deliver(&self, alert: &Alert) -> Result<(), Failure>;
}

/// The time, on both clocks.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Moment;
}
