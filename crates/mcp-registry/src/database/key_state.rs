//! Everything that a reconciliation of one key needs, in one snapshot.

use mcp_model::{
    AlertKind, ComponentKey, Incident, IncidentId, KeyState, Moment, OperationKind, Scope, Ticket,
};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::incidents::scope_columns;
use super::{Database, services};
use crate::columns::{count, json, key as key_columns, maybe_moment, moment, text};
use crate::error::RegistryError;

impl Database {
    /// Everything stored about one key. The ticket is the oldest open step, with what was pinned
    /// when it was accepted.
    pub fn load(&self, key: &ComponentKey) -> std::result::Result<KeyState, RegistryError> {
        self.read("read a component", |conn| {
            Ok(KeyState {
                record: services::component(conn, key)?,
                ticket: oldest_ticket(conn, key)?,
                next: second_in_line(conn, key)?,
                incidents: open_incidents(conn, &key.clone().into())?,
                last_told: last_told(conn, &key.clone().into())?,
            })
        })
    }
}

fn oldest_ticket(conn: &Connection, key: &ComponentKey) -> Result<Option<Ticket>> {
    let query = "\
        SELECT s.*, o.id, o.kind, o.caller, o.accepted_at, o.accepted_boot_ms, o.accepted_boot_id,
               d.spec
        FROM operation_steps s
        JOIN operations o ON o.id = s.operation_id
        JOIN deployed_specs d ON d.service = s.service AND d.component = s.component
            AND d.revision = s.revision
        WHERE s.service = ?1 AND s.component = ?2 AND s.state IN ('waiting', 'running')
        ORDER BY o.seq LIMIT 1";
    conn.prepare_cached(query)?
        .query_row(
            params![key.service.as_str(), key.component.as_str()],
            ticket,
        )
        .optional()
}

fn second_in_line(conn: &Connection, key: &ComponentKey) -> Result<Option<OperationKind>> {
    let query = "\
        SELECT o.kind
        FROM operation_steps s JOIN operations o ON o.id = s.operation_id
        WHERE s.service = ?1 AND s.component = ?2 AND s.state IN ('waiting', 'running')
        ORDER BY o.seq LIMIT 1 OFFSET 1";
    conn.prepare_cached(query)?
        .query_row(
            params![key.service.as_str(), key.component.as_str()],
            |row| text(row, "kind"),
        )
        .optional()
}

fn ticket(row: &Row<'_>) -> Result<Ticket> {
    Ok(Ticket {
        operation: text(row, "id")?,
        kind: text(row, "kind")?,
        key: key_columns(row)?,
        desired: text(row, "desired")?,
        spec: json(row, "spec")?,
        revision: count(row, "revision")?,
        generation: count(row, "generation")?,
        caller: row.get("caller")?,
        accepted: moment(row, "accepted")?,
        state: text(row, "state")?,
        progress: json(row, "progress")?,
    })
}

pub(super) fn open_incidents(conn: &Connection, scope: &Scope) -> Result<Vec<Incident>> {
    let (service, component) = scope_columns(scope);
    let query = "\
        SELECT * FROM incidents WHERE service = ?1 AND component = ?2 AND closed_at IS NULL
        ORDER BY seq";
    conn.prepare_cached(query)?
        .query_map(params![service, component], incident)?
        .collect()
}

pub(super) fn incident(row: &Row<'_>) -> Result<Incident> {
    let event = crate::columns::maybe_text(row, "told_event")?;
    Ok(Incident {
        id: IncidentId(row.get("id")?),
        scope: super::incidents::scope(row)?,
        kind: text(row, "kind")?,
        opened: moment(row, "opened")?,
        told: event.zip(maybe_moment(row, "told")?),
        cause: row.get("cause")?,
        desired: text(row, "desired")?,
        observed: text(row, "observed")?,
        covered_by: row.get::<_, Option<String>>("covered_by")?.map(IncidentId),
    })
}

/// Cooldowns outlive the incident that began them. A scope has one incident of a kind at a time, so
/// the youngest that was told of was told of last, whatever the clocks say.
pub(super) fn last_told(conn: &Connection, scope: &Scope) -> Result<Vec<(AlertKind, Moment)>> {
    let (service, component) = scope_columns(scope);
    let query = "\
        SELECT kind, told_at, told_boot_ms, told_boot_id, MAX(seq) FROM incidents
        WHERE service = ?1 AND component = ?2 AND told_at IS NOT NULL
        GROUP BY kind ORDER BY kind";
    conn.prepare_cached(query)?
        .query_map(params![service, component], |row| {
            Ok((text(row, "kind")?, moment(row, "told")?))
        })?
        .collect()
}
