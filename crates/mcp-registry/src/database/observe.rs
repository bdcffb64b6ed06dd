//! Storing what was observed.

use mcp_model::{ComponentKey, NewEvent, ObservationChange};
use rusqlite::{Connection, Result, params};

use super::Database;
use crate::columns::{MomentColumns, instance_json, signed};
use crate::error::RegistryError;

impl Database {
    /// Stores what was observed of a key and the transitions that led there. A key without a
    /// record is not observed: nothing is stored for it.
    pub fn observe(
        &mut self,
        change: &ObservationChange,
    ) -> std::result::Result<(), RegistryError> {
        self.write("store an observation", |tx| {
            if !store_state(tx, change)? {
                return Ok(());
            }
            link_container(tx, change)?;
            if change.outlived_stop {
                forget_stop(tx, &change.key)?;
            }
            change
                .events
                .iter()
                .try_for_each(|event| store_event(tx, event))
        })
    }
}

/// Says whether the key has a record.
fn store_state(conn: &Connection, change: &ObservationChange) -> Result<bool> {
    let since = MomentColumns::from(&change.since);
    let updated = conn
        .prepare_cached(
            "UPDATE components SET observed_state = ?3, observed_since_at = ?4,
                 observed_since_boot_ms = ?5, observed_since_boot_id = ?6, instance = ?7,
                 exit_code = ?8, version = ?9, updated_at = ?4
             WHERE service = ?1 AND name = ?2",
        )?
        .execute(params![
            change.key.service.as_str(),
            change.key.component.as_str(),
            change.observed.as_str(),
            since.at,
            since.boot_ms,
            since.boot_id,
            instance_json(change.instance.as_ref())?,
            change.exit_code,
            change.version,
        ])?;
    Ok(updated > 0)
}

fn forget_stop(conn: &Connection, key: &ComponentKey) -> Result<()> {
    conn.prepare_cached(
        "UPDATE components SET stopped_instance = NULL WHERE service = ?1 AND name = ?2",
    )?
    .execute([key.service.as_str(), key.component.as_str()])?;
    Ok(())
}

/// Links the container that belongs to the key. Where its labels do not tell the revision, what is
/// known of the same container stays.
fn link_container(conn: &Connection, change: &ObservationChange) -> Result<()> {
    let ComponentKey { service, component } = &change.key;
    let (id, revision) = match &change.container {
        Some((id, revision)) => (Some(id.as_str()), revision.map(signed)),
        None => (None, None),
    };
    conn.prepare_cached(
        "UPDATE components SET
             made_from_revision = CASE WHEN ?4 IS NULL AND container_id IS ?3 THEN made_from_revision
                                       ELSE ?4 END,
             container_id = ?3
         WHERE service = ?1 AND name = ?2",
    )?
    .execute(params![service.as_str(), component.as_str(), id, revision])?;
    Ok(())
}

fn store_event(conn: &Connection, new: &NewEvent) -> Result<()> {
    let at = MomentColumns::from(&new.event.at);
    conn.prepare_cached(
        "INSERT INTO events (service, component, prev_state, new_state, timestamp, exit_code,
             cause, operation_id, counted, boot_ms, boot_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        new.event.key.service.as_str(),
        new.event.key.component.as_str(),
        new.event.prev.as_str(),
        new.event.new.as_str(),
        at.at,
        new.event.exit_code,
        new.event.cause,
        new.event
            .operation
            .as_ref()
            .map(mcp_model::OperationId::as_str),
        new.counted,
        at.boot_ms,
        at.boot_id,
    ])?;
    Ok(())
}
