//! Whether a database is written to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags};

/// Whether anybody writes to a database, seen from a connection of one's own.
pub(crate) struct Written {
    conn: Connection,
    version: i64,
    log: (u64, Option<SystemTime>),
    path: PathBuf,
}

impl Written {
    /// Looks at a database for the first time.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .context("cannot open the registry beside the agent")?;
        let mut written = Self {
            conn,
            version: 0,
            log: (0, None),
            path: path.with_extension("db-wal"),
        };
        written.since_last_look()?;
        Ok(written)
    }

    /// Whether anything was written since the last look.
    pub(crate) fn since_last_look(&mut self) -> Result<bool> {
        let version: i64 = self
            .conn
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .context("cannot ask the registry for its version")?;
        let log = match fs::metadata(&self.path) {
            Ok(log) => (log.len(), log.modified().ok()),
            Err(_) => (0, None),
        };
        let changed = (version, log) != (self.version, self.log);
        (self.version, self.log) = (version, log);
        Ok(changed)
    }
}
