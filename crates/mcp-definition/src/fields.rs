//! A TOML table, read key by key: each value is parsed into its type, and whatever is wrong is
//! noted with its place, so that one look at a file finds all of its problems.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use mcp_model::text::{escape, shorten};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Longest key that is shown in full and compared with others, in bytes.
const LONGEST_KEY: usize = 64;

/// A key that a table may hold, and how it is written.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) example: &'static str,
}

/// What is wrong, before it is known in which line.
pub(crate) struct Draft {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Collects what is wrong while reading goes on.
#[derive(Default)]
pub(crate) struct Problems(RefCell<Vec<Draft>>);

impl Problems {
    pub(crate) fn note(&self, span: Range<usize>, message: impl Display, hint: Option<String>) {
        self.0.borrow_mut().push(Draft {
            span,
            message: message.to_string(),
            hint,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(crate) fn into_drafts(self) -> Vec<Draft> {
        self.0.into_inner()
    }
}

/// One table of the file.
pub(crate) struct Fields<'a, 'i> {
    pub(crate) table: &'a DeTable<'i>,
    /// Where a missing key is reported.
    pub(crate) place: Range<usize>,
    pub(crate) keys: &'static [Key],
    pub(crate) problems: &'a Problems,
}

impl<'a, 'i> Fields<'a, 'i> {
    /// The value of `key` as it stands.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        debug_assert!(self.keys.iter().any(|known| known.name == key), "{key}");
        self.table.get(key)
    }

    fn example(&self, key: &str) -> Option<String> {
        let known = self.keys.iter().find(|known| known.name == key)?;
        Some(format!("write {}", known.example))
    }

    /// Notes that `key` has to be there.
    pub(crate) fn missing(&self, key: &str) {
        self.problems.note(
            self.place.clone(),
            format_args!("missing key `{key}`"),
            self.example(key),
        );
    }

    /// Notes that `value` is not what `key` holds.
    pub(crate) fn wrong_type(&self, key: &str, wanted: &str, value: &Spanned<DeValue<'_>>) {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) {
            "an"
        } else {
            "a"
        };
        self.problems.note(
            value.span(),
            format_args!("`{key}` must be {wanted}, not {article} {found}"),
            self.example(key),
        );
    }

    fn parsed<T: FromStr<Err: Display>>(
        &self,
        key: &str,
        wanted: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<T> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, wanted, value);
            return None;
        };
        text.parse()
            .map_err(|error| {
                self.problems
                    .note(value.span(), format_args!("`{key}`: {error}"), None);
            })
            .ok()
    }

    /// A string that may be absent.
    pub(crate) fn optional<T: FromStr<Err: Display>>(&self, key: &str) -> Option<T> {
        self.parsed(key, "a string", self.get(key)?)
    }

    /// A string that has to be there.
    pub(crate) fn required<T: FromStr<Err: Display>>(&self, key: &str) -> Option<T> {
        if self.get(key).is_none() {
            self.missing(key);
        }
        self.optional(key)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.wrong_type(key, "true or false", value);
        }
        found
    }

    /// A list of strings; empty where the key is absent.
    pub(crate) fn list<T: FromStr<Err: Display>>(&self, key: &str) -> Vec<T> {
        const WANTED: &str = "a list of strings";
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, WANTED, value);
            return Vec::new();
        };
        array
            .iter()
            .filter_map(|entry| self.parsed(key, WANTED, entry))
            .collect()
    }

    /// A list of tables.
    pub(crate) fn tables(&self, key: &str) -> Option<&'a DeArray<'i>> {
        let Some(value) = self.get(key) else {
            self.missing(key);
            return None;
        };
        match value.get_ref().as_array() {
            Some(array) if array.is_empty() => self.missing(key),
            Some(array) => return Some(array),
            None => self.wrong_type(key, "a list of tables", value),
        }
        None
    }

    /// Notes every key that the table may not hold. `elsewhere` are the keys of the other kind of
    /// table, and what to say to a key that has gone astray.
    pub(crate) fn refuse_unknown(&self, elsewhere: &[Key], astray: &str) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if self.keys.iter().any(|known| known.name == name) {
                continue;
            }
            let hint = if elsewhere.iter().any(|known| known.name == name) {
                Some(astray.to_owned())
            } else {
                self.closest(name)
                    .map(|close| format!("did you mean `{close}`?"))
            };
            let shown = shorten(name, LONGEST_KEY);
            self.problems.note(
                key.span(),
                format_args!("unknown key `{}`", escape(&shown)),
                hint,
            );
        }
    }

    fn closest(&self, name: &str) -> Option<&'static str> {
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
        self.keys
            .iter()
            .map(|known| (likeness(known.name), known.name))
            .filter(|(likeness, _)| *likeness >= 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, name)| name)
    }
}
