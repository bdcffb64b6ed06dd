//! Writing intent: service rows, component rows, and the documented columns and tables beside the
//! spec.

use mcp_model::{ComponentKey, Moment, Origin};
use rusqlite::{Connection, Result, params};

use super::operations;
use crate::columns::{MomentColumns, signed, to_json};
use crate::decide::{Aspect, ComponentChange, ServiceChange};

/// Writes what changes and nothing else; makes pointless what waits on the keys with new intent.
pub(super) fn apply(
    conn: &Connection,
    change: &ServiceChange,
    by: &Origin,
    at: &Moment,
) -> Result<()> {
    if !change.is_change() {
        return Ok(());
    }
    write_service(conn, change, at)?;
    for component in &change.components {
        write_component(conn, component, by, at)?;
        if component.is_in(Aspect::New) || component.is_in(Aspect::Spec) {
            project(conn, component)?;
        }
    }
    let new_intent = change.components.iter().filter(|c| c.is_new_intent());
    operations::supersede(conn, new_intent.map(|c| &c.key), at.wall)
}

fn write_service(conn: &Connection, change: &ServiceChange, at: &Moment) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO services (name, active, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (name) DO UPDATE SET active = excluded.active, updated_at = excluded.updated_at",
    )?
    .execute(params![change.service.as_str(), change.active, at.wall.to_string()])?;
    Ok(())
}

fn write_component(
    conn: &Connection,
    change: &ComponentChange,
    by: &Origin,
    at: &Moment,
) -> Result<()> {
    let now = MomentColumns::from(at);
    conn.prepare_cached(
        "INSERT INTO components (service, name, image, desired_state, created_at, updated_at)
         VALUES (?1, ?2, '', '', ?3, ?3) ON CONFLICT (service, name) DO NOTHING",
    )?
    .execute(params![
        change.key.service.as_str(),
        change.key.component.as_str(),
        now.at
    ])?;
    conn.prepare_cached(
        "UPDATE components SET desired_state = ?3, spec = ?4, revision = ?5, generation = ?6,
             orphaned = ?7, updated_at = ?8
         WHERE service = ?1 AND name = ?2",
    )?
    .execute(params![
        change.key.service.as_str(),
        change.key.component.as_str(),
        change.desired.as_str(),
        to_json(&change.spec)?,
        signed(change.revision),
        signed(change.generation),
        change.orphaned,
        now.at,
    ])?;
    if !change.is_new_intent() {
        return Ok(());
    }
    conn.prepare_cached(
        "UPDATE components SET intent_at = ?3, intent_boot_ms = ?4, intent_boot_id = ?5,
             intent_by = ?6
         WHERE service = ?1 AND name = ?2",
    )?
    .execute(params![
        change.key.service.as_str(),
        change.key.component.as_str(),
        now.at,
        now.boot_ms,
        now.boot_id,
        by.name(),
    ])?;
    Ok(())
}

/// Writes the documented columns and tables as this release understands the spec: what an operator
/// reads with plain SQL.
fn project(conn: &Connection, change: &ComponentChange) -> Result<()> {
    let (service, component) = (change.key.service.as_str(), change.key.component.as_str());
    let spec = change.spec.effective();
    conn.prepare_cached(
        "UPDATE components SET image = ?3, network = ?4, user_spec = ?5, restart = ?6
         WHERE service = ?1 AND name = ?2",
    )?
    .execute(params![
        service,
        component,
        spec.image.as_str(),
        spec.network,
        spec.user,
        spec.restart.to_string(),
    ])?;
    clear_lists(conn, &change.key)?;
    for port in spec.ports {
        conn.prepare_cached("INSERT INTO component_ports VALUES (?1, ?2, ?3)")?
            .execute(params![service, component, port.as_str()])?;
    }
    for volume in spec.volumes {
        conn.prepare_cached("INSERT INTO component_volumes VALUES (?1, ?2, ?3)")?
            .execute(params![service, component, volume.as_str()])?;
    }
    for (position, arg) in (0_i64..).zip(spec.cmd) {
        conn.prepare_cached("INSERT INTO component_cmd VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![service, component, position, arg])?;
    }
    for (name, value) in spec.env {
        conn.prepare_cached("INSERT INTO component_env VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![service, component, name.as_str(), value])?;
    }
    Ok(())
}

fn clear_lists(conn: &Connection, key: &ComponentKey) -> Result<()> {
    for table in [
        "component_ports",
        "component_volumes",
        "component_cmd",
        "component_env",
    ] {
        conn.prepare_cached(&format!(
            "DELETE FROM {table} WHERE service = ?1 AND component = ?2"
        ))?
        .execute(params![key.service.as_str(), key.component.as_str()])?;
    }
    Ok(())
}
