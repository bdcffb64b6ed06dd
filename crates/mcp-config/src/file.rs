//! Files: read within a limit, replaced at once or not at all.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{ConfigError, MAX_FILE};

/// Mode of a configuration that did not exist before: it tells where credentials are.
const NEW_MODE: u32 = 0o600;
/// Mode of directories that are made for it.
const NEW_DIRECTORY_MODE: u32 = 0o700;

/// Reads the file, unless it is larger than a configuration may be.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut text = String::new();
    let mut read = 0;
    if size <= MAX_FILE {
        // The limit holds for what grows while it is read, and for pipes, whose size is 0.
        let mut limited = file.take(MAX_FILE + 1);
        read = limited.read_to_string(&mut text).map_err(failed)? as u64;
    }
    if size.max(read) > MAX_FILE {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            size: size.max(read),
        });
    }
    Ok(text)
}

/// Puts `text` at `path`; a crash leaves the old content or the new. An existing file keeps its
/// mode, and a symbolic link is followed.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), ConfigError> {
    try_replace(path, text).map_err(|source| ConfigError::Write {
        path: path.to_owned(),
        source,
    })
}

fn try_replace(path: &Path, text: &str) -> io::Result<()> {
    let target = resolve(path)?;
    let directory = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(NEW_DIRECTORY_MODE)
        .create(directory)?;
    let permissions = match fs::metadata(&target) {
        Ok(existing) => existing.permissions(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Permissions::from_mode(NEW_MODE),
        Err(error) => return Err(error),
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(".mcp-")
        .tempfile_in(directory)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().set_permissions(permissions)?;
    temporary.as_file().sync_all()?;
    temporary.persist(&target)?;
    File::open(directory)?.sync_all()
}

/// Where the content is: the end of a chain of links. A link to nothing is an error, not a
/// place for a new file.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path),
        _ => Ok(path.to_owned()),
    }
}
