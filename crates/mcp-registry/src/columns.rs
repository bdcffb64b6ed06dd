//! Between columns and the model's types. A value that does not read back is an error that names
//! its column; it is never replaced by a default.

use std::error::Error;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use mcp_model::{ComponentKey, ContainerId, Instance, Moment, Stamp};
use rusqlite::types::Type;
use rusqlite::{Result, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A stored value that is not one of those that this release writes.
#[derive(Debug)]
struct Unreadable {
    column: String,
    why: String,
}

impl Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.why)
    }
}

impl Error for Unreadable {}

fn unreadable(column: &str, why: impl Display) -> rusqlite::Error {
    let (column, why) = (column.to_owned(), why.to_string());
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(Unreadable { column, why }))
}

/// A column of a type that is parsed from text.
pub(crate) fn text<T: FromStr<Err: Display>>(row: &Row<'_>, column: &str) -> Result<T> {
    let value = row
        .get_ref(column)?
        .as_str()
        .map_err(|e| unreadable(column, e))?;
    value.parse().map_err(|e| unreadable(column, e))
}

/// As [`text`], where the column may be NULL.
pub(crate) fn maybe_text<T: FromStr<Err: Display>>(
    row: &Row<'_>,
    column: &str,
) -> Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null() {
        Ok(None) => Ok(None),
        Ok(Some(value)) => value.parse().map(Some).map_err(|e| unreadable(column, e)),
        Err(why) => Err(unreadable(column, why)),
    }
}

/// A column that holds JSON.
pub(crate) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    maybe_json(row, column)?.ok_or_else(|| unreadable(column, "it is NULL"))
}

/// As [`json`], where the column may be NULL.
pub(crate) fn maybe_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null() {
        Ok(None) => Ok(None),
        Ok(Some(value)) => serde_json::from_str(value)
            .map(Some)
            .map_err(|e| unreadable(column, e)),
        Err(why) => Err(unreadable(column, why)),
    }
}

/// What [`json`] reads back.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

/// A life, or NULL.
pub(crate) fn instance_json(instance: Option<&Instance>) -> Result<Option<String>> {
    instance.map(to_json).transpose()
}

/// A count that is never negative.
pub(crate) fn count(row: &Row<'_>, column: &str) -> Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|e| unreadable(column, e))
}

/// As [`count`], where the column may be NULL.
pub(crate) fn maybe_count(row: &Row<'_>, column: &str) -> Result<Option<u64>> {
    let value: Option<i64> = row.get(column)?;
    value
        .map(|v| u64::try_from(v).map_err(|e| unreadable(column, e)))
        .transpose()
}

/// A count as `SQLite` holds it. Counters of revisions and generations never come near its end.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The key in the columns `service` and `component`.
pub(crate) fn key(row: &Row<'_>) -> Result<ComponentKey> {
    Ok(ComponentKey::new(
        text(row, "service")?,
        text(row, "component")?,
    ))
}

/// The container in a column that may be NULL.
pub(crate) fn container(row: &Row<'_>, column: &str) -> Result<Option<ContainerId>> {
    maybe_text(row, column)
}

/// A moment as its three columns hold it.
pub(crate) struct MomentColumns {
    /// The wall clock.
    pub(crate) at: String,
    /// Milliseconds since boot.
    pub(crate) boot_ms: i64,
    /// The boot.
    pub(crate) boot_id: String,
}

impl From<&Moment> for MomentColumns {
    fn from(moment: &Moment) -> Self {
        Self {
            at: moment.wall.to_string(),
            boot_ms: millis(moment.boot),
            boot_id: moment.boot_id.to_string(),
        }
    }
}

/// Whole milliseconds, as they are stored.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The moment in the columns `<prefix>_at`, `<prefix>_boot_ms` and `<prefix>_boot_id`.
pub(crate) fn moment(row: &Row<'_>, prefix: &str) -> Result<Moment> {
    moment_in(row, &format!("{prefix}_at"), &format!("{prefix}_"))
}

/// As [`moment`], where the columns may be NULL.
pub(crate) fn maybe_moment(row: &Row<'_>, prefix: &str) -> Result<Option<Moment>> {
    let at: Option<String> = row.get(format!("{prefix}_at").as_str())?;
    at.map(|_| moment(row, prefix)).transpose()
}

/// The moment in a column for the wall clock and the columns `<prefix>boot_ms`, `<prefix>boot_id`.
pub(crate) fn moment_in(row: &Row<'_>, at: &str, prefix: &str) -> Result<Moment> {
    Ok(Moment {
        wall: text::<Stamp>(row, at)?,
        boot: Duration::from_millis(count(row, &format!("{prefix}boot_ms"))?),
        boot_id: text(row, &format!("{prefix}boot_id"))?,
    })
}
