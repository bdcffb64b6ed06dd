//! Operations that the controller accepts by itself, under the standing permission (S35).

use mcp_model::operation::AUTO_RECONCILE;
use mcp_model::{ComponentKey, Moment, Origin, StandingRequest};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::accept::{Entry, insert_operation, insert_step, pin};
use super::audit::{self, NewAudit};
use super::{Database, services};
use crate::columns::{count, moment};
use crate::decide::decide_standing;
use crate::error::RegistryError;

/// What stands in the audit record in place of a peer: nobody called.
const PEER: &str = "agent";

impl Database {
    /// Stores an operation of one component with its step and its audit record. Intent stays as it
    /// is. False, and nothing stored, where intent is no longer the one that the request was decided
    /// on, or where an operation is open on the component.
    pub fn accept_standing(
        &mut self,
        request: &StandingRequest,
    ) -> std::result::Result<bool, RegistryError> {
        self.write("accept an operation of the agent's own", |tx| {
            let Some(record) = services::component(tx, &request.key)? else {
                return Ok(false);
            };
            if is_held(tx, &request.key)? {
                return Ok(false);
            }
            let Some(step) = decide_standing(request, &record) else {
                return Ok(false);
            };
            let entry = Entry {
                id: &request.id,
                kind: request.kind,
                service: &request.key.service,
                caller: AUTO_RECONCILE,
                message: &request.message,
                at: request.at,
            };
            insert_operation(tx, &entry)?;
            pin(tx, &step, request.at.wall)?;
            insert_step(tx, &request.id, &step, request.at.wall)?;
            audit::insert(tx, &record_of(request))?;
            Ok(true)
        })
    }

    /// When the agent itself last acted on a component, newest first, at most `most` times, since
    /// intent changed to this generation and since an operator's last operation on it.
    pub fn standing_attempts(
        &self,
        key: &ComponentKey,
        generation: u64,
        most: u32,
    ) -> std::result::Result<Vec<Moment>, RegistryError> {
        self.read("read what the agent did by itself", |conn| {
            let query = "\
                SELECT o.caller, s.generation,
                       o.accepted_at, o.accepted_boot_ms, o.accepted_boot_id
                FROM operations o JOIN operation_steps s ON s.operation_id = o.id
                WHERE o.service = ?1 AND s.component = ?2
                ORDER BY o.seq DESC LIMIT ?3";
            let mut attempts = Vec::new();
            let mut statement = conn.prepare_cached(query)?;
            let params = params![key.service.as_str(), key.component.as_str(), most];
            for row in statement.query_map(params, attempt)? {
                let (caller, of, at) = row?;
                if caller != AUTO_RECONCILE || of != generation {
                    break;
                }
                attempts.push(at);
            }
            Ok(attempts)
        })
    }
}

fn attempt(row: &Row<'_>) -> Result<(String, u64, Moment)> {
    Ok((
        row.get("caller")?,
        count(row, "generation")?,
        moment(row, "accepted")?,
    ))
}

fn is_held(conn: &Connection, key: &ComponentKey) -> Result<bool> {
    let query = "\
        SELECT 1 FROM operation_steps
        WHERE service = ?1 AND component = ?2 AND state IN ('waiting', 'running')";
    conn.prepare_cached(query)?
        .query_row(
            params![key.service.as_str(), key.component.as_str()],
            |_| Ok(()),
        )
        .optional()
        .map(|found| found.is_some())
}

fn record_of(request: &StandingRequest) -> NewAudit {
    NewAudit {
        at: request.at.wall,
        origin: Origin {
            caller: AUTO_RECONCILE.to_owned(),
            peer: PEER.to_owned(),
            method: AUTO_RECONCILE.to_owned(),
            host: String::new(),
        },
        operation: Some(request.id.clone()),
        object: request.key.to_string(),
        message: request.message.clone(),
    }
}
