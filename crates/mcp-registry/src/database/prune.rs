//! Removing what is too old to keep, a batch at a time.
//!
//! Old is what is older than the retention by the clock of this boot, or by the wall clock where it
//! is of another boot. The newest of each kind stay whatever a clock says: a wall clock that jumps
//! by years must not empty the history. What anything still refers to stays as well.

use std::time::Duration;

use mcp_model::Moment;
use rusqlite::{Connection, Result, params};

use super::Database;
use super::events::before;
use crate::columns::{MomentColumns, millis};
use crate::error::RegistryError;

/// Rows of a kind that one call looks at, so that other writers get their turns.
const BATCH: u32 = 5_000;
/// Events of a component that are kept at most, whatever their age: one that goes up and down all
/// day fills no disk, and pushes out nobody else's.
const EVENTS: u32 = 100_000;
/// Operations that are kept at least.
const OPERATIONS: u32 = 1_000;
/// Audit records that are kept at least.
const AUDITS: u32 = 10_000;
/// Tokens that are kept at least: so many that a clock which jumps ahead for a while takes no token
/// in use from anybody.
const TOKENS: u32 = 1_000;
/// Specs of a component that are kept at least.
const SPECS: u32 = 10;

impl Database {
    /// Removes events, closed incidents, settled operations, finished audit records and ended tokens
    /// older than `retention` before `now`, and the specs that nothing refers to any more. Says
    /// whether there may be more.
    ///
    /// Of each component, at most the newest 100,000 events stay. At least the newest 1,000
    /// operations, 10,000 audit records, 1,000 tokens and 10 specs of each component stay.
    pub fn prune(
        &mut self,
        now: &Moment,
        retention: Duration,
    ) -> std::result::Result<bool, RegistryError> {
        self.write("prune what is old", |tx| {
            let oldest = Oldest::kept(now, retention);
            let removed = prune_events(tx, &oldest)?
                + prune_excess(tx)?
                + prune_operations(tx, &oldest)?
                + prune_audits(tx, &oldest)?
                + prune_tokens(tx, &oldest)?;
            prune_incidents(tx, &oldest)?;
            prune_specs(tx, &oldest)?;
            Ok(removed > 0)
        })
    }
}

/// The oldest moment that is kept, on both clocks.
struct Oldest {
    wall: String,
    boot_ms: i64,
    boot_id: String,
}

impl Oldest {
    fn kept(now: &Moment, retention: Duration) -> Self {
        Self {
            wall: before(now.wall, retention).to_string(),
            boot_ms: millis(now.boot.saturating_sub(retention)),
            boot_id: MomentColumns::from(now).boot_id,
        }
    }
}

/// Looks at the oldest rows by id only: reading all of a long log to find nothing would cost more
/// than the rows do.
fn prune_events(conn: &Connection, oldest: &Oldest) -> Result<usize> {
    conn.prepare_cached(
        "DELETE FROM events
         WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?4)
             AND CASE WHEN boot_id = ?1 THEN boot_ms < ?2 ELSE timestamp < ?3 END",
    )?
    .execute(params![oldest.boot_id, oldest.boot_ms, oldest.wall, BATCH])
}

/// Counts only where there are so many rows that it may matter.
fn prune_excess(conn: &Connection) -> Result<usize> {
    let ids = "SELECT COALESCE(MAX(id) - MIN(id), 0) FROM events";
    let span: i64 = conn.query_row(ids, [], |row| row.get(0))?;
    if span < i64::from(EVENTS) {
        return Ok(0);
    }
    conn.prepare_cached(
        "DELETE FROM events WHERE id IN (
             SELECT old.id FROM (
                 SELECT service, component FROM events GROUP BY service, component
                 HAVING COUNT(*) > ?1) loud
             JOIN events old ON old.service = loud.service AND old.component = loud.component
                 AND old.id <= (SELECT id FROM events newer
                     WHERE newer.service = loud.service AND newer.component = loud.component
                     ORDER BY id DESC LIMIT 1 OFFSET ?1)
             LIMIT ?2)",
    )?
    .execute([EVENTS, BATCH])
}

/// The last incident of a kind that was told of stays: cooldowns run from it. So does one with a
/// message that is yet to be sent: that goes with it (S31).
fn prune_incidents(conn: &Connection, oldest: &Oldest) -> Result<usize> {
    conn.prepare_cached(
        "DELETE FROM incidents
         WHERE closed_at IS NOT NULL
             AND CASE WHEN closed_boot_id = ?1 THEN closed_boot_ms < ?2 ELSE closed_at < ?3 END
             AND (told_at IS NULL OR EXISTS (
                 SELECT 1 FROM incidents newer
                 WHERE newer.service = incidents.service AND newer.component = incidents.component
                     AND newer.kind = incidents.kind AND newer.told_at IS NOT NULL
                     AND newer.seq > incidents.seq))
             AND NOT EXISTS (SELECT 1 FROM alerts a
                 WHERE a.incident_id = incidents.id AND a.outcome IS NULL)",
    )?
    .execute(params![oldest.boot_id, oldest.boot_ms, oldest.wall])
}

/// With their steps. One that was accepted in this boot is as old as this boot's clock says.
fn prune_operations(conn: &Connection, oldest: &Oldest) -> Result<usize> {
    conn.prepare_cached(
        "DELETE FROM operations
         WHERE seq IN (SELECT seq FROM operations ORDER BY seq LIMIT ?4)
             AND seq < (SELECT seq FROM operations ORDER BY seq DESC LIMIT 1 OFFSET ?5)
             AND finished_at IS NOT NULL
             AND CASE WHEN accepted_boot_id = ?1 THEN accepted_boot_ms < ?2
                 ELSE finished_at < ?3 END",
    )?
    .execute(params![
        oldest.boot_id,
        oldest.boot_ms,
        oldest.wall,
        BATCH,
        OPERATIONS - 1
    ])
}

/// A record whose operation is kept is kept with it.
fn prune_audits(conn: &Connection, oldest: &Oldest) -> Result<usize> {
    conn.prepare_cached(
        "DELETE FROM audit
         WHERE id IN (SELECT id FROM audit ORDER BY id LIMIT ?2)
             AND id < (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?3)
             AND outcome IS NOT NULL AND at < ?1
             AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.id = audit.operation_id)",
    )?
    .execute(params![oldest.wall, BATCH, AUDITS - 1])
}

/// Those that were revoked or have expired. Who shows one that is gone is refused as before, as
/// somebody unknown.
fn prune_tokens(conn: &Connection, oldest: &Oldest) -> Result<usize> {
    conn.prepare_cached(
        "DELETE FROM tokens
         WHERE rowid IN (SELECT rowid FROM tokens
                 WHERE min(expires_at, coalesce(revoked_at, expires_at)) < ?1 LIMIT ?2)
             AND rowid < (SELECT rowid FROM tokens ORDER BY rowid DESC LIMIT 1 OFFSET ?3)",
    )?
    .execute(params![oldest.wall, BATCH, TOKENS - 1])
}

/// Kept are the spec that is wanted, the one that was deployed last (S11), the one that the
/// container was made from (S7), and those of every operation that is kept.
fn prune_specs(conn: &Connection, oldest: &Oldest) -> Result<usize> {
    conn.prepare_cached(
        "DELETE FROM deployed_specs AS old
         WHERE first_used_at < ?1
             AND revision < (SELECT newer.revision FROM deployed_specs newer
                 WHERE newer.service = old.service AND newer.component = old.component
                 ORDER BY newer.revision DESC LIMIT 1 OFFSET ?2)
             AND NOT EXISTS (SELECT 1 FROM components c
                 WHERE c.service = old.service AND c.name = old.component
                     AND old.revision IN (c.revision, c.deployed_revision, c.made_from_revision))
             AND NOT EXISTS (SELECT 1 FROM operation_steps s
                 JOIN operations o ON o.id = s.operation_id
                 WHERE o.service = old.service AND s.component = old.component
                     AND s.revision = old.revision)",
    )?
    .execute(params![oldest.wall, SPECS - 1])
}
