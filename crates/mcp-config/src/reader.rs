//! A configuration, read key by key.
//!
//! The code that reads a key is the only place that knows it: what was asked for is what may stand
//! in the file, what suggestions choose from, what the environment may override, and what the
//! documented examples have to show.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

use mcp_model::text::{escape, shorten};
use toml::de::{DeTable, DeValue};

use crate::section::Section;
use crate::{ConfigError, Place, Problem};

/// Most problems of one file that are told.
const MAX_PROBLEMS: usize = 20;

/// Longest key that is shown in full and compared with others, in bytes.
const LONGEST_KEY: usize = 64;

/// Where a value was read.
#[derive(Debug, Clone)]
pub(crate) enum At {
    /// At these bytes of the file.
    File(Range<usize>),
    /// In this environment variable.
    Variable(String),
}

/// A value, and where it was read.
pub(crate) struct Found<'a> {
    pub(crate) value: DeValue<'a>,
    pub(crate) at: At,
}

/// The whole file and the environment.
pub(crate) struct Reader<'a> {
    root: DeTable<'a>,
    env: BTreeMap<String, String>,
    /// What the names of overriding variables begin with.
    prefix: &'static str,
    sections: RefCell<Vec<&'static str>>,
    keys: RefCell<Vec<(&'static str, &'static str)>>,
    problems: RefCell<Vec<(At, String)>>,
}

/// Reads `text` with `body`; anything that is noted on the way is the error. `prefix` is what the
/// names of overriding variables begin with.
pub(crate) fn read<T>(
    text: &str,
    file: &Path,
    prefix: &'static str,
    env: BTreeMap<String, String>,
    body: impl FnOnce(&Reader<'_>) -> Option<T>,
) -> Result<T, ConfigError> {
    let root = match DeTable::parse(text) {
        Ok(root) => root.into_inner(),
        Err(error) => {
            let at = At::File(error.span().unwrap_or(0..0));
            let problems = vec![(at, error.message().to_owned())];
            return Err(invalid(text, file, problems));
        }
    };
    let reader = Reader::new(root, prefix, env);
    let read = body(&reader);
    reader.refuse_unknown_sections();
    match (read, reader.problems.into_inner()) {
        (Some(read), problems) if problems.is_empty() => Ok(read),
        (_, problems) => Err(invalid(text, file, problems)),
    }
}

/// The keys that `body` reads, with their sections.
#[cfg(test)]
pub(crate) fn keys_of<T>(
    body: impl FnOnce(&Reader<'_>) -> Option<T>,
) -> Vec<(&'static str, &'static str)> {
    let reader = Reader::new(DeTable::default(), "", BTreeMap::new());
    body(&reader);
    reader.keys.into_inner()
}

fn invalid(text: &str, file: &Path, mut problems: Vec<(At, String)>) -> ConfigError {
    // The file in its order, then the environment.
    problems.sort_by_key(|(at, _)| match at {
        At::File(span) => span.start,
        At::Variable(_) => usize::MAX,
    });
    let beyond = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    if let (Some((_, last)), 1..) = (problems.last_mut(), beyond) {
        last.extend([" (and ", &beyond.to_string(), " more problems)"]);
    }
    let locate = |(at, message)| Problem {
        place: match at {
            At::File(span) => Place::Line(line_of(text, span.start)),
            At::Variable(name) => Place::Variable(name),
        },
        message,
    };
    ConfigError::Invalid {
        file: file.to_owned(),
        problems: problems.into_iter().map(locate).collect(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.matches('\n').count() + 1
}

impl<'a> Reader<'a> {
    fn new(root: DeTable<'a>, prefix: &'static str, env: BTreeMap<String, String>) -> Self {
        Self {
            root,
            env,
            prefix,
            sections: RefCell::default(),
            keys: RefCell::default(),
            problems: RefCell::default(),
        }
    }

    pub(crate) fn note(&self, at: At, message: impl Display) {
        self.problems.borrow_mut().push((at, message.to_string()));
    }

    /// A variable of the environment that is not a key, for defaults.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Reads the table `[name]`; one that is absent reads as empty.
    pub(crate) fn section<T>(&self, name: &'static str, body: impl FnOnce(&Section<'_>) -> T) -> T {
        self.sections.borrow_mut().push(name);
        let found = self.root.get(name);
        let table = found.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (found, table) {
            self.note(
                At::File(value.span()),
                format_args!("{name} must be a section: write [{name}]"),
            );
        }
        let section = Section {
            reader: self,
            name,
            title: format!("[{name}]"),
            table,
            header: found.map_or(0..0, toml::Spanned::span),
            overridable: true,
            keys: RefCell::default(),
        };
        let read = body(&section);
        section.refuse_unknown();
        read
    }

    /// Reads each of the tables `[[name]]`. They cannot be overridden.
    pub(crate) fn sections<T>(
        &self,
        name: &'static str,
        body: impl Fn(&Section<'_>) -> T,
    ) -> Vec<(At, T)> {
        self.sections.borrow_mut().push(name);
        let Some(value) = self.root.get(name) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.note(
                At::File(value.span()),
                format_args!("{name} must be a list: write [[{name}]]"),
            );
            return Vec::new();
        };
        let mut read = Vec::new();
        for entry in array {
            let table = entry.get_ref().as_table();
            if table.is_none() {
                self.note(
                    At::File(entry.span()),
                    format_args!("{name} must hold tables: write [[{name}]]"),
                );
                continue;
            }
            let section = Section {
                reader: self,
                name,
                title: format!("[[{name}]]"),
                table,
                header: entry.span(),
                overridable: false,
                keys: RefCell::default(),
            };
            read.push((At::File(entry.span()), body(&section)));
            section.refuse_unknown();
        }
        read
    }

    /// Remembers that `section` may hold `key`.
    pub(crate) fn know(&self, section: &'static str, key: &'static str) {
        self.keys.borrow_mut().push((section, key));
    }

    /// The variable that overrides `key` of `section`, and its value where it is set.
    pub(crate) fn override_of(&self, section: &str, key: &str) -> (String, Option<&str>) {
        let name = format!("{}{section}_{key}", self.prefix).to_uppercase();
        let value = self.env.get(&name).map(String::as_str);
        (name, value)
    }

    fn refuse_unknown_sections(&self) {
        let known = self.sections.borrow();
        for (key, _) in &self.root {
            if !known.iter().any(|name| *name == key.get_ref()) {
                let message = unknown("section or key", key.get_ref(), &known);
                self.note(At::File(key.span()), message);
            }
        }
    }
}

/// Says that `name` is not known, and which of `known` may have been meant.
pub(crate) fn unknown(what: &str, name: &str, known: &[&'static str]) -> String {
    let shown = shorten(name, LONGEST_KEY);
    let shown = escape(&shown);
    match closest(name, known) {
        Some(close) => format!("unknown {what} `{shown}`: did you mean `{close}`?"),
        None => format!("unknown {what} `{shown}`"),
    }
}

fn closest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    // What is longer resembles no key, and comparing takes time and memory in its length.
    if name.len() > LONGEST_KEY {
        return None;
    }
    let name = name.to_lowercase();
    // The one finds what was shortened or lengthened, the other swapped letters in short words.
    let likeness = |known: &str| {
        let swapped = strsim::normalized_damerau_levenshtein(&name, known);
        strsim::jaro_winkler(&name, known).max(swapped + 0.1)
    };
    known
        .iter()
        .map(|known| (likeness(known), *known))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
