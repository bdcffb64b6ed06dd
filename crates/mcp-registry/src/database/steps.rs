//! What a step stores while it works, and how it ends (S12–S14).

use mcp_model::{
    ComponentKey, Moment, OperationId, OperationKind, OperationState, Stamp, StepOutcome,
    StepState, StepUpdate,
};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Database;
use super::operations::{end_step, settle_where_done, waiting_on};
use crate::columns::{MomentColumns, count, instance_json, signed, text, to_json};
use crate::error::RegistryError;

impl Database {
    /// Stores that a step is about to do something. The first call begins the step and, where it
    /// is the first of its operation, the operation. A life that the step is about to stop is
    /// stored with it, so that its end is known to be meant (S22).
    ///
    /// Fails where the step is not open any more: whoever works on it must then stop.
    pub fn step(&mut self, update: &StepUpdate) -> std::result::Result<(), RegistryError> {
        const OPERATION: &str = "store a step";
        let sql = |source| RegistryError::sql(OPERATION, source);
        self.try_write(OPERATION, |tx| {
            let stored = stored(tx, &update.operation, &update.key).map_err(sql)?;
            let state = stored.map(|s| s.state);
            if state.is_none_or(StepState::is_settled) {
                return Err(not_open(OPERATION, &update.operation, &update.key, state));
            }
            store_step(tx, update).map_err(sql)
        })
    }

    /// Stores how a step ended. With its last step an operation is settled, and its audit record
    /// in the same transaction (S42). A deploy that succeeded makes its revision the deployed one
    /// (S11); an undeploy that succeeded removes the record and closes its incidents, unless intent
    /// is newer than it.
    ///
    /// The same outcome may be stored again; another one is refused.
    pub fn settle(&mut self, outcome: &StepOutcome) -> std::result::Result<(), RegistryError> {
        const OPERATION: &str = "settle a step";
        let sql = |source| RegistryError::sql(OPERATION, source);
        self.try_write(OPERATION, |tx| {
            let stored = stored(tx, &outcome.operation, &outcome.key).map_err(sql)?;
            match stored {
                Some(step) if step.state == outcome.state && step.state.is_settled() => Ok(()),
                Some(step) if !step.state.is_settled() && outcome.state.is_settled() => {
                    settle(tx, outcome, &step).map_err(sql)
                }
                other => {
                    let state = other.map(|step| step.state);
                    Err(not_open(OPERATION, &outcome.operation, &outcome.key, state))
                }
            }
        })
    }
}

/// A step, as far as its end depends on it.
struct Stored {
    kind: OperationKind,
    state: StepState,
    revision: u64,
    generation: u64,
}

fn stored(
    conn: &Connection,
    operation: &OperationId,
    key: &ComponentKey,
) -> Result<Option<Stored>> {
    conn.prepare_cached(
        "SELECT o.kind, s.state, s.revision, s.generation
         FROM operation_steps s JOIN operations o ON o.id = s.operation_id
         WHERE s.operation_id = ?1 AND s.service = ?2 AND s.component = ?3",
    )?
    .query_row(
        params![
            operation.as_str(),
            key.service.as_str(),
            key.component.as_str()
        ],
        |row| {
            Ok(Stored {
                kind: text(row, "kind")?,
                state: text(row, "state")?,
                revision: count(row, "revision")?,
                generation: count(row, "generation")?,
            })
        },
    )
    .optional()
}

fn not_open(
    operation: &'static str,
    id: &OperationId,
    key: &ComponentKey,
    state: Option<StepState>,
) -> RegistryError {
    RegistryError::StepNotOpen {
        operation,
        id: id.clone(),
        key: key.clone(),
        state,
    }
}

fn store_step(conn: &Connection, update: &StepUpdate) -> Result<()> {
    let (service, component) = (update.key.service.as_str(), update.key.component.as_str());
    conn.prepare_cached(
        "UPDATE operation_steps SET state = ?4, phase = ?5, progress = ?6, error = ?7
         WHERE operation_id = ?1 AND service = ?2 AND component = ?3",
    )?
    .execute(params![
        update.operation.as_str(),
        service,
        component,
        StepState::Running.as_str(),
        update.phase.as_str(),
        to_json(&update.progress)?,
        update.progress.held_up().unwrap_or_default(),
    ])?;
    conn.prepare_cached("UPDATE operations SET state = ?2 WHERE id = ?1 AND state = ?3")?
        .execute(params![
            update.operation.as_str(),
            OperationState::Running.as_str(),
            OperationState::Accepted.as_str(),
        ])?;
    if let Some(stopping) = instance_json(update.stopping.as_ref())? {
        conn.prepare_cached(
            "UPDATE components SET stopped_instance = ?3 WHERE service = ?1 AND name = ?2",
        )?
        .execute(params![service, component, stopping])?;
    }
    Ok(())
}

fn settle(conn: &Connection, outcome: &StepOutcome, step: &Stored) -> Result<()> {
    let StepOutcome {
        operation,
        key,
        state,
        error,
        at,
    } = outcome;
    end_step(conn, operation, key, *state, error, at.wall)?;
    if *state == StepState::Succeeded {
        match step.kind {
            OperationKind::Deploy => mark_deployed(conn, key, step.revision, at.wall)?,
            OperationKind::Undeploy => remove(conn, key, step.generation, at)?,
            OperationKind::Start | OperationKind::Stop | OperationKind::Restart => {}
        }
    }
    settle_where_done(conn, operation, at.wall)
}

fn mark_deployed(conn: &Connection, key: &ComponentKey, revision: u64, at: Stamp) -> Result<()> {
    let (service, component) = (key.service.as_str(), key.component.as_str());
    conn.prepare_cached(
        "UPDATE components SET deployed_revision = ?3 WHERE service = ?1 AND name = ?2",
    )?
    .execute(params![service, component, signed(revision)])?;
    conn.prepare_cached(
        "UPDATE deployed_specs SET succeeded_at = ?4
         WHERE service = ?1 AND component = ?2 AND revision = ?3",
    )?
    .execute(params![
        service,
        component,
        signed(revision),
        at.to_string()
    ])?;
    Ok(())
}

/// Removes the record of an undeployed component, and its service with the last one. Intent that
/// came while the undeploy was at work keeps the record.
fn remove(conn: &Connection, key: &ComponentKey, generation: u64, at: &Moment) -> Result<()> {
    let (service, component) = (key.service.as_str(), key.component.as_str());
    let removed = conn
        .prepare_cached(
            "DELETE FROM components WHERE service = ?1 AND name = ?2 AND generation = ?3",
        )?
        .execute(params![service, component, signed(generation)])?;
    if removed == 0 {
        return Ok(());
    }
    // What still waits here was accepted with the same intent: that it be down. It is.
    for operation in waiting_on(conn, key)? {
        let why = "its component was undeployed";
        end_step(conn, &operation, key, StepState::Skipped, why, at.wall)?;
        settle_where_done(conn, &operation, at.wall)?;
    }
    // Nobody will look at the key again: an incident left open would pass for that of whatever gets
    // its name next.
    let closed = MomentColumns::from(at);
    conn.prepare_cached(
        "UPDATE incidents SET closed_at = ?3, closed_boot_ms = ?4, closed_boot_id = ?5
         WHERE service = ?1 AND component = ?2 AND closed_at IS NULL",
    )?
    .execute(params![
        service,
        component,
        closed.at,
        closed.boot_ms,
        closed.boot_id
    ])?;
    conn.prepare_cached(
        "DELETE FROM services WHERE name = ?1
         AND NOT EXISTS (SELECT 1 FROM components WHERE service = ?1)",
    )?
    .execute([service])?;
    Ok(())
}
