//! Accepting an operation: intent, permission and audit in one transaction (S12, S42).

use mcp_model::operation::START_BY;
use mcp_model::{
    ComponentKey, Moment, OperationId, OperationKind, OperationRequest, OperationState,
    ServiceName, Stamp,
};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::audit::{self, NewAudit};
use super::{Database, intent, operations, services};
use crate::columns::{MomentColumns, signed, text, to_json};
use crate::decide::{
    Accepted, AcceptedStep, Decision, Known, PlannedStep, check_overwrites, decide,
};
use crate::error::{AcceptError, RegistryError};

const OPERATION: &str = "accept an operation";

impl Database {
    /// Stores an operation with its intent, its steps and its audit record, all or nothing. A
    /// repeated id of the same kind and service attaches to what is there (S12).
    pub fn accept(
        &mut self,
        request: &OperationRequest,
    ) -> std::result::Result<Accepted, AcceptError> {
        let sql = |source| RegistryError::sql(OPERATION, source);
        self.try_write(OPERATION, |tx| {
            let (kind, service) = (request.request.kind(), request.request.service());
            match identity(tx, &request.id).map_err(sql)? {
                Some(found) if found == (kind, service.clone()) => {
                    return Ok(attach(tx, &request.id, service).map_err(sql)?);
                }
                Some((kind, service)) => {
                    let id = request.id.clone();
                    return Err(AcceptError::IdTaken { id, kind, service });
                }
                None => {}
            }
            let known = known(tx, service).map_err(sql)?;
            let decision = decide(&request.request, &known)?;
            // Stop and start are about what is wanted now; they say so themselves.
            if kind == OperationKind::Deploy && !request.force {
                let change = (&decision.change, known.service.as_ref());
                check_overwrites([change], &request.origin, request.at)?;
            }
            Ok(store(tx, request, decision).map_err(sql)?)
        })
    }
}

fn identity(conn: &Connection, id: &OperationId) -> Result<Option<(OperationKind, ServiceName)>> {
    conn.prepare_cached("SELECT kind, service FROM operations WHERE id = ?1")?
        .query_row([id.as_str()], |row| {
            Ok((text(row, "kind")?, text(row, "service")?))
        })
        .optional()
}

fn attach(conn: &Connection, id: &OperationId, service: &ServiceName) -> Result<Accepted> {
    let steps = operations::steps(conn, id)?
        .into_iter()
        .map(|step| AcceptedStep {
            key: ComponentKey::new(service.clone(), step.component),
            state: step.state,
            unchanged: step.unchanged,
            reason: step.error,
        });
    Ok(Accepted {
        operation: id.clone(),
        attached: true,
        steps: steps.collect(),
        orphaned: Vec::new(),
        warnings: Vec::new(),
    })
}

fn known(conn: &Connection, service: &ServiceName) -> Result<Known> {
    Ok(Known {
        service: services::service(conn, service)?,
        keys: services::recorded_keys(conn)?,
    })
}

fn store(conn: &Connection, request: &OperationRequest, decision: Decision) -> Result<Accepted> {
    // Intent first: it makes older steps pointless, and must not meet the new ones.
    intent::apply(conn, &decision.change, &request.origin, &request.at)?;
    insert_operation(
        conn,
        &Entry {
            id: &request.id,
            kind: request.request.kind(),
            service: request.request.service(),
            caller: &request.origin.caller,
            message: &request.message,
            at: request.at,
        },
    )?;
    for step in &decision.steps {
        pin(conn, step, request.at.wall)?;
        insert_step(conn, &request.id, step, request.at.wall)?;
    }
    audit::insert(
        conn,
        &NewAudit {
            at: request.at.wall,
            origin: request.origin.clone(),
            operation: Some(request.id.clone()),
            object: request.request.service().to_string(),
            message: request.message.clone(),
        },
    )?;
    Ok(Accepted {
        operation: request.id.clone(),
        attached: false,
        orphaned: decision
            .change
            .components
            .iter()
            .filter(|c| c.is_newly_orphaned())
            .map(|c| c.key.clone())
            .collect(),
        warnings: decision.warnings,
        steps: decision
            .steps
            .into_iter()
            .map(|step| AcceptedStep {
                key: step.key,
                state: step.state,
                unchanged: step.unchanged,
                reason: step.reason,
            })
            .collect(),
    })
}

/// The row of an operation.
pub(super) struct Entry<'a> {
    pub(super) id: &'a OperationId,
    pub(super) kind: OperationKind,
    pub(super) service: &'a ServiceName,
    pub(super) caller: &'a str,
    pub(super) message: &'a str,
    pub(super) at: Moment,
}

pub(super) fn insert_operation(conn: &Connection, entry: &Entry<'_>) -> Result<()> {
    let at = MomentColumns::from(&entry.at);
    conn.prepare_cached(
        "INSERT INTO operations (id, kind, service, state, caller, message,
             accepted_at, accepted_boot_ms, accepted_boot_id, start_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        entry.id.as_str(),
        entry.kind.as_str(),
        entry.service.as_str(),
        OperationState::Accepted.as_str(),
        entry.caller,
        entry.message,
        at.at,
        at.boot_ms,
        at.boot_id,
        entry.at.plus(START_BY).wall.to_string(),
    ])?;
    Ok(())
}

/// Keeps what the revision stands for. A revision never changes its meaning.
pub(super) fn pin(conn: &Connection, step: &PlannedStep, at: Stamp) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO deployed_specs (service, component, revision, spec, first_used_at)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        step.key.service.as_str(),
        step.key.component.as_str(),
        signed(step.revision),
        to_json(&step.spec)?,
        at.to_string(),
    ])?;
    Ok(())
}

pub(super) fn insert_step(
    conn: &Connection,
    operation: &OperationId,
    step: &PlannedStep,
    at: Stamp,
) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO operation_steps (operation_id, service, component, state, error, desired,
             revision, generation, unchanged, finished_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        operation.as_str(),
        step.key.service.as_str(),
        step.key.component.as_str(),
        step.state.as_str(),
        step.reason,
        step.desired.as_str(),
        signed(step.revision),
        signed(step.generation),
        step.unchanged,
        step.state.is_settled().then(|| at.to_string()),
    ])?;
    Ok(())
}
