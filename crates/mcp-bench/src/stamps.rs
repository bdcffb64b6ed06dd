//! When the alert command ran.
//!
//! The agent runs this program itself as the alert command, so that no shell's start-up is measured
//! along: the first thing that it does is to look at the clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// Suffix of a stamp that is there whole.
const DONE: &str = "stamp";

/// One run of the alert command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When it started, on [`crate::clock::now`].
    pub(crate) at: Duration,
    /// `opened`, `closed` or `reminder`.
    pub(crate) event: String,
    /// `drift` or `flapping`.
    pub(crate) kind: String,
    /// Of which component.
    pub(crate) component: String,
}

/// Leaves a stamp of `at` in `folder`: what the alert command does.
pub(crate) fn leave(folder: &Path, at: Duration) -> Result<()> {
    let told = |name: &str| std::env::var(name).unwrap_or_default();
    let text = format!(
        "{}\n{}\n{}\n{}\n",
        at.as_nanos(),
        told("MCP_ALERT_EVENT"),
        told("MCP_ALERT_TYPE"),
        told("MCP_COMPONENT"),
    );
    let part = folder.join(format!("{}-{}", at.as_nanos(), std::process::id()));
    fs::write(&part, text).context("cannot write the stamp")?;
    fs::rename(&part, part.with_extension(DONE)).context("cannot name the stamp")
}

/// Where stamps are left.
#[derive(Debug)]
pub(crate) struct Stamps {
    folder: TempDir,
}

impl Stamps {
    /// A folder without stamps.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for stamps")?;
        Ok(Self { folder })
    }

    /// The alert command that leaves them, as the configuration wants it.
    pub(crate) fn command(&self) -> Result<String> {
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        let argv = [program, "stamp".into(), self.folder.path().to_owned()];
        let argv: Vec<PathBuf> = argv.into();
        serde_json::to_string(&argv).context("cannot write the alert command")
    }

    /// When the opening of a drift of `component` was told, not before `since`.
    pub(crate) fn opened(&self, component: &str, since: Duration) -> Option<Duration> {
        let entries = fs::read_dir(self.folder.path()).ok()?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let whole = paths.filter(|path| path.extension().is_some_and(|suffix| suffix == DONE));
        let mut found: Vec<Duration> = whole
            .filter_map(|path| read(&fs::read_to_string(path).ok()?))
            .filter(|stamp| {
                stamp.at >= since
                    && stamp.event == "opened"
                    && stamp.kind == "drift"
                    && stamp.component == component
            })
            .map(|stamp| stamp.at)
            .collect();
        found.sort();
        found.first().copied()
    }
}

fn read(text: &str) -> Option<Stamp> {
    let mut lines = text.lines().map(str::to_owned);
    let nanos: u64 = lines.next()?.parse().ok()?;
    Some(Stamp {
        at: Duration::from_nanos(nanos),
        event: lines.next()?,
        kind: lines.next()?,
        component: lines.next()?,
    })
}
