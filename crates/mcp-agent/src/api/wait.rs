//! Waiting for an operation (S18). The caller's deadline or departure ends the waiting, never the
//! operation.

use mcp_controller::Handle;
use mcp_model::{ComponentKey, Operation, OperationId};
use mcp_registry::{OperationFilter, Registry};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::answer;
use crate::gate::Deadline;

/// What waiting needs.
#[derive(Clone)]
pub(super) struct Waiting {
    pub(super) registry: Registry,
    pub(super) controller: Handle,
    /// The agent is about to end and operations will go on without it.
    pub(super) ending: CancellationToken,
}

/// Why nobody waits any longer.
enum Interrupted {
    Deadline,
    Ending,
}

impl Waiting {
    /// Resolves with the operation once it is settled.
    pub(super) async fn settled(
        &self,
        id: &OperationId,
        deadline: Option<Deadline>,
    ) -> Result<Operation, Status> {
        let mut progress = self.controller.progress();
        loop {
            // Marked as seen before the look: what is stored in between wakes us again.
            progress.borrow_and_update();
            let operation = self.operation(id).await?;
            if operation.state.is_settled() {
                return Ok(operation);
            }
            let interrupted = tokio::select! {
                changed = progress.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => Interrupted::Ending,
                },
                () = until(deadline) => Interrupted::Deadline,
                () = self.ending.cancelled() => Interrupted::Ending,
            };
            return Err(match interrupted {
                Interrupted::Deadline => self.too_late(&operation).await,
                Interrupted::Ending => Status::unavailable(format!(
                    "the agent is stopping; it goes on with operation {id} when it starts again, and mcp status shows how it ended"
                )),
            });
        }
    }

    async fn operation(&self, id: &OperationId) -> Result<Operation, Status> {
        let filter = OperationFilter {
            id: Some(id.clone()),
            limit: 1,
            service: None,
        };
        let found = self
            .registry
            .operations(filter)
            .await
            .map_err(answer::registry)?;
        found.into_iter().next().ok_or_else(|| {
            Status::internal(format!("operation {id} was accepted and cannot be found"))
        })
    }

    /// Says who is in the way, where somebody is.
    async fn too_late(&self, operation: &Operation) -> Status {
        let id = &operation.id;
        for step in operation
            .steps
            .iter()
            .filter(|step| !step.state.is_settled())
        {
            let key = ComponentKey::new(operation.service.clone(), step.component.clone());
            match self.registry.holder(key.clone()).await {
                Ok(Some(holder)) if holder.operation != *id => {
                    return Status::aborted(format!(
                        "{key} is held by operation {} of {}; operation {id} waits for its turn",
                        holder.operation, holder.caller
                    ));
                }
                Ok(_) => {}
                Err(error) => return answer::registry(error),
            }
        }
        Status::deadline_exceeded(format!(
            "operation {id} goes on; mcp status shows how it ends"
        ))
    }
}

async fn until(deadline: Option<Deadline>) {
    match deadline {
        Some(Deadline(at)) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
