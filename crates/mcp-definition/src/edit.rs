//! The one edit that commands make: `active` (S53).

use std::path::Path;

use crate::DefinitionError;

/// `text` with `active` set, every other byte as it was. `name` is what errors call the text.
pub fn set_active(text: &str, name: &str, active: bool) -> Result<String, DefinitionError> {
    todo!()
}

/// Whether [`set_active_in_file`] would succeed, so that it can be asked before anything else is
/// done (S53).
pub fn check_writable(path: &Path) -> Result<(), DefinitionError> {
    todo!()
}

/// Sets `active` in the file, at once or not at all. The file keeps its mode; a symbolic link
/// stays one and its target changes. Returns whether anything had to change.
pub fn set_active_in_file(path: &Path, active: bool) -> Result<bool, DefinitionError> {
    todo!()
}
