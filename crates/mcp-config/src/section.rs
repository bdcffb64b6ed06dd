//! One table of a configuration: each value is parsed into its type, and whatever is wrong is noted
//! with its place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::reader::{At, Found, Reader, unknown};

/// One table.
pub(crate) struct Section<'a> {
    pub(crate) reader: &'a Reader<'a>,
    pub(crate) name: &'static str,
    /// As the file shows it: `[server]`, `[[nodes]]`.
    pub(crate) title: String,
    pub(crate) table: Option<&'a DeTable<'a>>,
    /// Where a missing key is reported.
    pub(crate) header: Range<usize>,
    /// Whether the environment wins over the file here.
    pub(crate) overridable: bool,
    /// What was asked for so far.
    pub(crate) keys: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// What overrides or states `key`. A variable is text where text is wanted, else TOML.
    fn find(&self, key: &'static str, is_text: bool) -> Option<Found<'a>> {
        self.keys.borrow_mut().push(key);
        self.reader.know(self.name, key);
        if self.overridable
            && let (variable, Some(text)) = self.reader.override_of(self.name, key)
        {
            return self.read_variable(key, variable, text, is_text);
        }
        let value = self.table?.get(key)?;
        Some(Found {
            value: value.get_ref().clone(),
            at: At::File(value.span()),
        })
    }

    fn read_variable(
        &self,
        key: &str,
        name: String,
        text: &'a str,
        is_text: bool,
    ) -> Option<Found<'a>> {
        let at = At::Variable(name);
        if is_text {
            let value = DeValue::String(text.into());
            return Some(Found { value, at });
        }
        match DeValue::parse(text) {
            Ok(value) => Some(Found {
                value: value.into_inner(),
                at,
            }),
            Err(error) => {
                self.refuse(key, &at, error.message());
                None
            }
        }
    }

    /// Notes what is wrong with the value of `key`.
    pub(crate) fn refuse(&self, key: &str, at: &At, why: impl Display) {
        self.reader
            .note(at.clone(), format_args!("{} {key}: {why}", self.title));
    }

    fn wrong_type(&self, key: &str, at: &At, wanted: &str, found: &DeValue<'_>) {
        let found = found.type_str();
        self.refuse(key, at, format_args!("must be {wanted}, found {found}"));
    }

    /// A string, parsed; `None` where the key is absent.
    pub(crate) fn parse_with<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str, &At) -> Result<T, E>,
    ) -> Option<T> {
        let Found { value, at } = self.find(key, true)?;
        let Some(text) = value.as_str() else {
            self.wrong_type(key, &at, "a string", &value);
            return None;
        };
        parse(text, &at)
            .map_err(|error| self.refuse(key, &at, error))
            .ok()
    }

    /// A string, parsed into its type.
    pub(crate) fn parse<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<T> {
        self.parse_with(key, |text, _| text.parse())
    }

    /// Like [`parse`](Self::parse), but `""` says nothing, as the documented `ca_cert = ""` does.
    pub(crate) fn parse_unless_empty<T: FromStr<Err: Display>>(
        &self,
        key: &'static str,
    ) -> Option<T> {
        self.parse_with(key, |text, _| {
            (!text.is_empty()).then(|| text.parse()).transpose()
        })?
    }

    /// A string that has to be there, and where it is; `example` is how it is written.
    pub(crate) fn required<T: FromStr<Err: Display>>(
        &self,
        key: &'static str,
        example: &str,
    ) -> Option<(T, At)> {
        if self.is_absent(key) {
            let mut message = format!("{} {key} is missing: write {key} = {example:?}", self.title);
            if self.overridable {
                let (variable, _) = self.reader.override_of(self.name, key);
                message.extend([", or set ", &variable]);
            }
            self.reader.note(At::File(self.header.clone()), message);
        }
        self.parse_with(key, |text, at| {
            text.parse().map(|value| (value, at.clone()))
        })
    }

    fn is_absent(&self, key: &str) -> bool {
        let overridden = self.overridable && self.reader.override_of(self.name, key).1.is_some();
        !overridden && self.table.is_none_or(|table| !table.contains_key(key))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, key: &'static str) -> Option<bool> {
        let Found { value, at } = self.find(key, false)?;
        let found = value.as_bool();
        if found.is_none() {
            self.wrong_type(key, &at, "true or false", &value);
        }
        found
    }

    /// A whole number within `range`.
    pub(crate) fn number(&self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let Found { value, at } = self.find(key, false)?;
        let Some(integer) = value.as_integer() else {
            self.wrong_type(key, &at, "a whole number", &value);
            return None;
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = range.into_inner();
            self.refuse(key, &at, format_args!("must be from {least} to {most}"));
        }
        number
    }

    /// A duration as text, within `range`.
    pub(crate) fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.placed_duration(key, range).map(|(time, _)| time)
    }

    /// Like [`duration`](Self::duration), with where it is.
    pub(crate) fn placed_duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<(Duration, At)> {
        self.parse_with(key, |text, at| {
            let time = humantime::parse_duration(text).map_err(|_| {
                format!(
                    "{text:?} is not a duration: write a number and ms, s, m, h or d, as in \"60s\""
                )
            })?;
            if range.contains(&time) {
                return Ok((time, at.clone()));
            }
            let show = humantime::format_duration;
            Err(format!(
                "{text:?} is out of range: from {} to {}",
                show(*range.start()),
                show(*range.end())
            ))
        })
    }

    /// A list of strings, each parsed.
    pub(crate) fn list<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<Vec<T>> {
        let Found { value, at } = self.find(key, false)?;
        let Some(array) = value.as_array() else {
            self.wrong_type(key, &at, "a list of strings", &value);
            return None;
        };
        let entry = |entry: &toml::Spanned<DeValue<'_>>| {
            let at = at.narrowed(entry.span());
            let Some(text) = entry.get_ref().as_str() else {
                self.wrong_type(key, &at, "a list of strings", entry.get_ref());
                return None;
            };
            text.parse()
                .map_err(|error| self.refuse(key, &at, error))
                .ok()
        };
        Some(array.iter().filter_map(entry).collect())
    }

    /// A table of strings, names and values parsed.
    pub(crate) fn table<K: FromStr<Err: Display> + Ord, V: FromStr<Err: Display>>(
        &self,
        key: &'static str,
    ) -> Option<BTreeMap<K, V>> {
        let Found { value, at } = self.find(key, false)?;
        let Some(table) = value.as_table() else {
            self.wrong_type(key, &at, "a table of strings", &value);
            return None;
        };
        let mut read = BTreeMap::new();
        for (name, value) in table {
            let at = at.narrowed(value.span());
            let Some(text) = value.get_ref().as_str() else {
                self.wrong_type(key, &at, "a table of strings", value.get_ref());
                continue;
            };
            match (name.get_ref().parse(), text.parse()) {
                (Ok(name), Ok(text)) => {
                    read.insert(name, text);
                }
                (Err(error), _) => self.refuse(key, &at, error),
                (_, Err(error)) => self.refuse(key, &at, error),
            }
        }
        Some(read)
    }

    /// Notes every key that was not asked for.
    pub(crate) fn refuse_unknown(&self) {
        let known = self.keys.borrow();
        for (key, _) in self.table.into_iter().flatten() {
            if !known.iter().any(|name| *name == key.get_ref()) {
                let message = unknown("key", key.get_ref(), &known);
                self.reader.note(
                    At::File(key.span()),
                    format_args!("{} {message}", self.title),
                );
            }
        }
    }
}

impl At {
    /// The place of a part: in a file its own, in a variable the variable.
    fn narrowed(&self, span: Range<usize>) -> Self {
        match self {
            Self::File(_) => Self::File(span),
            Self::Variable(name) => Self::Variable(name.clone()),
        }
    }
}
