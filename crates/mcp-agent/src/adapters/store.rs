//! The registry as the controller's memory.

use std::time::Duration;

use async_trait::async_trait;
use mcp_controller::port::{Failure, Store};
use mcp_model::{
    Alert, BootId, ComponentKey, Expiry, IncidentChange, KeyState, Moment, NodeState,
    ObservationChange, StandingRequest, StepOutcome, StepUpdate,
};
use mcp_registry::{Registry, RegistryError};

use crate::api::chain;

/// The registry behind the controller's port.
#[derive(Clone)]
pub struct RegistryStore(pub Registry);

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
pub(super) fn failure(error: RegistryError) -> Failure {
    Failure(chain(&error))
}

#[async_trait]
impl Store for RegistryStore {
    async fn keys(&self) -> Result<Vec<ComponentKey>, Failure> {
        self.0.keys().await.map_err(failure)
    }

    async fn load(&self, key: &ComponentKey) -> Result<KeyState, Failure> {
        self.0.load(key.clone()).await.map_err(failure)
    }

    async fn observe(&self, change: ObservationChange) -> Result<(), Failure> {
        self.0.observe(change).await.map_err(failure)
    }

    async fn incidents(&self, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        self.0.incidents(changes).await.map_err(failure)
    }

    async fn node(&self) -> Result<NodeState, Failure> {
        self.0.node().await.map_err(failure)
    }

    async fn booted(&self, boot: BootId, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        self.0.booted(boot, changes).await.map_err(failure)
    }

    async fn transitions(
        &self,
        key: &ComponentKey,
        now: Moment,
        window: Duration,
    ) -> Result<u32, Failure> {
        self.0
            .transitions(key.clone(), now, window)
            .await
            .map_err(failure)
    }

    async fn accept_standing(&self, request: StandingRequest) -> Result<bool, Failure> {
        self.0.accept_standing(request).await.map_err(failure)
    }

    async fn standing_attempts(
        &self,
        key: &ComponentKey,
        generation: u64,
        most: u32,
    ) -> Result<Vec<Moment>, Failure> {
        self.0
            .standing_attempts(key.clone(), generation, most)
            .await
            .map_err(failure)
    }

    async fn step(&self, update: StepUpdate) -> Result<(), Failure> {
        self.0.step(update).await.map_err(failure)
    }

    async fn settle(&self, outcome: StepOutcome) -> Result<(), Failure> {
        self.0.settle(outcome).await.map_err(failure)
    }

    async fn expire(&self, now: Moment) -> Result<Expiry, Failure> {
        self.0.expire(now).await.map_err(failure)
    }

    async fn undelivered(&self, most: u32) -> Result<Vec<(i64, Alert)>, Failure> {
        self.0.undelivered(most).await.map_err(failure)
    }

    async fn delivered(&self, id: i64, outcome: String) -> Result<(), Failure> {
        self.0.delivered(id, outcome).await.map_err(failure)
    }

    async fn prune(&self, now: Moment, retention: Duration) -> Result<(), Failure> {
        self.0.prune(now, retention).await.map_err(failure)
    }
}
