//! Single fields of text.

use std::fmt::Display;
use std::str::FromStr;

use super::InvalidField;

/// Longest reason that an operator may give, in bytes.
pub const MAX_REASON: usize = 1024;

/// A field that must be there and parse.
pub fn required<T>(field: &str, text: &str) -> Result<T, InvalidField>
where
    T: FromStr<Err: Display>,
{
    if text.is_empty() {
        return Err(InvalidField::new(field, "it must be set"));
    }
    text.parse()
        .map_err(|why: T::Err| InvalidField::new(field, why.to_string()))
}

/// A field that must parse where it is there. Empty means that nothing was said.
pub fn optional<T>(field: &str, text: &str) -> Result<Option<T>, InvalidField>
where
    T: FromStr<Err: Display>,
{
    if text.is_empty() {
        return Ok(None);
    }
    required(field, text).map(Some)
}

/// The operator's reason for a change: free text that is stored and shown again.
pub fn reason(field: &str, text: String) -> Result<String, InvalidField> {
    if text.len() > MAX_REASON {
        let why = format!("it has {} bytes, at most {MAX_REASON}", text.len());
        return Err(InvalidField::new(field, why));
    }
    Ok(text)
}
