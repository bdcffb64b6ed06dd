//! Writing definitions.

use std::path::Path;

use crate::{Definition, DefinitionError};

/// The definition as TOML. The same definition always gives the same text.
pub fn render(definition: &Definition) -> String {
    todo!()
}

/// Writes the definition to `path`, replacing what is there at once or not at all.
///
/// A new file gets mode 0644, an existing one keeps its own.
pub fn write(path: &Path, definition: &Definition) -> Result<(), DefinitionError> {
    todo!()
}
