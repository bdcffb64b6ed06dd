//! Opening: look without touching, copy what is older, migrate, then work.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::probe::{self, Found};
use super::{Database, Options, backup};
use crate::error::{OpenError, RegistryError};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Page cache of the connection that writes, in KiB.
const WRITER_CACHE: i32 = 2048;
/// Page cache of a connection that reads, in KiB.
const READER_CACHE: i32 = 512;
/// The write-ahead log is cut to this many bytes once it is checkpointed.
const LOG_LIMIT: i64 = 4 * 1024 * 1024;

impl Database {
    /// Opens the registry at `path` for reading and writing, makes it where there is none, and
    /// brings an older one to this release's schema after copying it to `<path>.v<old>.bak`.
    pub fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let is_new = create_where_absent(path)?;
        if !is_new && let Found::Older { version, conn } = probe::probe(path, options)? {
            backup::copy(&conn, path, version)?;
            tracing::info!(from = version, "migrating the registry");
        }
        restrict(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sql = |source| OpenError::Sql {
            path: path.to_owned(),
            source: RegistryError::sql("open the database", source),
        };
        let conn = Connection::open_with_flags(path, flags).map_err(sql)?;
        prepare_writer(&conn, options.busy_timeout).map_err(sql)?;
        let mut database = Self { conn };
        database.migrate(path)?;
        Ok(database)
    }

    /// A registry in memory, for simulations: gone when it is dropped.
    pub fn in_memory() -> Result<Self, OpenError> {
        let path = Path::new(":memory:");
        let conn = Connection::open_in_memory()
            .and_then(|conn| {
                conn.pragma_update(None, "foreign_keys", true)
                    .map(|()| conn)
            })
            .map_err(|source| OpenError::Sql {
                path: path.to_owned(),
                source: RegistryError::sql("open the database", source),
            })?;
        let mut database = Self { conn };
        database.migrate(path)?;
        Ok(database)
    }

    /// Opens a registry that [`Database::open`] has opened before, for reading only.
    pub(crate) fn open_reader(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let conn = Connection::open_with_flags(path, flags)?;
            conn.busy_timeout(options.busy_timeout)?;
            conn.pragma_update(None, "cache_size", -READER_CACHE)?;
            keep_plans(&conn)?;
            Ok(Self { conn })
        };
        open().map_err(|source| OpenError::Sql {
            path: path.to_owned(),
            source: RegistryError::sql("open the database for reading", source),
        })
    }

    fn migrate(&mut self, path: &Path) -> Result<(), OpenError> {
        let from = self.schema_version().map_err(|source| OpenError::Sql {
            path: path.to_owned(),
            source,
        })?;
        if from == probe::SCHEMA {
            return Ok(());
        }
        // Grouped: a migration that fails leaves the schema that was there.
        embedded::migrations::runner()
            .set_grouped(true)
            .run(&mut self.conn)
            .map(|_| ())
            .map_err(|source| OpenError::Migrate {
                path: path.to_owned(),
                from,
                source: Box::new(source),
            })
    }
}

/// Keeps a statement's plan whatever is bound to it. Otherwise `SQLite` compiles a cached statement
/// again for each new value, which was two fifths of the time of a resync of 1,000 components.
fn keep_plans(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

fn prepare_writer(conn: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    conn.busy_timeout(busy_timeout)?;
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        // Seen on network file systems: readers would then block the writer.
        tracing::warn!(
            mode,
            "the registry's file system does not allow a write-ahead log"
        );
    }
    keep_plans(conn)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE)?;
    conn.pragma_update_and_check(None, "journal_size_limit", LOG_LIMIT, |_| Ok(()))
}

/// Makes an empty file with mode 0600 where there is none. Says whether the registry is new.
fn create_where_absent(path: &Path) -> Result<bool, OpenError> {
    let mut make = OpenOptions::new();
    make.write(true).create_new(true).mode(0o600);
    match make.open(path) {
        // The umask may have taken bits that we need.
        Ok(file) => file
            .set_permissions(fs::Permissions::from_mode(0o600))
            .and_then(|()| sync_directory(path))
            .map(|()| true)
            .map_err(file_error("create", path)),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => fs::metadata(path)
            .map(|found| found.is_file() && found.len() == 0)
            .map_err(file_error("look at", path)),
        Err(why) => Err(file_error("create", path)(why)),
    }
}

/// Makes sure that nobody else can read the database, its log or its index. `SQLite` gives the
/// latter two the mode of the former when it makes them.
fn restrict(path: &Path) -> Result<(), OpenError> {
    for suffix in ["", "-wal", "-shm"] {
        let file = beside(path, suffix);
        match fs::metadata(&file) {
            Ok(found) if found.permissions().mode() & 0o7777 != 0o600 => {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600))
                    .map_err(file_error("restrict", &file))?;
            }
            Err(why) if why.kind() != io::ErrorKind::NotFound => {
                return Err(file_error("look at", &file)(why));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The path with something appended to its last part.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}

/// Makes a new or renamed file survive a loss of power.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

pub(super) fn file_error(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File {
        operation,
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_writes_loses_nothing_and_waits_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("mcp.db"), &Options::default()).unwrap();
        let pragma = |name: &str| -> String {
            let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            match database.conn.pragma_query_value(None, name, read).unwrap() {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => panic!("{other:?}"),
            }
        };
        let full = "2";
        for (name, value) in [
            ("journal_mode", "wal"),
            ("synchronous", full),
            ("foreign_keys", "1"),
            ("busy_timeout", "5000"),
        ] {
            assert_eq!(pragma(name), value, "{name}");
        }
    }

    #[test]
    fn the_last_migration_names_its_own_schema() {
        let database = Database::in_memory().unwrap();
        assert_eq!(database.schema_version().unwrap(), probe::SCHEMA);
    }

    #[test]
    fn what_is_written_down_of_migrations_is_what_is_applied() {
        let runner = embedded::migrations::runner();
        let mut all = runner.get_migrations().clone();
        all.sort();
        let applied: Vec<_> = all
            .iter()
            .map(|m| (i64::from(m.version()), m.name(), m.checksum().to_string()))
            .collect();
        let written = probe::MIGRATIONS
            .map(|(version, name, checksum)| (i64::from(version), name, checksum.to_owned()));
        assert_eq!(written.as_slice(), applied);
    }
}
