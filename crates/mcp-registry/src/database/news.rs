//! Operations and incidents that changed, for those who tell others of them.

use mcp_model::{Incident, IncidentId, Operation, OperationId, Stamp};
use rusqlite::{Connection, Result, Row, params};

use super::Database;
use super::operations::{operation, steps};
use crate::columns::{maybe_text, to_json};
use crate::error::RegistryError;

/// What somebody knows, so that he is told the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The newest operation that he knows, by order of acceptance.
    pub operation: i64,
    /// The newest incident that he knows, by order of storing.
    pub incident: i64,
    /// Operations that were open when he read last.
    pub open_operations: Vec<OperationId>,
    /// Incidents that stood when he read last.
    pub open_incidents: Vec<IncidentId>,
}

/// What is there beyond what was known. What was open is in it again, changed or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct News {
    /// Operations with their steps, oldest first.
    pub operations: Vec<Operation>,
    /// Incidents, oldest first, with the time that they closed.
    pub incidents: Vec<(Incident, Option<Stamp>)>,
    /// The newest operation now.
    pub operation: i64,
    /// The newest incident now.
    pub incident: i64,
}

impl Database {
    /// Everything that is open, in one snapshot: where to begin.
    pub fn open_matters(&self) -> std::result::Result<News, RegistryError> {
        self.read("read what is open", |conn| {
            let operations = "\
                SELECT * FROM operations WHERE id IN (
                    SELECT operation_id FROM operation_steps WHERE state IN ('waiting', 'running'))
                ORDER BY seq";
            Ok(News {
                operations: with_steps(conn, operations, &[])?,
                incidents: conn
                    .prepare_cached("SELECT * FROM incidents WHERE closed_at IS NULL ORDER BY seq")?
                    .query_map([], incident)?
                    .collect::<Result<_>>()?,
                operation: newest(conn, "operations")?,
                incident: newest(conn, "incidents")?,
            })
        })
    }

    /// What happened since `known`, in one snapshot. Reads no row that it does not tell.
    pub fn news(&self, known: &Known) -> std::result::Result<News, RegistryError> {
        self.read("read what changed", |conn| {
            let operations = "\
                SELECT * FROM operations
                WHERE seq > ?1 OR id IN (SELECT value FROM json_each(?2)) ORDER BY seq";
            let incidents = "\
                SELECT * FROM incidents
                WHERE seq > ?1 OR id IN (SELECT value FROM json_each(?2)) ORDER BY seq";
            let open: Vec<_> = known
                .open_operations
                .iter()
                .map(OperationId::as_str)
                .collect();
            let standing: Vec<_> = known.open_incidents.iter().map(|id| &id.0).collect();
            Ok(News {
                operations: with_steps(
                    conn,
                    operations,
                    params![known.operation, to_json(&open)?],
                )?,
                incidents: conn
                    .prepare_cached(incidents)?
                    .query_map(params![known.incident, to_json(&standing)?], incident)?
                    .collect::<Result<_>>()?,
                operation: newest(conn, "operations")?,
                incident: newest(conn, "incidents")?,
            })
        })
    }
}

/// By the sequence and not by the rows: what was pruned is not news when it comes again.
fn newest(conn: &Connection, table: &str) -> Result<i64> {
    conn.prepare_cached("SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = ?1")?
        .query_row([table], |row| row.get(0))
}

fn with_steps(
    conn: &Connection,
    query: &str,
    params: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Operation>> {
    let mut found: Vec<Operation> = conn
        .prepare_cached(query)?
        .query_map(params, operation)?
        .collect::<Result<_>>()?;
    for operation in &mut found {
        operation.steps = steps(conn, &operation.id)?;
    }
    Ok(found)
}

fn incident(row: &Row<'_>) -> Result<(Incident, Option<Stamp>)> {
    let closed = maybe_text(row, "closed_at")?;
    Ok((super::key_state::incident(row)?, closed))
}
