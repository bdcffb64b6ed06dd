//! Files: read within a limit, replaced at once or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::{DefinitionError, MAX_FILE};

/// Mode of a definition that did not exist before.
const NEW_MODE: u32 = 0o644;

/// Reads the file, unless it is larger than a definition may be.
pub(crate) fn read(path: &Path) -> Result<String, DefinitionError> {
    let failed = |source| DefinitionError::Read {
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
        return Err(DefinitionError::TooLarge {
            path: path.to_owned(),
            size: size.max(read),
        });
    }
    Ok(text)
}

/// Puts `text` at `path`; a crash leaves the old content or the new. The file keeps its mode, and
/// a symbolic link is followed.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), DefinitionError> {
    try_replace(path, text).map_err(|source| DefinitionError::Write {
        path: path.to_owned(),
        source,
    })
}

fn try_replace(path: &Path, text: &str) -> io::Result<()> {
    let target = resolve(path)?;
    let directory = directory_of(&target);
    let permissions = match fs::metadata(&target) {
        Ok(existing) => existing.permissions(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Permissions::from_mode(NEW_MODE),
        Err(error) => return Err(error),
    };
    // A leading dot keeps it out of `load_all` if it is ever left behind.
    let mut temporary = tempfile::Builder::new()
        .prefix(".mcp-")
        .tempfile_in(directory)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().set_permissions(permissions)?;
    temporary.as_file().sync_all()?;
    temporary.persist(&target)?;
    File::open(directory)?.sync_all()
}

/// Whether [`replace`] of an existing file would be let.
pub(crate) fn check_replaceable(path: &Path) -> Result<(), DefinitionError> {
    let check = || {
        let target = resolve(path)?;
        // Replacing would not need it, but a file made read-only is meant to stay as it is.
        OpenOptions::new().write(true).open(&target)?;
        tempfile::tempfile_in(directory_of(&target)).map(drop)
    };
    check().map_err(|source| DefinitionError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Where the content is: the end of a chain of links. A link to nothing is an error, not a
/// place for a new file.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path),
        _ => Ok(path.to_owned()),
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
