//! Reading definition files.

use std::path::Path;

use mcp_model::ServiceName;

use crate::{Definition, DefinitionError, DefinitionErrors};

/// Reads one definition.
pub fn load(path: &Path) -> Result<Definition, DefinitionError> {
    todo!()
}

/// Reads every `*.toml` of `dir` that is not hidden, sorted by file name.
///
/// All or nothing (S8): every broken file is reported, and so are services that two files define
/// and components of one node whose containers would have one name.
pub fn load_all(dir: &Path) -> Result<Vec<Definition>, DefinitionErrors> {
    todo!()
}

/// The definition of `service` in `dir`: `<service>.toml` where that file is about it, else
/// whichever file names it. `None` where no file does.
///
/// Other files may be broken; that is an error only where the service is not found without them.
pub fn find(dir: &Path, service: &ServiceName) -> Result<Option<Definition>, DefinitionErrors> {
    todo!()
}

/// Reads a definition from `text`; `name` is what errors call it.
pub fn parse(text: &str, name: &str) -> Result<Definition, DefinitionError> {
    todo!()
}
