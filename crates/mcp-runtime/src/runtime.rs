//! What MCP asks of a container runtime: the trait that podman and the fake implement.

use std::time::Duration;

use async_trait::async_trait;
use mcp_model::{ComponentKey, ComponentSpec, Container, ContainerId, ImageRef, OperationId};

use crate::error::RuntimeError;

/// A complete look at the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// Clear a phantom that holds the name (S4). Only for a name that [`ContainerRuntime::is_phantom`]
    /// has just confirmed: on a real container it would be a removal.
    pub replace_phantom: bool,
}

/// A container runtime. Every call has a deadline of its own, and nothing is known of the effect
/// of a call that reached it.
#[async_trait]
pub trait ContainerRuntime: Send + Sync + 'static {
    /// The runtime's version, as it says it.
    async fn version(&self) -> Result<String, RuntimeError>;
    /// Lists every container in one call. A listing that cannot be read whole is an error (S25).
    async fn list(&self) -> Result<Listing, RuntimeError>;
    /// Looks at one container. `None` only where its absence was confirmed (S25).
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, RuntimeError>;
    /// Looks up who holds a name. `None` only where nobody does, phantoms aside.
    async fn inspect_name(&self, name: &str) -> Result<Option<Container>, RuntimeError>;
    /// Whether a phantom holds the name: what a killed create leaves in the storage, seen by no
    /// listing.
    async fn is_phantom(&self, name: &str) -> Result<bool, RuntimeError>;
    /// Fetches an image within `limit`. Returns at once for an image that is local by definition.
    async fn pull(&self, image: &ImageRef, limit: Duration) -> Result<(), RuntimeError>;
    /// Makes and starts a container. A container that was made and could not be started stays,
    /// under its name and labels, and is found by the next look.
    async fn run(&self, request: &RunRequest) -> Result<ContainerId, RuntimeError>;
    /// Starts a container that is there. One that runs already is left alone.
    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError>;
    /// Stops a container: SIGTERM, then SIGKILL after `grace`, which is rounded up to seconds.
    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError>;
    /// Removes a container that does not run, by id.
    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;
    /// Gives a container another name.
    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), RuntimeError>;
    /// The last lines that a container wrote on either stream, oldest first, raw.
    async fn last_lines(&self, id: &ContainerId, lines: u32) -> Result<Vec<String>, RuntimeError>;
}
