//! Incidents, and the messages about them, which are stored before they are sent (S31).

use mcp_model::{Alert, Incident, IncidentChange, IncidentId, Moment, Scope};
use rusqlite::{Connection, Result, Row, params};

use super::Database;
use crate::columns::{MomentColumns, key, moment, text};
use crate::error::RegistryError;

impl Database {
    /// Stores changes of incidents together with the messages that they make necessary.
    pub fn incidents(
        &mut self,
        changes: &[IncidentChange],
    ) -> std::result::Result<(), RegistryError> {
        self.write("store incidents", |tx| store(tx, changes))
    }

    /// Messages that are stored and not known to be delivered: the oldest of each incident, so that
    /// none overtakes another of its incident; oldest first, at most `most`.
    pub fn undelivered(&self, most: u32) -> std::result::Result<Vec<(i64, Alert)>, RegistryError> {
        self.read("read undelivered alerts", |conn| {
            let query = "\
                SELECT * FROM alerts WHERE outcome IS NULL AND id IN (
                    SELECT MIN(id) FROM alerts WHERE outcome IS NULL GROUP BY incident_id)
                ORDER BY id LIMIT ?1";
            conn.prepare_cached(query)?
                .query_map([most], |row| Ok((row.get("id")?, alert(row)?)))?
                .collect()
        })
    }

    /// Stores what became of a message.
    pub fn delivered(&mut self, id: i64, outcome: &str) -> std::result::Result<(), RegistryError> {
        self.write("store the outcome of an alert", |tx| {
            tx.prepare_cached(
                "UPDATE alerts SET outcome = ?2, delivered_at = strftime('%Y-%m-%d %H:%M:%f', 'now')
                 WHERE id = ?1",
            )?
            .execute(params![id, outcome])?;
            Ok(())
        })
    }
}

/// Stores changes within a transaction.
pub(super) fn store(conn: &Connection, changes: &[IncidentChange]) -> Result<()> {
    for change in changes {
        store_incident(conn, &change.incident, change.closed.as_ref())?;
        if let Some(alert) = &change.alert {
            store_alert(conn, alert)?;
        }
    }
    Ok(())
}

fn store_incident(conn: &Connection, incident: &Incident, closed: Option<&Moment>) -> Result<()> {
    let (service, component) = scope_columns(&incident.scope);
    let opened = MomentColumns::from(&incident.opened);
    let told = incident
        .told
        .as_ref()
        .map(|(event, at)| (event, MomentColumns::from(at)));
    let closed = closed.map(MomentColumns::from);
    conn.prepare_cached(
        "INSERT INTO incidents (id, service, component, kind, opened_at, opened_boot_ms,
             opened_boot_id, told_event, told_at, told_boot_ms, told_boot_id, cause, desired,
             observed, covered_by, closed_at, closed_boot_ms, closed_boot_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
         ON CONFLICT (id) DO UPDATE SET
             told_event = excluded.told_event, told_at = excluded.told_at,
             told_boot_ms = excluded.told_boot_ms, told_boot_id = excluded.told_boot_id,
             cause = excluded.cause, desired = excluded.desired, observed = excluded.observed,
             covered_by = excluded.covered_by, closed_at = excluded.closed_at,
             closed_boot_ms = excluded.closed_boot_ms, closed_boot_id = excluded.closed_boot_id",
    )?
    .execute(params![
        incident.id.0,
        service,
        component,
        incident.kind.as_str(),
        opened.at,
        opened.boot_ms,
        opened.boot_id,
        told.as_ref().map(|(event, _)| event.as_str()),
        told.as_ref().map(|(_, at)| &at.at),
        told.as_ref().map(|(_, at)| at.boot_ms),
        told.as_ref().map(|(_, at)| &at.boot_id),
        incident.cause,
        incident.desired.as_str(),
        incident.observed.as_str(),
        incident.covered_by.as_ref().map(|id| &id.0),
        closed.as_ref().map(|at| &at.at),
        closed.as_ref().map(|at| at.boot_ms),
        closed.as_ref().map(|at| &at.boot_id),
    ])?;
    Ok(())
}

/// What is about the node has neither service nor component.
pub(super) fn scope_columns(scope: &Scope) -> (&str, &str) {
    scope.key().map_or(("", ""), |key| {
        (key.service.as_str(), key.component.as_str())
    })
}

pub(super) fn scope(row: &Row<'_>) -> Result<Scope> {
    if row.get_ref("service")?.as_str()?.is_empty() {
        return Ok(Scope::Node);
    }
    key(row).map(Scope::Component)
}

fn store_alert(conn: &Connection, alert: &Alert) -> Result<()> {
    let (service, component) = scope_columns(&alert.scope);
    let at = MomentColumns::from(&alert.at);
    conn.prepare_cached(
        "INSERT INTO alerts (incident_id, event, kind, service, component, desired, observed, prev,
             seen_at, seen_boot_ms, seen_boot_id, exit_code, reason, transitions)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        alert.incident.0,
        alert.event.as_str(),
        alert.kind.as_str(),
        service,
        component,
        alert.desired.as_str(),
        alert.observed.as_str(),
        alert.prev.as_str(),
        at.at,
        at.boot_ms,
        at.boot_id,
        alert.exit_code,
        alert.reason,
        alert.transitions,
    ])?;
    Ok(())
}

fn alert(row: &Row<'_>) -> Result<Alert> {
    Ok(Alert {
        incident: IncidentId(row.get("incident_id")?),
        event: text(row, "event")?,
        kind: text(row, "kind")?,
        scope: scope(row)?,
        desired: text(row, "desired")?,
        observed: text(row, "observed")?,
        prev: text(row, "prev")?,
        at: moment(row, "seen")?,
        exit_code: row.get("exit_code")?,
        reason: row.get("reason")?,
        transitions: row.get("transitions")?,
    })
}
