//! Operations as a whole: reading them, and ending what can no longer begin (S12, S13).

use std::collections::BTreeSet;

use mcp_model::operation::START_BY;
use mcp_model::{
    ComponentKey, Expiry, Moment, Operation, OperationId, OperationKind, ServiceName, Stamp, Step,
    StepState,
};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::{Database, audit};
use crate::columns::{count, key, maybe_text, moment, text};
use crate::decide::settled_state;
use crate::error::RegistryError;

/// Which operations to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperationFilter {
    /// Of this service only.
    pub service: Option<ServiceName>,
    /// This one only.
    pub id: Option<OperationId>,
    /// At most so many.
    pub limit: u32,
}

/// Who holds a key: the oldest operation that is open on it (S18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The operation.
    pub operation: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// Who asked for it.
    pub caller: String,
}

impl Database {
    /// Operations with their steps, newest first.
    pub fn operations(
        &self,
        filter: &OperationFilter,
    ) -> std::result::Result<Vec<Operation>, RegistryError> {
        self.read("read the operations", |conn| {
            let query = "\
                SELECT * FROM operations
                WHERE (?1 IS NULL OR service = ?1) AND (?2 IS NULL OR id = ?2)
                ORDER BY seq DESC LIMIT ?3";
            let service = filter.service.as_ref().map(ServiceName::as_str);
            let id = filter.id.as_ref().map(OperationId::as_str);
            let mut found: Vec<Operation> = conn
                .prepare_cached(query)?
                .query_map(params![service, id, filter.limit], operation)?
                .collect::<Result<_>>()?;
            for operation in &mut found {
                operation.steps = steps(conn, &operation.id)?;
            }
            Ok(found)
        })
    }

    /// The operation that has its turn on a key.
    pub fn holder(&self, key: &ComponentKey) -> std::result::Result<Option<Holder>, RegistryError> {
        self.read("read who holds a component", |conn| {
            let query = "\
                SELECT o.id, o.kind, o.caller
                FROM operation_steps s JOIN operations o ON o.id = s.operation_id
                WHERE s.service = ?1 AND s.component = ?2 AND s.state IN ('waiting', 'running')
                ORDER BY o.seq LIMIT 1";
            conn.prepare_cached(query)?
                .query_row(
                    params![key.service.as_str(), key.component.as_str()],
                    |row| {
                        Ok(Holder {
                            operation: text(row, "id")?,
                            kind: text(row, "kind")?,
                            caller: row.get("caller")?,
                        })
                    },
                )
                .optional()
        })
    }

    /// Ends the steps that were to begin by now and have not (S13). What has begun may have taken
    /// something down, and is carried to its end.
    pub fn expire(&mut self, now: &Moment) -> std::result::Result<Expiry, RegistryError> {
        self.write("expire operations", |tx| {
            let waited = |step: &Waiting| now.since(&step.accepted);
            let (late, early): (Vec<_>, Vec<_>) = waiting(tx)?
                .into_iter()
                .partition(|step| waited(step) >= START_BY);
            let mut operations = BTreeSet::new();
            for step in &late {
                end_step(
                    tx,
                    &step.operation,
                    &step.key,
                    StepState::Expired,
                    "it did not begin in time",
                    now.wall,
                )?;
                operations.insert(&step.operation);
            }
            for operation in operations {
                settle_where_done(tx, operation, now.wall)?;
            }
            let keys: BTreeSet<_> = late.iter().map(|step| step.key.clone()).collect();
            Ok(Expiry {
                keys: keys.into_iter().collect(),
                next: early
                    .iter()
                    .map(|step| START_BY.saturating_sub(waited(step)))
                    .min(),
            })
        })
    }
}

/// A step that has not begun.
struct Waiting {
    operation: OperationId,
    key: ComponentKey,
    accepted: Moment,
}

fn waiting(conn: &Connection) -> Result<Vec<Waiting>> {
    // The two words select through the index of open steps; the second condition narrows it.
    let query = "\
        SELECT s.operation_id, s.service, s.component,
               o.accepted_at, o.accepted_boot_ms, o.accepted_boot_id
        FROM operation_steps s JOIN operations o ON o.id = s.operation_id
        WHERE s.state IN ('waiting', 'running') AND s.state = 'waiting'";
    conn.prepare_cached(query)?
        .query_map([], |row| {
            Ok(Waiting {
                operation: text(row, "operation_id")?,
                key: key(row)?,
                accepted: moment(row, "accepted")?,
            })
        })?
        .collect()
}

/// Ends what waits on keys whose intent is new (S13). What has begun is left alone.
pub(super) fn supersede<'a>(
    conn: &Connection,
    keys: impl Iterator<Item = &'a ComponentKey>,
    at: Stamp,
) -> Result<()> {
    let mut ended = BTreeSet::new();
    for key in keys {
        for operation in waiting_on(conn, key)? {
            let why = "newer intent came before it began";
            end_step(conn, &operation, key, StepState::Superseded, why, at)?;
            ended.insert(operation);
        }
    }
    ended
        .into_iter()
        .try_for_each(|operation| settle_where_done(conn, &operation, at))
}

/// The operations whose step on the key has not begun, oldest first.
pub(super) fn waiting_on(conn: &Connection, key: &ComponentKey) -> Result<Vec<OperationId>> {
    let query = "\
        SELECT s.operation_id FROM operation_steps s JOIN operations o ON o.id = s.operation_id
        WHERE s.service = ?1 AND s.component = ?2
            AND s.state IN ('waiting', 'running') AND s.state = 'waiting'
        ORDER BY o.seq";
    conn.prepare_cached(query)?
        .query_map(
            params![key.service.as_str(), key.component.as_str()],
            |row| text(row, "operation_id"),
        )?
        .collect()
}

/// Writes a settled state into a step.
pub(super) fn end_step(
    conn: &Connection,
    operation: &OperationId,
    key: &ComponentKey,
    state: StepState,
    error: &str,
    at: Stamp,
) -> Result<()> {
    conn.prepare_cached(
        "UPDATE operation_steps SET state = ?4, error = ?5, finished_at = ?6
         WHERE operation_id = ?1 AND service = ?2 AND component = ?3",
    )?
    .execute(params![
        operation.as_str(),
        key.service.as_str(),
        key.component.as_str(),
        state.as_str(),
        error,
        at.to_string(),
    ])?;
    Ok(())
}

/// Settles an operation whose steps are all settled, and its audit record with it (S42).
pub(super) fn settle_where_done(
    conn: &Connection,
    operation: &OperationId,
    at: Stamp,
) -> Result<()> {
    let states: Vec<_> = steps(conn, operation)?
        .iter()
        .map(|step| step.state)
        .collect();
    let Some(state) = settled_state(&states) else {
        return Ok(());
    };
    conn.prepare_cached("UPDATE operations SET state = ?2, finished_at = ?3 WHERE id = ?1")?
        .execute(params![operation.as_str(), state.as_str(), at.to_string()])?;
    audit::finish_operation(conn, operation, state, at)
}

/// The steps of an operation, by component.
pub(super) fn steps(conn: &Connection, operation: &OperationId) -> Result<Vec<Step>> {
    conn.prepare_cached("SELECT * FROM operation_steps WHERE operation_id = ?1 ORDER BY component")?
        .query_map([operation.as_str()], |row| {
            Ok(Step {
                component: text(row, "component")?,
                state: text(row, "state")?,
                phase: maybe_text(row, "phase")?,
                error: row.get("error")?,
                revision: count(row, "revision")?,
                unchanged: row.get("unchanged")?,
            })
        })?
        .collect()
}

pub(super) fn operation(row: &Row<'_>) -> Result<Operation> {
    Ok(Operation {
        id: text(row, "id")?,
        kind: text(row, "kind")?,
        service: text(row, "service")?,
        state: text(row, "state")?,
        caller: row.get("caller")?,
        message: row.get("message")?,
        created: text(row, "accepted_at")?,
        start_by: text(row, "start_by")?,
        finished: maybe_text(row, "finished_at")?,
        steps: Vec::new(),
    })
}
