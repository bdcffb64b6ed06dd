//! Errors as an operator reads them: what was tried, what happened, what to do.

use std::error::Error;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Fine,
    /// Something failed.
    Failed,
    /// What was typed was wrong, or too little to go by; nothing was changed.
    Usage,
    /// Drift was found, and asked for.
    Drift,
}

impl Exit {
    /// [`Exit::Fine`] only where `fine`.
    pub(crate) fn fine_if(fine: bool) -> Self {
        if fine { Self::Fine } else { Self::Failed }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Drift => 3,
        })
    }
}

type Source = Box<dyn Error + Send + Sync + 'static>;

/// What was tried, with its cause below and an advice beside it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Problem {
    what: String,
    #[source]
    source: Option<Source>,
    help: Option<String>,
    usage: bool,
}

impl Problem {
    /// A problem that ends the command with [`Exit::Failed`].
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            source: None,
            help: None,
            usage: false,
        }
    }

    /// A mistake in the request: ends with [`Exit::Usage`].
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self {
            usage: true,
            ..Self::new(what)
        }
    }

    /// What caused it.
    pub(crate) fn because(self, source: impl Into<Source>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// What to do about it.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

/// The advice that belongs to an error, from the outermost problem that has one.
pub(crate) fn help_of(error: &anyhow::Error) -> Option<&str> {
    problems(error).find_map(|problem| problem.help.as_deref())
}

/// How an error ends the process.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    if problems(error).any(|problem| problem.usage) {
        Exit::Usage
    } else {
        Exit::Failed
    }
}

fn problems(error: &anyhow::Error) -> impl Iterator<Item = &Problem> {
    error.chain().filter_map(|cause| cause.downcast_ref())
}

/// The whole chain on one line: `what: cause: cause of the cause`.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let parts: Vec<String> = error.chain().map(ToString::to_string).collect();
    parts.join(": ")
}
