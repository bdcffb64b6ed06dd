//! One connection to a registry as the controller's memory, without threads: for simulations,
//! which run under a paused clock that no other thread keeps.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mcp_controller::port::{Failure, Store};
use mcp_model::{
    Alert, BootId, ComponentKey, Expiry, IncidentChange, KeyState, Moment, NodeState,
    ObservationChange, StandingRequest, StepOutcome, StepUpdate,
};
use mcp_registry::Database;

use super::store::failure;

/// A database behind the controller's port.
#[derive(Debug)]
pub struct DatabaseStore(Mutex<Database>);

impl DatabaseStore {
    /// Takes the connection over.
    pub fn new(database: Database) -> Self {
        Self(Mutex::new(database))
    }

    /// The connection, for what the port does not offer. Not to be held across an await.
    pub fn database(&self) -> MutexGuard<'_, Database> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for DatabaseStore {
    async fn keys(&self) -> Result<Vec<ComponentKey>, Failure> {
        self.database().keys().map_err(failure)
    }

    async fn load(&self, key: &ComponentKey) -> Result<KeyState, Failure> {
        self.database().load(key).map_err(failure)
    }

    async fn observe(&self, change: ObservationChange) -> Result<(), Failure> {
        self.database().observe(&change).map_err(failure)
    }

    async fn incidents(&self, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        self.database().incidents(&changes).map_err(failure)
    }

    async fn node(&self) -> Result<NodeState, Failure> {
        self.database().node().map_err(failure)
    }

    async fn booted(&self, boot: BootId, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        self.database().booted(boot, &changes).map_err(failure)
    }

    async fn transitions(
        &self,
        key: &ComponentKey,
        now: Moment,
        window: Duration,
    ) -> Result<u32, Failure> {
        self.database()
            .transitions(key, &now, window)
            .map_err(failure)
    }

    async fn accept_standing(&self, request: StandingRequest) -> Result<bool, Failure> {
        self.database().accept_standing(&request).map_err(failure)
    }

    async fn standing_attempts(
        &self,
        key: &ComponentKey,
        generation: u64,
        most: u32,
    ) -> Result<Vec<Moment>, Failure> {
        self.database()
            .standing_attempts(key, generation, most)
            .map_err(failure)
    }

    async fn step(&self, update: StepUpdate) -> Result<(), Failure> {
        self.database().step(&update).map_err(failure)
    }

    async fn settle(&self, outcome: StepOutcome) -> Result<(), Failure> {
        self.database().settle(&outcome).map_err(failure)
    }

    async fn expire(&self, now: Moment) -> Result<Expiry, Failure> {
        self.database().expire(&now).map_err(failure)
    }

    async fn undelivered(&self, most: u32) -> Result<Vec<(i64, Alert)>, Failure> {
        self.database().undelivered(most).map_err(failure)
    }

    async fn delivered(&self, id: i64, outcome: String) -> Result<(), Failure> {
        self.database().delivered(id, &outcome).map_err(failure)
    }

    async fn prune(&self, now: Moment, retention: Duration) -> Result<(), Failure> {
        while self.database().prune(&now, retention).map_err(failure)? {}
        Ok(())
    }
}
