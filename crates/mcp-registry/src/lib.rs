//! The node's registry: what is wanted, what was seen, who may act and who did, in one `SQLite`
//! file.
//!
//! ```text
//!  api, controller ──► Registry ──operations lane──┐
//!   (async)              │    └───ordinary lane────┴──► writer thread ──► Database ──► mcp.db
//!                        └────────reads────────────────► reader threads ► Database ──► mcp.db
//! ```
//!
//! [`Database`] is every operation as a plain method over one connection, each in one transaction.
//! [`Registry`] is the handle that the agent holds: one thread writes, two read, and an operation
//! overtakes what else waits to be written. What a call changes is decided by pure functions
//! (`decide`) from what is stored; the database module only applies it.
//!
//! Times come from the caller: the registry has no clock of its own.

mod columns;
mod database;
mod decide;
mod error;
mod handle;
mod lanes;

pub use database::audit::{AuditRecord, NewAudit};
pub use database::events::EventFilter;
pub use database::news::{Known, News};
pub use database::operations::{Holder, OperationFilter};
pub use database::tokens::{NewToken, TokenRecord, TokenSelector};
pub use database::{Database, Options};
pub use decide::{
    Accepted, AcceptedStep, Overwrite, ServiceSync, SyncOutcome, SyncRequest, Warning,
};
pub use error::{AcceptError, OpenError, RegistryError};
pub use handle::Registry;
