//! Reading and counting transitions.

use std::time::Duration;

use mcp_model::{ComponentKey, ComponentName, Event, Moment, ServiceName, Stamp};
use rusqlite::{Connection, Result, Row, params};

use super::Database;
use crate::columns::{key, maybe_text, millis, moment_in, text};
use crate::error::RegistryError;

/// Counting stops here: past every threshold, and a storm must not make counting slow.
const MOST_COUNTED: u32 = 10_000;

/// Reads nothing but a range of `idx_events_flaps`.
const COUNT_IN_BOOT: &str = "\
    SELECT COUNT(*) FROM (
        SELECT 1 FROM events
        WHERE counted = 1 AND service = ?1 AND component = ?2 AND boot_id = ?3 AND boot_ms >= ?4
        LIMIT ?5)";

/// Which events to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Of this service only.
    pub service: Option<ServiceName>,
    /// Of the component of this name only.
    pub component: Option<ComponentName>,
    /// Not older than this, by the wall clock.
    pub since: Option<Stamp>,
    /// At most so many.
    pub limit: u32,
}

impl Database {
    /// Events, newest first.
    pub fn events(&self, filter: &EventFilter) -> std::result::Result<Vec<Event>, RegistryError> {
        self.read("read the events", |conn| {
            conn.prepare_cached(&query(filter))?
                .query_map(
                    params![
                        filter.service.as_ref().map(ServiceName::as_str),
                        filter.component.as_ref().map(ComponentName::as_str),
                        filter.since.map(|since| since.to_string()),
                        filter.limit,
                    ],
                    event,
                )?
                .collect()
        })
    }

    /// Counts the transitions of a key within `window` before `now` that count for flapping, up to
    /// ten thousand.
    ///
    /// Within one boot the boot clock decides. What happened in another boot is at least as old as
    /// this boot is, so that stamps from the future cannot count for ever (S34).
    pub fn transitions(
        &self,
        key: &ComponentKey,
        now: &Moment,
        window: Duration,
    ) -> std::result::Result<u32, RegistryError> {
        self.read("count transitions", |conn| {
            let here = counted_in_this_boot(conn, key, now, window)?;
            if now.boot > window {
                return Ok(here);
            }
            Ok((here + counted_before_this_boot(conn, key, now, window)?).min(MOST_COUNTED))
        })
    }
}

/// Only the conditions that are asked for, so that each combination can use its index.
fn query(filter: &EventFilter) -> String {
    let mut all = vec!["1 = 1"];
    if filter.service.is_some() {
        all.push("service = ?1");
    }
    if filter.component.is_some() {
        all.push("component = ?2");
    }
    if filter.since.is_some() {
        all.push("timestamp >= ?3");
    }
    format!(
        "SELECT * FROM events WHERE {} ORDER BY id DESC LIMIT ?4",
        all.join(" AND ")
    )
}

fn event(row: &Row<'_>) -> Result<Event> {
    Ok(Event {
        id: row.get("id")?,
        key: key(row)?,
        prev: text(row, "prev_state")?,
        new: text(row, "new_state")?,
        at: moment_in(row, "timestamp", "")?,
        exit_code: row.get("exit_code")?,
        cause: row.get("cause")?,
        operation: maybe_text(row, "operation_id")?,
    })
}

fn counted_in_this_boot(
    conn: &Connection,
    key: &ComponentKey,
    now: &Moment,
    window: Duration,
) -> Result<u32> {
    conn.prepare_cached(COUNT_IN_BOOT)?.query_row(
        params![
            key.service.as_str(),
            key.component.as_str(),
            now.boot_id.to_string(),
            millis(now.boot.saturating_sub(window)),
            MOST_COUNTED,
        ],
        |row| row.get(0),
    )
}

fn counted_before_this_boot(
    conn: &Connection,
    key: &ComponentKey,
    now: &Moment,
    window: Duration,
) -> Result<u32> {
    let query = "\
        SELECT COUNT(*) FROM (
            SELECT 1 FROM events
            WHERE counted = 1 AND service = ?1 AND component = ?2
                AND boot_id <> ?3 AND timestamp >= ?4
            LIMIT ?5)";
    conn.prepare_cached(query)?.query_row(
        params![
            key.service.as_str(),
            key.component.as_str(),
            now.boot_id.to_string(),
            before(now.wall, window).to_string(),
            MOST_COUNTED,
        ],
        |row| row.get(0),
    )
}

pub(super) fn before(stamp: Stamp, duration: Duration) -> Stamp {
    Stamp::from_millis(stamp.as_millis().saturating_sub(millis(duration)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How `SQLite` says that it will look.
    fn plan(query: &str) -> String {
        let database = Database::in_memory().unwrap();
        let mut statement = database
            .conn
            .prepare(&format!("EXPLAIN QUERY PLAN {query}"))
            .unwrap();
        let places = vec![rusqlite::types::Null; statement.parameter_count()];
        let lines = statement
            .query_map(rusqlite::params_from_iter(places), |row| {
                row.get::<_, String>("detail")
            })
            .unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_flap_count_reads_a_range_of_its_index_and_no_row() {
        let plan = plan(COUNT_IN_BOOT);
        let range = "USING COVERING INDEX idx_events_flaps \
                     (service=? AND component=? AND boot_id=? AND boot_ms>?)";
        assert!(plan.contains(range), "{plan}");
    }

    #[test]
    fn the_newest_events_are_read_without_sorting_a_long_log() {
        let service = Some("a".parse().unwrap());
        let component = Some("b".parse().unwrap());
        for filter in [
            EventFilter::default(),
            EventFilter {
                service: service.clone(),
                ..EventFilter::default()
            },
            EventFilter {
                service,
                component,
                ..EventFilter::default()
            },
        ] {
            let plan = plan(&query(&filter));
            assert!(!plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
            assert_eq!(
                plan.contains("USING INDEX"),
                filter.service.is_some(),
                "{plan}"
            );
        }
    }
}
