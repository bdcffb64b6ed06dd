//! Every call of [`Database`], from any task: which lane it takes is all that is said here.

use std::time::Duration;

use mcp_model::{
    Alert, BootId, ComponentKey, Event, Expiry, IncidentChange, KeyState, Moment, NodeState,
    ObservationChange, Operation, OperationRequest, ServiceName, ServiceRecord, Stamp,
    StandingRequest, StepOutcome, StepUpdate,
};

use super::{Lane, Registry};
use crate::database::Database;
use crate::database::audit::{AuditRecord, NewAudit};
use crate::database::events::EventFilter;
use crate::database::news::{Known, News};
use crate::database::operations::{Holder, OperationFilter};
use crate::database::tokens::{NewToken, TokenRecord, TokenSelector};
use crate::decide::{Accepted, SyncOutcome, SyncRequest};
use crate::error::{AcceptError, RegistryError};

type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// What operators ask for, and what makes operations go on.
impl Registry {
    /// See [`Database::accept`].
    pub async fn accept(&self, request: OperationRequest) -> Result<Accepted, AcceptError> {
        let act = move |db: &mut Database| db.accept(&request);
        self.call(Lane::Operations, "accept an operation", act)
            .await
    }

    /// See [`Database::accept_standing`].
    pub async fn accept_standing(&self, request: StandingRequest) -> Result<bool> {
        let act = move |db: &mut Database| db.accept_standing(&request);
        self.call(
            Lane::Operations,
            "accept an operation of the agent's own",
            act,
        )
        .await
    }

    /// See [`Database::sync`].
    pub async fn sync(&self, request: SyncRequest) -> Result<SyncOutcome, AcceptError> {
        let act = move |db: &mut Database| db.sync(&request);
        self.call(Lane::Operations, "store the desired state", act)
            .await
    }

    /// See [`Database::step`].
    pub async fn step(&self, update: StepUpdate) -> Result<()> {
        let act = move |db: &mut Database| db.step(&update);
        self.call(Lane::Operations, "store a step", act).await
    }

    /// See [`Database::settle`].
    pub async fn settle(&self, outcome: StepOutcome) -> Result<()> {
        let act = move |db: &mut Database| db.settle(&outcome);
        self.call(Lane::Operations, "settle a step", act).await
    }

    /// See [`Database::expire`].
    pub async fn expire(&self, now: Moment) -> Result<Expiry> {
        let act = move |db: &mut Database| db.expire(&now);
        self.call(Lane::Operations, "expire operations", act).await
    }

    /// See [`Database::audit`].
    pub async fn audit(&self, call: NewAudit) -> Result<i64> {
        let act = move |db: &mut Database| db.audit(&call);
        self.call(Lane::Operations, "record a call", act).await
    }

    /// See [`Database::audit_outcome`].
    pub async fn audit_outcome(&self, id: i64, outcome: String, at: Stamp) -> Result<()> {
        let act = move |db: &mut Database| db.audit_outcome(id, &outcome, at);
        self.call(Lane::Operations, "record the outcome of a call", act)
            .await
    }

    /// See [`Database::interrupt_audits`].
    pub async fn interrupt_audits(&self, at: Stamp) -> Result<u64> {
        let act = move |db: &mut Database| db.interrupt_audits(at);
        self.call(Lane::Operations, "mark interrupted calls", act)
            .await
    }

    /// See [`Database::insert_token`].
    pub async fn insert_token(&self, token: NewToken) -> Result<()> {
        let act = move |db: &mut Database| db.insert_token(&token);
        self.call(Lane::Operations, "store a token", act).await
    }

    /// See [`Database::revoke_tokens`].
    pub async fn revoke_tokens(&self, which: TokenSelector, at: Stamp) -> Result<Vec<String>> {
        let act = move |db: &mut Database| db.revoke_tokens(&which, at);
        self.call(Lane::Operations, "revoke tokens", act).await
    }
}

/// What the controller saw, and what it tells.
impl Registry {
    /// See [`Database::observe`].
    pub async fn observe(&self, change: ObservationChange) -> Result<()> {
        let act = move |db: &mut Database| db.observe(&change);
        self.call(Lane::Ordinary, "store an observation", act).await
    }

    /// See [`Database::incidents`].
    pub async fn incidents(&self, changes: Vec<IncidentChange>) -> Result<()> {
        let act = move |db: &mut Database| db.incidents(&changes);
        self.call(Lane::Ordinary, "store incidents", act).await
    }

    /// See [`Database::booted`].
    pub async fn booted(&self, boot: BootId, changes: Vec<IncidentChange>) -> Result<()> {
        let act = move |db: &mut Database| db.booted(boot, &changes);
        self.call(Lane::Ordinary, "store the boot", act).await
    }

    /// See [`Database::delivered`].
    pub async fn delivered(&self, id: i64, outcome: String) -> Result<()> {
        let act = move |db: &mut Database| db.delivered(id, &outcome);
        self.call(Lane::Ordinary, "store the outcome of an alert", act)
            .await
    }

    /// Removes everything that [`Database::prune`] removes; between batches others get their
    /// turns.
    pub async fn prune(&self, now: Moment, retention: Duration) -> Result<()> {
        loop {
            let act = move |db: &mut Database| db.prune(&now, retention);
            if !self.call(Lane::Ordinary, "prune what is old", act).await? {
                return Ok(());
            }
        }
    }
}

/// Reads.
impl Registry {
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        look: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.call(Lane::Reads, operation, move |db: &mut Database| look(db))
            .await
    }

    /// See [`Database::keys`].
    pub async fn keys(&self) -> Result<Vec<ComponentKey>> {
        self.read("read the component keys", Database::keys).await
    }

    /// See [`Database::load`].
    pub async fn load(&self, key: ComponentKey) -> Result<KeyState> {
        self.read("read a component", move |db| db.load(&key)).await
    }

    /// See [`Database::node`].
    pub async fn node(&self) -> Result<NodeState> {
        self.read("read what stands about the node", Database::node)
            .await
    }

    /// See [`Database::transitions`].
    pub async fn transitions(
        &self,
        key: ComponentKey,
        now: Moment,
        window: Duration,
    ) -> Result<u32> {
        self.read("count transitions", move |db| {
            db.transitions(&key, &now, window)
        })
        .await
    }

    /// See [`Database::undelivered`].
    pub async fn undelivered(&self, most: u32) -> Result<Vec<(i64, Alert)>> {
        self.read("read undelivered alerts", move |db| db.undelivered(most))
            .await
    }

    /// See [`Database::services`].
    pub async fn services(&self) -> Result<Vec<ServiceRecord>> {
        self.read("read the services", Database::services).await
    }

    /// See [`Database::service`].
    pub async fn service(&self, name: ServiceName) -> Result<Option<ServiceRecord>> {
        self.read("read a service", move |db| db.service(&name))
            .await
    }

    /// See [`Database::events`].
    pub async fn events(&self, filter: EventFilter) -> Result<Vec<Event>> {
        self.read("read the events", move |db| db.events(&filter))
            .await
    }

    /// See [`Database::operations`].
    pub async fn operations(&self, filter: OperationFilter) -> Result<Vec<Operation>> {
        self.read("read the operations", move |db| db.operations(&filter))
            .await
    }

    /// See [`Database::open_matters`].
    pub async fn open_matters(&self) -> Result<News> {
        self.read("read what is open", Database::open_matters).await
    }

    /// See [`Database::news`].
    pub async fn news(&self, known: Known) -> Result<News> {
        self.read("read what changed", move |db| db.news(&known))
            .await
    }

    /// See [`Database::holder`].
    pub async fn holder(&self, key: ComponentKey) -> Result<Option<Holder>> {
        self.read("read who holds a component", move |db| db.holder(&key))
            .await
    }

    /// See [`Database::standing_attempts`].
    pub async fn standing_attempts(
        &self,
        key: ComponentKey,
        generation: u64,
        most: u32,
    ) -> Result<Vec<Moment>> {
        self.read("read what the agent did by itself", move |db| {
            db.standing_attempts(&key, generation, most)
        })
        .await
    }

    /// See [`Database::audits`].
    pub async fn audits(&self, limit: u32) -> Result<Vec<AuditRecord>> {
        self.read("read the audit records", move |db| db.audits(limit))
            .await
    }

    /// See [`Database::find_token`].
    pub async fn find_token(&self, hash: [u8; 32]) -> Result<Option<TokenRecord>> {
        self.read("look up a token", move |db| db.find_token(&hash))
            .await
    }

    /// See [`Database::tokens`].
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        self.read("list the tokens", Database::tokens).await
    }

    /// See [`Database::instance_id`].
    pub async fn instance_id(&self) -> Result<String> {
        self.read("read the agent's instance id", Database::instance_id)
            .await
    }

    /// See [`Database::schema_version`].
    pub async fn schema_version(&self) -> Result<u32> {
        self.read("read the schema version", Database::schema_version)
            .await
    }
}
