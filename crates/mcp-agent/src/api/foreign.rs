//! Containers that nobody gave to MCP and whose names it would need (S4).

use std::time::Duration;

use mcp_controller::port::Clock;
use mcp_controller::{Handle, View};
use mcp_model::ComponentKey;
use tonic::Status;

/// Looks for foreign containers before a deploy is accepted.
#[derive(Clone)]
pub(super) struct ForeignCheck {
    pub(super) controller: Handle,
    pub(super) clock: std::sync::Arc<dyn Clock>,
    /// A view older than this is renewed first.
    pub(super) fresh: Duration,
}

impl ForeignCheck {
    /// Refuses a deploy none of whose components can have its name. Where some can, those are
    /// deployed and the rest fail one by one: the runtime is asked again at each step anyway.
    pub(super) async fn admit(&self, keys: &[ComponentKey]) -> Result<(), Status> {
        if self.is_stale() {
            self.look().await;
        }
        match self.blocked(keys) {
            None => Ok(()),
            // Somebody may have made room since the view was taken.
            Some(_) => self.explain(keys).await,
        }
    }

    /// Looks whether foreign containers are why none of a deploy's components came up. The view
    /// that admitted it may have been older than they are.
    pub(super) async fn explain(&self, keys: &[ComponentKey]) -> Result<(), Status> {
        self.look().await;
        self.blocked(keys)
            .map_or(Ok(()), |why| Err(Status::failed_precondition(why)))
    }

    fn is_stale(&self) -> bool {
        let view = self.controller.seen();
        view.observed_at
            .is_none_or(|at| self.clock.now().since(&at) > self.fresh)
    }

    async fn look(&self) {
        if let Err(error) = self.controller.look().await {
            // The step itself will tell: a deploy is not refused for want of a view.
            tracing::debug!(%error, "no look before a deploy");
        }
    }

    /// Says who holds the names, where every one is held.
    fn blocked(&self, keys: &[ComponentKey]) -> Option<String> {
        let view = self.controller.seen();
        let held: Vec<String> = keys.iter().filter_map(|key| holder(&view, key)).collect();
        (!keys.is_empty() && held.len() == keys.len()).then(|| held.join("; "))
    }
}

fn holder(view: &View, key: &ComponentKey) -> Option<String> {
    let name = key.container_name();
    let container = view
        .foreign
        .iter()
        .find(|container| container.name == name.as_str())?;
    Some(format!(
        "{key}: a container called {name} is there ({}) that nobody gave to MCP: adopt it, or rename or remove it",
        container.instance.id.short()
    ))
}
