//! What can be wrong with a definition, told so that its author finds the place.
//!
//! `Display` is complete by itself (`file:line:column: message`, one line per problem), for output
//! that is not a terminal; as a [`Diagnostic`] the same error shows the lines with carets.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::PathBuf;

use mcp_model::text::{escape, is_hostile};
use mcp_model::{ComponentKey, ContainerName, NodeName, ServiceName};
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use crate::fields::Draft;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, without the place.
    pub message: String,
    /// What to write instead, where that is known.
    pub hint: Option<String>,
    /// The offending bytes of the file.
    pub span: Range<usize>,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl Problem {
    fn locate(draft: Draft, text: &str) -> Self {
        let before = text.get(..draft.span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            message: draft.message,
            hint: draft.hint,
            span: draft.span,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// `text` for a terminal: what could move the cursor or reorder a line is replaced, byte for byte,
/// so that spans still fit.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' => shown.push(' '),
            _ if !is_hostile(c) => shown.push(c),
            _ => shown.push_str(match c.len_utf8() {
                1 => "?",
                2 => "\u{bf}",
                3 => "\u{fffd}",
                _ => "\u{fffd}?",
            }),
        }
    }
    shown
}

/// Why a definition could not be read, used or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// The file or directory could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than [`crate::MAX_FILE`].
    #[error("{} is too large for a definition: {size} bytes, at most {}", path.display(), crate::MAX_FILE)]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// The file says something that cannot be used. Never without a problem.
    #[error("{}", list(.name, .problems))]
    Invalid {
        /// The file, as it was named.
        name: String,
        /// Its text, for carets.
        text: NamedSource<String>,
        /// What is wrong, in the order of the file.
        problems: Vec<Problem>,
    },
    /// Two files define one service.
    #[error("service {service} is defined twice: in {} and in {}", first.display(), second.display())]
    DuplicateService {
        /// The service.
        service: ServiceName,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Two components of a node would have containers of one name (S2).
    #[error(transparent)]
    ContainerNameCollision(Box<Collision>),
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

/// Two components of one node whose containers would have one name (S2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{first} in {} and {second} in {} would both have a container called {container} on {node}",
    first_path.display(), second_path.display()
)]
pub struct Collision {
    /// The node.
    pub node: NodeName,
    /// The name that both would get.
    pub container: ContainerName,
    /// One component.
    pub first: ComponentKey,
    /// Where it is defined.
    pub first_path: PathBuf,
    /// The other.
    pub second: ComponentKey,
    /// Where that is defined.
    pub second_path: PathBuf,
}

/// Longest line that is quoted, in bytes: a caret under a longer one points at nothing that can be
/// seen, and a file of one line would be quoted whole.
const LONGEST_LINE: usize = 512;

/// Whether the lines with problems, and those around them that are quoted too, are short enough.
fn can_be_quoted(text: &str, problems: &[Problem]) -> bool {
    let is_near = |line: usize| {
        problems
            .iter()
            .any(|problem| problem.line.abs_diff(line) <= 1)
    };
    let mut lines = text.split('\n').enumerate();
    lines.all(|(index, line)| line.len() <= LONGEST_LINE || !is_near(index + 1))
}

/// Most problems of one file that are told.
const MAX_PROBLEMS: usize = 20;

impl DefinitionError {
    pub(crate) fn invalid(name: &str, text: &str, mut drafts: Vec<Draft>) -> Self {
        drafts.sort_by_key(|draft| draft.span.start);
        let beyond = drafts.len().saturating_sub(MAX_PROBLEMS);
        drafts.truncate(MAX_PROBLEMS);
        let mut problems: Vec<Problem> = drafts
            .into_iter()
            .map(|draft| Problem::locate(draft, text))
            .collect();
        if let (Some(last), 1..) = (problems.last_mut(), beyond) {
            let _ = write!(last.message, " (and {beyond} more problems)");
            last.hint = None;
        }
        let name = escape(name).into_owned();
        Self::Invalid {
            text: NamedSource::new(&name, harmless(text)),
            name,
            problems,
        }
    }

    /// What is wrong inside the file; empty for errors about the file as a whole.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems, .. } => problems,
            _ => &[],
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, ": {hint}"))
    }
}

fn list(name: &str, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("{name}:{}:{}: {problem}", problem.line, problem.column))
        .collect();
    lines.join("\n")
}

impl Diagnostic for DefinitionError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = match self {
            Self::DuplicateService { .. } => "give one of them another name, or delete one file",
            Self::ContainerNameCollision(_) => "rename one of the components",
            _ => return None,
        };
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        match self {
            Self::Invalid { text, problems, .. } if can_be_quoted(text.inner(), problems) => {
                Some(text)
            }
            _ => None,
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Self::Invalid { problems, .. } = self else {
            return None;
        };
        // A caret and no text: the message above it has said everything.
        let caret = |problem: &Problem| LabeledSpan::new_with_span(None, problem.span.clone());
        Some(Box::new(problems.iter().map(caret)))
    }
}

/// Everything that is wrong with a directory of definitions. Never empty.
///
/// `Display` tells all of it; to show carets, render each error by itself.
#[derive(Debug)]
pub struct DefinitionErrors(Vec<DefinitionError>);

impl DefinitionErrors {
    /// `errors` as one error, where there are any.
    pub(crate) fn check(errors: Vec<DefinitionError>) -> Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }

    /// The errors, in the order of their files.
    pub fn iter(&self) -> std::slice::Iter<'_, DefinitionError> {
        self.0.iter()
    }
}

impl From<DefinitionError> for DefinitionErrors {
    fn from(error: DefinitionError) -> Self {
        Self(vec![error])
    }
}

impl<'a> IntoIterator for &'a DefinitionErrors {
    type Item = &'a DefinitionError;
    type IntoIter = std::slice::Iter<'a, DefinitionError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for DefinitionErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
            // The sources of the parts cannot be reached through this error's own chain.
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                write!(f, ": {cause}")?;
                source = cause.source();
            }
        }
        Ok(())
    }
}

impl std::error::Error for DefinitionErrors {}
