//! Containers that nobody gave to MCP and whose names it would need (S4).

use std::time::Duration;

use mcp_controller::port::Clock;
use mcp_controller::{Handle, View};
use mcp_model::ComponentKey;
use tonic::Status;

/// Longest wait for a look. A runtime that hangs must not keep intent from being accepted: its
/// caller, who has the operation's id, would leave and wait for what never was.
const PATIENCE: Duration = Duration::from_secs(2);

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
        // The step itself will tell: a deploy is not refused for want of a view.
        match tokio::time::timeout(PATIENCE, self.controller.look()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "no look at foreign containers"),
            Err(_) => tracing::debug!("no look at foreign containers in time"),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use mcp_controller::{Controller, Ports, Settings};
    use mcp_registry::Database;
    use mcp_runtime::fake::Fake;

    use super::*;
    use crate::adapters::alert::AlertCommand;
    use crate::adapters::clock::SystemClock;
    use crate::adapters::database::DatabaseStore;
    use crate::adapters::runtime::RuntimeAdapter;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_does_not_end_keeps_no_deploy_from_being_accepted() {
        let clock = Arc::new(SystemClock::new());
        let node = "vade".parse().unwrap();
        let ports = Ports {
            runtime: Arc::new(RuntimeAdapter(Arc::new(Fake::new(clock.now().wall, "a")))),
            store: Arc::new(DatabaseStore::new(Database::in_memory().unwrap())),
            alerts: Arc::new(AlertCommand::new(Vec::new(), BTreeMap::new(), node)),
            clock: clock.clone(),
        };
        // Never run: whoever asks it for a look waits for ever.
        let (_controller, controller) = Controller::new(ports, Settings::new("a"));
        let check = ForeignCheck {
            controller,
            clock,
            fresh: Duration::ZERO,
        };
        let keys = ["shop/web".parse().unwrap()];
        let admitted = tokio::time::timeout(Duration::from_hours(1), check.admit(&keys)).await;
        admitted.expect("it does not wait for ever").unwrap();
    }
}
