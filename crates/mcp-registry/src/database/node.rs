//! What is stored about the node as a whole (S31).

use mcp_model::{BootId, IncidentChange, IncidentId, NodeState, Scope};
use rusqlite::{Connection, OptionalExtension as _, Result};

use super::{Database, incidents, key_state};
use crate::columns::{key, text};
use crate::error::RegistryError;

impl Database {
    /// Everything stored about the node: its open incidents, and whom they stand for.
    pub fn node(&self) -> std::result::Result<NodeState, RegistryError> {
        self.read("read what stands about the node", |conn| {
            Ok(NodeState {
                boot: boot(conn)?,
                incidents: key_state::open_incidents(conn, &Scope::Node)?,
                covered: covered(conn)?,
                last_told: key_state::last_told(conn, &Scope::Node)?,
            })
        })
    }

    /// Stores that the beginning of a boot was dealt with, together with what came of it.
    pub fn booted(
        &mut self,
        boot: BootId,
        changes: &[IncidentChange],
    ) -> std::result::Result<(), RegistryError> {
        self.write("store the boot", |tx| {
            tx.prepare_cached(
                "INSERT INTO meta (key, value) VALUES ('boot_id', ?1)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?
            .execute([boot.to_string()])?;
            incidents::store(tx, changes)
        })
    }
}

fn boot(conn: &Connection) -> Result<Option<BootId>> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = 'boot_id'")?
        .query_row([], |row| text(row, "value"))
        .optional()
}

fn covered(conn: &Connection) -> Result<Vec<(IncidentId, mcp_model::ComponentKey)>> {
    let query = "\
        SELECT service, component, covered_by FROM incidents
        WHERE covered_by IS NOT NULL AND closed_at IS NULL ORDER BY service, component";
    conn.prepare_cached(query)?
        .query_map([], |row| {
            Ok((IncidentId(row.get("covered_by")?), key(row)?))
        })?
        .collect()
}
