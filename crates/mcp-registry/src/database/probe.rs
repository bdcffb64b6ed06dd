//! A look at a database file that changes nothing in it.
//!
//! Whatever does not fit is refused here, before the file is opened for writing: a newer schema, a
//! file that is no registry, a damaged one.

use std::path::Path;

use refinery::Migration;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::Options;
use super::open::migrations;
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

/// The newest schema that this release knows.
pub(super) fn known(migrations: &[Migration]) -> u32 {
    migrations
        .iter()
        .filter_map(|m| u32::try_from(m.version()).ok())
        .max()
        .unwrap_or(0)
}

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
    let migrations = migrations();
    let known = known(&migrations);
    let found = applied.iter().map(|a| a.version).max().unwrap_or(0);
    let found = found.max(user_version(&conn).map_err(sql)?);
    if found > known {
        return Err(OpenError::NewerSchema {
            path: path.to_owned(),
            found,
            known,
        });
    }
    check_pages(&conn, path)?;
    check_history(&applied, &migrations).map_err(divergent)?;
    Ok(match found {
        0 => Found::Empty,
        version if version < known => Found::Older { version, conn },
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
fn check_history(applied: &[Applied], migrations: &[Migration]) -> Result<(), String> {
    for (applied, known) in applied.iter().zip(migrations) {
        let fits = i64::from(applied.version) == i64::from(known.version())
            && applied.name.as_deref() == Some(known.name())
            && applied.checksum == Some(known.checksum().to_string());
        if !fits {
            return Err(format!(
                "its migration {} is not this release's {known}",
                applied.version
            ));
        }
    }
    Ok(())
}
