//! The one edit that commands make: `active` (S53).
//!
//! The parser says where the value stands, and only those bytes are exchanged: comments, blanks,
//! line ends and the order of keys cannot be lost, because nothing is written anew.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::fields::Draft;
use crate::{DefinitionError, file};

/// `text` with `active` set, every other byte as it was. `name` is what errors call the text.
///
/// The rest of the text need not be a valid definition, so that a service can be stopped while its
/// file is being worked on; it has to be TOML, though.
pub fn set_active(text: &str, name: &str, active: bool) -> Result<String, DefinitionError> {
    let invalid = |span, message: &str| {
        let draft = Draft {
            span,
            message: message.to_owned(),
            hint: None,
        };
        DefinitionError::invalid(name, text, vec![draft])
    };
    let parsed = DeTable::parse(text)
        .map_err(|error| invalid(error.span().unwrap_or(0..0), error.message()))?;
    let table = parsed.get_ref();
    let Some(value) = table.get("active") else {
        return Ok(insert_active(text, table, active));
    };
    match value.get_ref() {
        DeValue::Boolean(found) if *found == active => Ok(text.to_owned()),
        DeValue::Boolean(_) => {
            let mut edited = text.to_owned();
            edited.replace_range(value.span(), if active { "true" } else { "false" });
            Ok(edited)
        }
        _ => Err(invalid(value.span(), "`active` must be true or false")),
    }
}

/// Adds the key below `node`, else below `name`, else at the top. Absent means `true`, so nothing
/// is added to say that.
fn insert_active(text: &str, table: &DeTable<'_>, active: bool) -> String {
    if active {
        return text.to_owned();
    }
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let line = format!("active = false{newline}");
    let above = ["node", "name"]
        .iter()
        .filter_map(|key| table.get(*key))
        .find(|value| value.get_ref().is_str());
    let mut edited = text.to_owned();
    let Some(above) = above else {
        let start = text.len() - text.trim_start_matches('\u{feff}').len();
        edited.insert_str(start, &line);
        return edited;
    };
    let end = above.span().end;
    if let Some(line_end) = text[end..].find('\n') {
        edited.insert_str(end + line_end + 1, &line);
    } else {
        edited.push_str(newline);
        edited.push_str(&line);
    }
    edited
}

/// Whether [`set_active_in_file`] would succeed, so that it can be asked before anything else is
/// done (S53).
pub fn check_writable(path: &Path) -> Result<(), DefinitionError> {
    let text = file::read(path)?;
    set_active(&text, &path.to_string_lossy(), true)?;
    file::check_replaceable(path)
}

/// Sets `active` in the file, at once or not at all. The file keeps its mode; a symbolic link
/// stays one and its target changes. Returns whether anything had to change.
pub fn set_active_in_file(path: &Path, active: bool) -> Result<bool, DefinitionError> {
    let text = file::read(path)?;
    let edited = set_active(&text, &path.to_string_lossy(), active)?;
    if edited == text {
        return Ok(false);
    }
    file::replace(path, &edited)?;
    Ok(true)
}
