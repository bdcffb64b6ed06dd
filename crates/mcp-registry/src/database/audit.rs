//! Who changed what (S42).

use mcp_model::{OperationId, OperationState, Origin, Stamp};
use rusqlite::{Connection, Result, Row, params};

use super::Database;
use crate::columns::{maybe_text, text};
use crate::error::RegistryError;

/// What became of a call that nobody finished.
const INTERRUPTED: &str = "interrupted";

/// A mutating call that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAudit {
    /// When.
    pub at: Stamp,
    /// Who, from where, through which method.
    pub origin: Origin,
    /// The operation that it made.
    pub operation: Option<OperationId>,
    /// What it is about: services, a token's id, a path. May be empty.
    pub object: String,
    /// Why, in the caller's words. May be empty.
    pub message: String,
}

/// A mutating call as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Orders records.
    pub id: i64,
    /// How it began.
    pub call: NewAudit,
    /// What became of it; absent while nobody knows.
    pub outcome: Option<String>,
    /// When that was known.
    pub finished: Option<Stamp>,
}

impl Database {
    /// Records a mutating call that is no operation, before it has any effect. Returns the id to
    /// finish it with.
    pub fn audit(&mut self, call: &NewAudit) -> std::result::Result<i64, RegistryError> {
        self.write("record a call", |tx| insert(tx, call))
    }

    /// Records what became of a call.
    pub fn audit_outcome(
        &mut self,
        id: i64,
        outcome: &str,
        at: Stamp,
    ) -> std::result::Result<(), RegistryError> {
        self.write("record the outcome of a call", |tx| {
            finish(tx, id, outcome, at)
        })
    }

    /// Marks as `interrupted` what an earlier life of the agent left without an outcome, save for
    /// operations that are still open. Returns how many there were. For the start of the agent.
    pub fn interrupt_audits(&mut self, at: Stamp) -> std::result::Result<u64, RegistryError> {
        self.write("mark interrupted calls", |tx| {
            let marked = tx.execute(
                "UPDATE audit SET outcome = ?1, finished_at = ?2
                 WHERE outcome IS NULL AND NOT EXISTS (
                     SELECT 1 FROM operations o
                     WHERE o.id = audit.operation_id AND o.state IN (?3, ?4))",
                params![
                    INTERRUPTED,
                    at.to_string(),
                    OperationState::Accepted.as_str(),
                    OperationState::Running.as_str(),
                ],
            )?;
            Ok(u64::try_from(marked).unwrap_or(u64::MAX))
        })
    }

    /// The newest records, newest first, at most `limit`.
    pub fn audits(&self, limit: u32) -> std::result::Result<Vec<AuditRecord>, RegistryError> {
        self.read("read the audit records", |conn| {
            conn.prepare_cached("SELECT * FROM audit ORDER BY id DESC LIMIT ?1")?
                .query_map([limit], record)?
                .collect()
        })
    }
}

/// Stores the beginning of a call.
pub(super) fn insert(conn: &Connection, call: &NewAudit) -> Result<i64> {
    conn.prepare_cached(
        "INSERT INTO audit (at, caller, peer, method, operation_id, object, message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        call.at.to_string(),
        call.origin.caller,
        call.origin.peer,
        call.origin.method,
        call.operation.as_ref().map(OperationId::as_str),
        call.object,
        call.message,
    ])?;
    Ok(conn.last_insert_rowid())
}

/// Stores the end of a call.
pub(super) fn finish(conn: &Connection, id: i64, outcome: &str, at: Stamp) -> Result<()> {
    conn.prepare_cached("UPDATE audit SET outcome = ?2, finished_at = ?3 WHERE id = ?1")?
        .execute(params![id, outcome, at.to_string()])?;
    Ok(())
}

/// Stores what an operation came to.
pub(super) fn finish_operation(
    conn: &Connection,
    operation: &OperationId,
    outcome: OperationState,
    at: Stamp,
) -> Result<()> {
    conn.prepare_cached("UPDATE audit SET outcome = ?2, finished_at = ?3 WHERE operation_id = ?1")?
        .execute(params![
            operation.as_str(),
            outcome.as_str(),
            at.to_string()
        ])?;
    Ok(())
}

fn record(row: &Row<'_>) -> Result<AuditRecord> {
    Ok(AuditRecord {
        id: row.get("id")?,
        call: NewAudit {
            at: text(row, "at")?,
            origin: Origin {
                caller: row.get("caller")?,
                peer: row.get("peer")?,
                method: row.get("method")?,
                // Audit keeps what was proved.
                host: String::new(),
            },
            operation: maybe_text(row, "operation_id")?,
            object: row.get("object")?,
            message: row.get("message")?,
        },
        outcome: row.get("outcome")?,
        finished: maybe_text(row, "finished_at")?,
    })
}
