//! A look at a database file that changes nothing in it.
//!
//! Whatever does not fit is refused here, before the file is opened for writing: a newer schema, a
//! file that is no registry, a damaged one.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::Options;
use crate::error::{OpenError, RegistryError};

const HISTORY: &str = "refinery_schema_history";

/// What there is.
pub(super) enum Found {
    /// No tables yet: an opening that was interrupted.
    Empty,
    /// A registry of this release's schema.
    Current,
    /// A registry of an older schema, with the connection that looked at it.
    Older {
        /// Its schema.
        version: u32,
        /// Reads it.
        conn: Connection,
    },
}

/// One applied migration, as the file tells it.
struct Applied {
    version: u32,
    name: Option<String>,
    checksum: Option<String>,
}

/// A migration of this release, as a registry remembers it: version, name and checksum.
pub(super) type Known = (u32, &'static str, &'static str);

/// The migrations of this release, in order; they are only ever added to. Written down, since to have
/// refinery take in its own costs time at each start, and for good the half MiB of a regular
/// expression: that is left for registries that have to be migrated.
pub(super) const MIGRATIONS: [Known; 5] = [
    (1, "origin_tables", "13263998407144189576"),
    (2, "control_plane", "2396364724033538269"),
    (3, "intent_origin", "13500580132087949964"),
    (4, "node_incidents", "14755389741062971548"),
    (5, "closed_on_both_clocks", "14335572950257498096"),
];

/// The newest schema that this release knows.
pub(super) const SCHEMA: u32 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Looks at the file and refuses what this release must not touch.
pub(super) fn probe(path: &Path, options: &Options) -> Result<Found, OpenError> {
    let sql = |source: rusqlite::Error| refuse(path, source);
    let conn = open_untouched(path, options).map_err(sql)?;
    if count(&conn, "SELECT COUNT(*) FROM sqlite_schema").map_err(sql)? == 0 {
        return Ok(Found::Empty);
    }
    let divergent = |why: String| OpenError::Divergent {
        path: path.to_owned(),
        why,
    };
    let with_history =
        format!("SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = '{HISTORY}'");
    if count(&conn, &with_history).map_err(sql)? == 0 {
        return Err(divergent(
            "it holds tables, but no history of migrations".into(),
        ));
    }
    let applied = applied(&conn).map_err(sql)?;
    let found = applied.iter().map(|a| a.version).max().unwrap_or(0);
    let found = found.max(user_version(&conn).map_err(sql)?);
    if found > SCHEMA {
        return Err(OpenError::NewerSchema {
            path: path.to_owned(),
            found,
            known: SCHEMA,
        });
    }
    check_pages(&conn, path)?;
    check_history(&applied).map_err(divergent)?;
    Ok(match found {
        0 => Found::Empty,
        version if version < SCHEMA => Found::Older { version, conn },
        _ => Found::Current,
    })
}

fn open_untouched(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(options.busy_timeout)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(conn)
}

fn refuse(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match RegistryError::sql("look at the database", source) {
        RegistryError::Corrupt { source, .. } => OpenError::Corrupt {
            path,
            why: source.to_string(),
        },
        source => OpenError::Sql { path, source },
    }
}

fn count(conn: &Connection, query: &str) -> rusqlite::Result<i64> {
    conn.query_row(query, [], |row| row.get(0))
}

fn user_version(conn: &Connection) -> rusqlite::Result<u32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn applied(conn: &Connection) -> rusqlite::Result<Vec<Applied>> {
    let query = format!("SELECT version, name, checksum FROM {HISTORY} ORDER BY version");
    conn.prepare(&query)?
        .query_map([], |row| {
            Ok(Applied {
                version: row.get(0)?,
                name: row.get(1)?,
                checksum: row.get(2)?,
            })
        })?
        .collect()
}

/// Reads every page: damage is told now, and not at the first change of what is damaged.
fn check_pages(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let verdict: String = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| refuse(path, source))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(OpenError::Corrupt {
        path: path.to_owned(),
        why: verdict,
    })
}

/// What was applied must be what this release would have applied, without gaps.
fn check_history(applied: &[Applied]) -> Result<(), String> {
    for (applied, (version, name, checksum)) in applied.iter().zip(MIGRATIONS) {
        let fits = applied.version == version
            && applied.name.as_deref() == Some(name)
            && applied.checksum.as_deref() == Some(checksum);
        if !fits {
            return Err(format!(
                "its migration {} is not this release's V{version}__{name}",
                applied.version
            ));
        }
    }
    Ok(())
}
