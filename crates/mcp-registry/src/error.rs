//! What can go wrong, told apart by what an operator can do about it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use mcp_model::{ComponentKey, OperationId, OperationKind, ServiceName, SpecError, StepState};
use rusqlite::ErrorCode;

use crate::decide::Overwrite;

/// Why the registry did not do what was asked. Nothing of a failed call is stored.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Another process held the database for longer than the busy time-out.
    #[error("cannot {operation}: the registry is locked by another process")]
    Busy {
        /// What was tried.
        operation: &'static str,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// There is no room left for the database.
    #[error("cannot {operation}: the registry's file system is full")]
    Full {
        /// What was tried.
        operation: &'static str,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// The system refused a write: a quota, a limit on the size of files, a failing disk. `SQLite` keeps
    /// to itself which.
    #[error(
        "cannot {operation}: the registry's file could not be written; is the disk or a quota full, or the disk failing?"
    )]
    Unwritten {
        /// What was tried.
        operation: &'static str,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// The database file or its directory cannot be written to.
    #[error("cannot {operation}: the registry cannot be written to")]
    ReadOnly {
        /// What was tried.
        operation: &'static str,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// The database is damaged. It is left as it is.
    #[error("cannot {operation}: the registry is damaged; restore it from a copy")]
    Corrupt {
        /// What was tried.
        operation: &'static str,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// A stored value is not one of those that this release writes.
    #[error("cannot {operation}: the registry holds a value that this release cannot read")]
    Stored {
        /// What was tried.
        operation: &'static str,
        /// Which column, and why.
        #[source]
        source: rusqlite::Error,
    },
    /// `SQLite` refused for another reason.
    #[error("cannot {operation}")]
    Sql {
        /// What was tried.
        operation: &'static str,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// The step is not open: it was settled, superseded or never there. Whoever works on it must
    /// stop.
    #[error(
        "cannot {operation}: {key} has no open step in operation {id} (it is {})",
        state.map_or("not there", StepState::as_str)
    )]
    StepNotOpen {
        /// What was tried.
        operation: &'static str,
        /// The operation.
        id: OperationId,
        /// The component.
        key: ComponentKey,
        /// Where the step stands, where there is one.
        state: Option<StepState>,
    },
    /// The registry is closed, or the call's thread ended in the middle.
    #[error("cannot {operation}: the registry is closed")]
    Closed {
        /// What was tried.
        operation: &'static str,
    },
}

impl RegistryError {
    /// Sorts what `SQLite` said under what was tried.
    pub(crate) fn sql(operation: &'static str, source: rusqlite::Error) -> Self {
        match &source {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => Self::Stored { operation, source },
            other => match other.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    Self::Busy { operation, source }
                }
                Some(ErrorCode::DiskFull) => Self::Full { operation, source },
                Some(ErrorCode::SystemIoFailure) if is_write(other) => {
                    Self::Unwritten { operation, source }
                }
                Some(ErrorCode::ReadOnly) => Self::ReadOnly { operation, source },
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Self::Corrupt { operation, source }
                }
                _ => Self::Sql { operation, source },
            },
        }
    }
}

/// Whether the system refused to write, to make room, or to make a write last.
fn is_write(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi;
    let writes = [
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_FSYNC,
        ffi::SQLITE_IOERR_DIR_FSYNC,
        ffi::SQLITE_IOERR_TRUNCATE,
        ffi::SQLITE_IOERR_SHMSIZE,
    ];
    error
        .sqlite_error()
        .is_some_and(|error| writes.contains(&error.extended_code))
}

/// Why a registry could not be opened. A file that is refused is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or reached.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Written by a newer release.
    #[error(
        "the registry {} has schema {found}, this release knows {known}: use the newer release, or restore a copy",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The schema that it has.
        found: u32,
        /// The newest schema that this release knows.
        known: u32,
    },
    /// Not a registry, or one that was changed by hand.
    #[error("{} is not a registry that this release made: {why}", path.display())]
    Divergent {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// Damaged.
    #[error("the registry {} is damaged and was left as it is: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the check found.
        why: String,
    },
    /// An older registry could not be brought to this release's schema. It is as it was.
    #[error("cannot migrate the registry {} from schema {from}", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// The schema that it had.
        from: u32,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// `SQLite` refused.
    #[error("cannot open the registry {}", path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RegistryError,
    },
    /// A thread of the registry could not be started.
    #[error("cannot start a thread for the registry")]
    Thread(#[source] io::Error),
}

/// A screenful of them.
fn listed(overwrites: &[Overwrite]) -> String {
    const SHOWN: usize = 10;
    let mut words: Vec<_> = overwrites
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    if let more @ 1.. = overwrites.len().saturating_sub(SHOWN) {
        words.push(format!("{more} more"));
    }
    words.join("; ")
}

/// Why intent was not accepted. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The service is not known here.
    #[error("service {0} is not known on this node")]
    NoService(ServiceName),
    /// The component is not part of the service.
    #[error("{0} is not known on this node")]
    NoComponent(ComponentKey),
    /// The id belongs to another operation.
    #[error("operation {id} is there already: it is a {kind} of {service}")]
    IdTaken {
        /// The id.
        id: OperationId,
        /// What it does.
        kind: OperationKind,
        /// To which service.
        service: ServiceName,
    },
    /// There is nothing that it could be done to.
    #[error("{service} has nothing to {kind}: {why}")]
    NothingToDo {
        /// What was asked.
        kind: OperationKind,
        /// Of which service.
        service: ServiceName,
        /// Why.
        why: &'static str,
    },
    /// Somebody else changed intent since, and the request differs from it (S10).
    #[error(
        "{}, and differs from what you send; to overwrite it, repeat with --force",
        listed(.0)
    )]
    Overwrites(Vec<Overwrite>),
    /// The service was mentioned twice in one sync.
    #[error("service {0} is defined twice")]
    DuplicateService(ServiceName),
    /// The intent contradicts itself or what is there.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// It could not be stored.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}
