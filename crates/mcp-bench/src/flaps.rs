//! Counting the transitions of one component in an event log of a million rows.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mcp_agent::adapters::clock::SystemClock;
use mcp_controller::port::Clock as _;
use mcp_model::{ComponentKey, Moment};
use mcp_registry::{Database, Options};
use rusqlite::{Connection, params};

use crate::report::{Row, millis, say};
use crate::samples::Samples;

const ROWS: u32 = 1_000_000;
const KEYS: u32 = 1_000;
/// So many of them are one component's, all within the window.
const STORM: u32 = 1_000;
const WINDOW: Duration = Duration::from_mins(10);
const QUERIES: usize = 1_000;

/// Measures it.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let dir = tempfile::tempdir().context("cannot make a folder")?;
    let path = dir.path().join("mcp.db");
    let now = later(SystemClock::new().now());
    drop(Database::open(&path, &Options::default())?);
    fill(&path, &now).context("cannot fill the event log")?;
    say(&format!("{ROWS} rows written"));

    let database = Database::open(&path, &Options::default())?;
    let quiet = query(&database, "s7/c7", &now, 0)?;
    let storm = query(&database, "storm/storm", &now, STORM)?;
    let row = |what: &str, samples: &Samples| {
        let p99 = samples.percentile(99);
        Row::new(what, millis(p99)).at_most(p99, 1.0, " ms")
    };
    Ok(vec![
        row("flap query, 1 M events, a quiet component, p99", &quiet),
        row("flap query, 1 M events, 1,000 in the window, p99", &storm),
    ])
}

/// Long enough after the start of a machine for a window to lie within one boot.
fn later(mut now: Moment) -> Moment {
    now.boot += WINDOW * 2;
    now
}

fn fill(path: &Path, now: &Moment) -> rusqlite::Result<()> {
    let mut conn = Connection::open(path)?;
    let tx = conn.transaction()?;
    {
        let mut insert = tx.prepare(
            "INSERT INTO events (service, component, prev_state, new_state, timestamp, cause,
                 counted, boot_ms, boot_id)
             VALUES (?1, ?2, 'running', 'exited', ?3, 'exit code 1', 1, ?4, ?5)",
        )?;
        let (at, boot) = (now.wall.to_string(), now.boot_id.to_string());
        let boot_ms = i64::try_from(now.boot.as_millis()).unwrap_or(i64::MAX);
        let window_ms = i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX);
        for n in 0..ROWS - STORM {
            let key = n % KEYS;
            let (service, component) = (format!("s{key}"), format!("c{key}"));
            // All of them before the window, in order.
            let ms = boot_ms - window_ms - i64::from((ROWS - n) / KEYS) - 1;
            insert.execute(params![service, component, at, ms, boot])?;
        }
        for n in 0..STORM {
            let ms = boot_ms - i64::from(STORM - n);
            insert.execute(params!["storm", "storm", at, ms, boot])?;
        }
    }
    tx.commit()
}

fn query(database: &Database, key: &str, now: &Moment, expected: u32) -> Result<Samples> {
    let key: ComponentKey = key.parse()?;
    let mut samples = Samples::default();
    for _ in 0..QUERIES {
        let started = Instant::now();
        let counted = database.transitions(&key, now, WINDOW)?;
        samples.push(started.elapsed());
        if counted != expected {
            bail!("{key}: counted {counted} transitions instead of {expected}");
        }
    }
    Ok(samples)
}
