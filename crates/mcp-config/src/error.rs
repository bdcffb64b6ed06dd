//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of the file, counted from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was read.
    pub place: Place,
    /// What is wrong; names section and key, and says what to write where that is known.
    pub message: String,
}

/// Why a configuration could not be read, used or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than [`crate::MAX_FILE`].
    #[error("{} is too large for a configuration: {size} bytes, at most {}", path.display(), crate::MAX_FILE)]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// The file or the environment says something that cannot be used. Never without a problem.
    #[error("{}", list(.file, .problems))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong, in the order of the file.
        problems: Vec<Problem>,
    },
    /// There is no home directory to find the default file in.
    #[error("cannot find the configuration: neither XDG_CONFIG_HOME nor HOME is set; use --config")]
    NoHome,
    /// A path that cannot stand in a configuration.
    #[error("{} is not UTF-8 and cannot stand in a configuration", .0.display())]
    NotUtf8(PathBuf),
    /// A node is configured already.
    #[error("node {0} is configured already")]
    NodeExists(mcp_model::NodeName),
    /// A node is not configured.
    #[error("node {0} is not configured")]
    NoSuchNode(mcp_model::NodeName),
    /// The file could not be written; it is as it was.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ConfigError {
    /// Whether the file is not there at all.
    pub fn is_missing_file(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

fn list(file: &std::path::Path, problems: &[Problem]) -> String {
    let line = |problem: &Problem| match &problem.place {
        Place::Line(line) => format!("{}:{line}: {}", file.display(), problem.message),
        Place::Variable(name) => format!("{name}: {}", problem.message),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}
