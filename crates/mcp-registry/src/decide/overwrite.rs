//! Whose intent a change would overwrite (S10).

use std::fmt;
use std::time::Duration;

use mcp_model::{ComponentKey, Moment, Origin, ServiceRecord};

use super::{Aspect, ComponentChange, ServiceChange, component};
use crate::error::AcceptError;

/// Intent that somebody else stated and that a change would overwrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overwrite {
    /// Of which component.
    pub key: ComponentKey,
    /// Who stated it: `<subject>@<host>`.
    pub by: String,
    /// How long ago.
    pub age: Duration,
    /// What of it: `its spec`, `what is wanted of it`, `that it exists`.
    pub what: &'static str,
}

impl fmt::Display for Overwrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, by, age, what } = self;
        write!(f, "{key} ({what}) was changed by {by} {} ago", rough(*age))
    }
}

/// The largest unit: `5 s`, `12 min`, `2 h`, `3 days`.
fn rough(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Refuses what would overwrite intent of another origin than `by`.
pub(crate) fn check_overwrites<'a>(
    changes: impl IntoIterator<Item = (&'a ServiceChange, Option<&'a ServiceRecord>)>,
    by: &Origin,
    now: Moment,
) -> Result<(), AcceptError> {
    let found: Vec<_> = changes
        .into_iter()
        .flat_map(|(change, old)| overwrites(change, old, &by.name(), now))
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(AcceptError::Overwrites(found))
}

fn overwrites(
    change: &ServiceChange,
    old: Option<&ServiceRecord>,
    by: &str,
    now: Moment,
) -> Vec<Overwrite> {
    let found = change.components.iter().filter_map(|change| {
        let record = component(old, &change.key)?;
        // Whose it is was not noted before there was a rule about it.
        let of_another = !record.intent_by.is_empty() && record.intent_by != by;
        of_another.then_some(())?;
        Some(Overwrite {
            key: change.key.clone(),
            by: record.intent_by.clone(),
            age: now.since(&record.intent_at),
            what: overwritten(change)?,
        })
    });
    found.collect()
}

fn overwritten(change: &ComponentChange) -> Option<&'static str> {
    if change.is_newly_orphaned() {
        Some("that it exists")
    } else if change.is_in(Aspect::Spec) {
        Some("its spec")
    } else if change.is_in(Aspect::Desired) {
        Some("what is wanted of it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let said = |seconds| rough(Duration::from_secs(seconds));
        let expected = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (7_500, "2 h"),
            (172_800, "2 days"),
        ];
        for (seconds, words) in expected {
            assert_eq!(said(seconds), words);
        }
    }
}
