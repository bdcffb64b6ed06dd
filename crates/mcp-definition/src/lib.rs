//! Service definition files: TOML to model and back, with errors that point into the file.
//!
//! A definition is the operator's word on one service: its name, its node, whether it should run,
//! and its components. [`load()`] and [`load_all`] turn files into [`Definition`]s whose every value
//! has been parsed; what cannot be used is a [`DefinitionError`] that names file, line and column
//! and can show the place with a caret. [`write()`] goes the other way, and [`set_active_in_file`]
//! changes the one value that commands change, leaving every other byte as it is.

mod edit;
mod error;
mod fields;
mod file;
mod load;
mod parse;
mod write;

use std::path::PathBuf;

use mcp_model::{NodeName, ServiceSpec};

pub use edit::{check_writable, set_active, set_active_in_file};
pub use error::{Collision, DefinitionError, DefinitionErrors, Problem};
pub use load::{find, load, load_all};
pub use parse::{keys, parse};
pub use write::{render, write};

/// Largest definition file that is read, in bytes.
pub const MAX_FILE: u64 = 1024 * 1024;

/// One service, the node that it runs on, and the file that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The file that it was read from, or the name that [`parse()`] was given for it.
    pub path: PathBuf,
    /// The node that runs the service.
    pub node: NodeName,
    /// The service.
    pub service: ServiceSpec,
}
