//! The copy that is made before a migration.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::ffi::SQLITE_BUSY;
use rusqlite::{Connection, OpenFlags};

use super::open::{beside, file_error, sync_directory};
use crate::error::{OpenError, RegistryError};

/// Copies the database behind `conn` to `<path>.v<version>.bak`, mode 0600. The copy takes that
/// name only when it is complete.
pub(super) fn copy(conn: &Connection, path: &Path, version: u32) -> Result<(), OpenError> {
    let target = beside(path, &format!(".v{version}.bak"));
    let partial = beside(&target, ".partial");
    match fs::remove_file(&partial) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            return Err(file_error("clear", &partial)(why));
        }
        _ => {}
    }
    let mut make = OpenOptions::new();
    make.write(true).create_new(true).mode(0o600);
    let file = make
        .open(&partial)
        .map_err(file_error("create", &partial))?;
    copy_pages(conn, &partial).map_err(|source| OpenError::Sql {
        path: path.to_owned(),
        source: RegistryError::sql("copy the database", source),
    })?;
    file.sync_all()
        .and_then(|()| fs::rename(&partial, &target))
        .and_then(|()| sync_directory(&target))
        .map_err(file_error("write", &target))
}

fn copy_pages(from: &Connection, to: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut to = Connection::open_with_flags(to, flags)?;
    let step = Backup::new(from, &mut to)?.step(-1)?;
    match step {
        StepResult::Done => Ok(()),
        // Everything is asked for in one step: what is not done was held up by somebody.
        _ => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(SQLITE_BUSY),
            None,
        )),
    }
}
