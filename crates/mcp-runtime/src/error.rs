//! What goes wrong between MCP and a container runtime.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::mount::MountRefused;
use crate::parse::ParseError;

/// A call to the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Ask for its version.
    Version,
    /// Ask for its settings.
    Info,
    /// List every container.
    List,
    /// Look at a container by id.
    Inspect,
    /// Look up the holder of a name.
    InspectName,
    /// Look for a phantom.
    Phantom,
    /// Fetch an image.
    Pull,
    /// Make and start a container.
    Run,
    /// Start a container.
    Start,
    /// Stop a container.
    Stop,
    /// Remove a container.
    Remove,
    /// Rename a container.
    Rename,
    /// Read a container's output.
    Logs,
}

impl Call {
    /// Whether it can change a container, an image or a name.
    pub fn is_mutating(self) -> bool {
        matches!(
            self,
            Self::Pull | Self::Run | Self::Start | Self::Stop | Self::Remove | Self::Rename
        )
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "read the version of",
            Self::Info => "read the settings of",
            Self::List => "list the containers of",
            Self::Inspect | Self::InspectName => "inspect",
            Self::Phantom => "look for a phantom named",
            Self::Pull => "pull",
            Self::Run => "run",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Logs => "read the output of",
        })
    }
}

/// Why a call did not do what was asked. `words` are the runtime's own, escaped, shortened and
/// without secrets.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// The name is held by another container or by a phantom.
    #[error("cannot {call} {object}, the name is taken: {words}")]
    NameTaken {
        /// What was tried.
        call: Call,
        /// On what.
        object: String,
        /// What the runtime said.
        words: String,
    },
    /// There is no such container.
    #[error("cannot {call} {object}, there is no such container: {words}")]
    NotFound {
        /// What was tried.
        call: Call,
        /// On what.
        object: String,
        /// What the runtime said.
        words: String,
    },
    /// The image is not there.
    #[error("cannot {call} {object}, its image is missing: {words}")]
    ImageMissing {
        /// What was tried.
        call: Call,
        /// On what.
        object: String,
        /// What the runtime said.
        words: String,
    },
    /// The deadline passed and the call was killed. Nothing is known of its effect.
    #[error("cannot {call} {object}: no answer within {}", seconds(*.after))]
    TimedOut {
        /// What was tried.
        call: Call,
        /// On what.
        object: String,
        /// The deadline.
        after: Duration,
    },
    /// The runtime's answer could not be read.
    #[error("cannot {call} {object}: its answer is not usable")]
    Output {
        /// What was tried.
        call: Call,
        /// On what.
        object: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The runtime's program could not be run.
    #[error("cannot {call} {object}: cannot run {program}")]
    Spawn {
        /// What was tried.
        call: Call,
        /// On what.
        object: String,
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The spec wants a mount that the agent's policy forbids (S48). Nothing was run.
    #[error("cannot {call} {object}")]
    Mount {
        /// What was tried.
        call: Call,
        /// On what.
        object: String,
        /// Which mount, and why.
        #[source]
        source: MountRefused,
    },
    /// The runtime refused or failed.
    #[error("cannot {call} {object}: {words}")]
    Failed {
        /// What was tried.
        call: Call,
        /// On what.
        object: String,
        /// How its process ended; `None` where a signal ended it.
        exit: Option<i32>,
        /// What the runtime said.
        words: String,
    },
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

impl RuntimeError {
    /// The whole chain in one line, for places that keep text only.
    pub fn in_words(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}
