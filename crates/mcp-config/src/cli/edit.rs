//! The edits that `mcp node add` and `mcp node remove` make: pure, text to text.
//!
//! The parser says where a node stands, and only those bytes change: comments, blanks and line
//! ends elsewhere cannot be lost, because nothing is written anew.

use std::ops::Range;
use std::path::Path;

use mcp_model::NodeName;
use toml::de::{DeString, DeTable, DeValue};

use super::{CliConfig, Node};
use crate::{ConfigError, file};

/// `text` with `node` added; every other byte is as it was. A node of that name is refused, or
/// given the new values where `replace` says so.
pub fn add_node(text: &str, node: &Node, replace: bool) -> Result<String, ConfigError> {
    let list = List::find(text)?;
    let values = values_of(node)?;
    let mut edited = text.to_owned();
    match (list.position(&node.name), list.is_inline) {
        (Some(_), _) if !replace => return Err(ConfigError::NodeExists(node.name.clone())),
        (Some(index), true) => {
            edited.replace_range(list.entries[index].place.clone(), &inline(&values));
        }
        (Some(index), false) => list.entries[index].set(&mut edited, &values, list.newline),
        (None, true) => {
            let (at, comma) = match list.entries.last() {
                Some(before) => (before.place.end, ", "),
                None => (list.place.start + 1, ""),
            };
            edited.insert_str(at, &format!("{comma}{}", inline(&values)));
        }
        (None, false) => append_block(&mut edited, &values, list.newline),
    }
    Ok(edited)
}

/// `text` without the node `name` and the comment right above it; every other byte is as it was.
pub fn remove_node(text: &str, name: &NodeName) -> Result<String, ConfigError> {
    let list = List::find(text)?;
    let index = list
        .position(name)
        .ok_or_else(|| ConfigError::NoSuchNode(name.clone()))?;
    let place = |index: usize| list.entries[index].place.clone();
    let gone = if !list.is_inline {
        paragraph(text, list.entries[index].extent())
    } else if index + 1 < list.entries.len() {
        place(index).start..place(index + 1).start
    } else if index > 0 {
        place(index - 1).end..place(index).end
    } else {
        // All there is between the brackets, a trailing comma included.
        list.place.start + 1..list.place.end - 1
    };
    let mut edited = text.to_owned();
    edited.replace_range(gone, "");
    Ok(edited)
}

/// The text of the file to edit; empty where there is none yet.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    match file::read(path) {
        Err(error) if error.is_missing_file() => Ok(String::new()),
        read => read,
    }
}

/// Writes `text` to `path`, at once or not at all. A new file gets mode 0600 and its directories
/// 0700; an existing one keeps its mode, and a symbolic link stays one.
pub fn write(path: &Path, text: &str) -> Result<(), ConfigError> {
    file::replace(path, text)
}

/// The keys of a node and their values as TOML; `None` where it has none.
type Values = [(&'static str, Option<String>); 5];

fn values_of(node: &Node) -> Result<Values, ConfigError> {
    let path = |path: &Option<std::path::PathBuf>| match path.as_ref().map(|p| (p, p.to_str())) {
        None => Ok(None),
        Some((_, Some(text))) => Ok(Some(quote(text))),
        Some((path, None)) => Err(ConfigError::NotUtf8(path.clone())),
    };
    Ok([
        ("name", Some(quote(node.name.as_str()))),
        ("address", Some(quote(&node.address.to_string()))),
        ("token_path", path(&node.token_path)?),
        ("ca_cert", path(&node.ca_cert)?),
        ("server_name", node.server_name.as_deref().map(quote)),
    ])
}

fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn lines(values: &Values) -> impl Iterator<Item = String> {
    values
        .iter()
        .filter_map(|(key, value)| value.as_ref().map(|value| format!("{key} = {value}")))
}

fn inline(values: &Values) -> String {
    let pairs: Vec<String> = lines(values).collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn append_block(text: &mut String, values: &Values, newline: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str(newline);
    }
    if !text.is_empty() {
        text.push_str(newline);
    }
    for line in std::iter::once("[[nodes]]".to_owned()).chain(lines(values)) {
        text.push_str(&line);
        text.push_str(newline);
    }
}

/// Where the nodes stand in a text.
struct List {
    /// `nodes = [ … ]`, not `[[nodes]]`.
    is_inline: bool,
    place: Range<usize>,
    entries: Vec<Entry>,
    newline: &'static str,
}

struct Entry {
    name: NodeName,
    /// The header of a block, or the whole of an inline table.
    place: Range<usize>,
    fields: Vec<Field>,
}

struct Field {
    key: String,
    /// From the key to the end of its value.
    place: Range<usize>,
    /// The value alone, as TOML writes it.
    value_place: Range<usize>,
    value: Option<String>,
}

impl List {
    /// Refuses what is not a valid configuration: an edit must not be the end of it.
    fn find(text: &str) -> Result<Self, ConfigError> {
        let home = ("HOME".to_owned(), "/".to_owned());
        let config = CliConfig::parse(text, Path::new("mcp.toml"), [home])?;
        let table = DeTable::parse(text).map(toml::Spanned::into_inner);
        let table = table.unwrap_or_default();
        let list = table.get("nodes");
        let place = list.map_or(0..0, toml::Spanned::span);
        let entries = list.and_then(|list| list.get_ref().as_array());
        let entries = entries
            .into_iter()
            .flatten()
            .zip(config.nodes)
            .map(|(entry, node)| Entry::new(node.name, entry))
            .collect();
        Ok(Self {
            is_inline: text[place.clone()].starts_with('[')
                && !text[place.clone()].starts_with("[["),
            place,
            entries,
            newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
        })
    }

    fn position(&self, name: &NodeName) -> Option<usize> {
        self.entries.iter().position(|entry| entry.name == *name)
    }
}

impl Entry {
    fn new(name: NodeName, entry: &toml::Spanned<DeValue<'_>>) -> Self {
        let fields = entry.get_ref().as_table().into_iter().flatten();
        let field = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| Field {
            key: DeString::to_string(key.get_ref()),
            place: key.span().start..value.span().end,
            value_place: value.span(),
            value: value.get_ref().as_str().map(quote),
        };
        Self {
            name,
            place: entry.span(),
            fields: fields.map(field).collect(),
        }
    }

    /// From the header to the last value.
    fn extent(&self) -> Range<usize> {
        let end = self.fields.iter().map(|field| field.place.end).max();
        self.place.start..end.unwrap_or(self.place.end)
    }

    /// Gives a block new values: what is there is exchanged, the rest added below or taken out.
    fn set(&self, text: &mut String, values: &Values, newline: &str) {
        let mut changes: Vec<(Range<usize>, String)> = Vec::new();
        let mut added = String::new();
        for (key, value) in values {
            let found = self.fields.iter().find(|field| field.key == *key);
            match (found, value) {
                // However it is quoted: what says the same stays as it was written.
                (Some(field), _) if field.value == *value => {}
                (Some(field), Some(value)) => {
                    changes.push((field.value_place.clone(), value.clone()));
                }
                (Some(field), None) => {
                    changes.push((line_range(text, field.place.clone()), String::new()));
                }
                (None, Some(value)) => added.extend([key, " = ", value, newline]),
                (None, None) => {}
            }
        }
        let end = line_range(text, self.extent()).end;
        if !added.is_empty() && !text[..end].ends_with('\n') {
            added.insert_str(0, newline);
        }
        changes.push((end..end, added));
        // From the back, so that the places before stay right.
        changes.sort_by_key(|(place, _)| std::cmp::Reverse((place.start, place.end)));
        for (place, value) in changes {
            text.replace_range(place, &value);
        }
    }
}

/// The whole lines that `range` touches.
fn line_range(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[range.end..]
        .find('\n')
        .map_or(text.len(), |at| range.end + at + 1);
    start..end
}

/// `range` with its whole lines, the comment lines right above it, those right below it unless
/// they lead to something else, and one blank line.
fn paragraph(text: &str, range: Range<usize>) -> Range<usize> {
    let mut range = line_range(text, range);
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    while range.start > 0 {
        let above = line_range(text, range.start - 1..range.start - 1);
        if !is_comment(&text[above.clone()]) {
            break;
        }
        range.start = above.start;
    }
    let below = &text[range.end..];
    let comments: usize = below
        .split_inclusive('\n')
        .take_while(|line| is_comment(line))
        .map(str::len)
        .sum();
    let next = below[comments..].split_inclusive('\n').next();
    if next.is_none_or(|line| line.trim().is_empty()) {
        range.end += comments + next.map_or(0, str::len);
    }
    if range.end == text.len() && range.start > 0 {
        let above = line_range(text, range.start - 1..range.start - 1);
        if text[above.clone()].trim().is_empty() {
            range.start = above.start;
        }
    }
    range
}
