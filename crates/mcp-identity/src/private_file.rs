//! Files that only their owner may read: tokens, keys, bundles.
//!
//! Each is written to a temporary file beside its place, synced and then moved there, so that a
//! reader finds the old bytes or the new ones and never a file that others could open meanwhile.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Why a file could not be written. What was to be written is not part of it.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Something is there already and is not to be replaced.
    #[error("{} is there already: move it away first, if it is not needed", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Writes a file of mode 0600, replacing what was there.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    write(path, content, 0o600, true)
}

/// Writes a new file of mode 0600; refused where something has its name.
pub fn create(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    write(path, content, 0o600, false)
}

/// Writes a new file that everybody may read, for certificates; refused where something has its
/// name.
#[cfg(feature = "server")]
pub(crate) fn create_public(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    write(path, content, 0o644, false)
}

fn write(path: &Path, content: &[u8], mode: u32, replace: bool) -> Result<(), WriteError> {
    let outcome = try_write(path, content, mode, replace);
    outcome.map_err(|source| {
        let path = path.to_owned();
        if !replace && source.kind() == io::ErrorKind::AlreadyExists {
            WriteError::Exists { path }
        } else {
            WriteError::Write { path, source }
        }
    })
}

fn try_write(path: &Path, content: &[u8], mode: u32, replace: bool) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Made with mode 0600 whatever the umask: nobody else can open it between create and chmod.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    fs::set_permissions(file.path(), Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    if replace {
        file.persist(path).map_err(|e| e.error)?;
    } else {
        file.persist_noclobber(path).map_err(|e| e.error)?;
    }
    File::open(folder)?.sync_all()
}
