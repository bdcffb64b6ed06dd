//! A container runtime as the controller's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mcp_controller::port::{Listing, RunRequest, Runtime, RuntimeFailure};
use mcp_model::{Container, ContainerId, ImageRef};
use mcp_runtime::{ContainerRuntime, RuntimeError};

/// Any [`ContainerRuntime`] behind the controller's port.
#[derive(Clone)]
pub struct RuntimeAdapter(pub Arc<dyn ContainerRuntime>);

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn failure(error: RuntimeError) -> RuntimeFailure {
    let words = error.in_words();
    match error {
        RuntimeError::NameTaken { .. } => RuntimeFailure::NameTaken(words),
        RuntimeError::NotFound { .. } => RuntimeFailure::NotFound(words),
        RuntimeError::TimedOut { .. } => RuntimeFailure::TimedOut(words),
        _ => RuntimeFailure::Other(words),
    }
}

#[async_trait]
impl Runtime for RuntimeAdapter {
    async fn list(&self) -> Result<Listing, RuntimeFailure> {
        let listing = self.0.list().await.map_err(failure)?;
        Ok(Listing {
            containers: listing.containers,
        })
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, RuntimeFailure> {
        self.0.inspect(id).await.map_err(failure)
    }

    async fn inspect_name(&self, name: &str) -> Result<Option<Container>, RuntimeFailure> {
        self.0.inspect_name(name).await.map_err(failure)
    }

    async fn is_phantom(&self, name: &str) -> Result<bool, RuntimeFailure> {
        self.0.is_phantom(name).await.map_err(failure)
    }

    async fn pull(&self, image: &ImageRef, limit: Duration) -> Result<(), RuntimeFailure> {
        self.0.pull(image, limit).await.map_err(failure)
    }

    async fn run(&self, request: &RunRequest) -> Result<ContainerId, RuntimeFailure> {
        let request = mcp_runtime::RunRequest {
            key: request.key.clone(),
            spec: request.spec.clone(),
            revision: request.revision,
            operation: request.operation.clone(),
            replace_phantom: request.replace_phantom,
        };
        self.0.run(&request).await.map_err(failure)
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeFailure> {
        self.0.start(id).await.map_err(failure)
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeFailure> {
        self.0.stop(id, grace).await.map_err(failure)
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeFailure> {
        self.0.remove(id).await.map_err(failure)
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), RuntimeFailure> {
        self.0.rename(id, name).await.map_err(failure)
    }

    async fn last_lines(
        &self,
        id: &ContainerId,
        lines: u32,
    ) -> Result<Vec<String>, RuntimeFailure> {
        self.0.last_lines(id, lines).await.map_err(failure)
    }
}
