//! An alert command that remembers what it was told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::until;

/// A script that keeps the variables of each of its runs.
#[derive(Debug)]
pub struct Alerts {
    dir: TempDir,
}

impl Alerts {
    /// Makes the script.
    #[expect(clippy::new_without_default, reason = "it writes files")]
    pub fn new() -> Self {
        Self::and_then("")
    }

    /// Makes a script that ends the agent with SIGKILL at its first run, before the agent can know
    /// that it was run.
    pub fn that_kill_the_agent_once() -> Self {
        Self::and_then("mkdir once 2>/dev/null && kill -KILL \"$PPID\"\n:\n")
    }

    fn and_then(last: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let script = format!(
            "#!/bin/sh\ncd '{}' || exit\n\
             env | sort >\"$$.part\" && mv \"$$.part\" \"$(date +%s%N).alert\"\n{last}",
            dir.path().display()
        );
        let alerts = Self { dir };
        fs::write(alerts.command(), script).expect("the folder is writable");
        fs::set_permissions(alerts.command(), fs::Permissions::from_mode(0o755))
            .expect("a file of our own");
        alerts
    }

    /// The command to configure.
    pub fn command(&self) -> PathBuf {
        self.dir.path().join("alert")
    }

    /// The variables of every run so far, in order.
    pub fn received(&self) -> Vec<BTreeMap<String, String>> {
        let entries = fs::read_dir(self.dir.path()).expect("the folder is there");
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("it is readable").path())
            .collect();
        files.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "alert")
        });
        files.sort();
        let variables = |path| -> BTreeMap<String, String> {
            let text = fs::read_to_string(path).expect("a run is complete once it has its name");
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        files.into_iter().map(variables).collect()
    }

    /// The variables of every run so far that was not about the node as a whole: a runtime that fails
    /// for long enough is an outage of the node (S31), and how long a test takes is not fixed.
    pub fn about_components(&self) -> Vec<BTreeMap<String, String>> {
        let mut received = self.received();
        received.retain(|alert| alert["MCP_ALERT_TYPE"] != "outage");
        received
    }

    /// Waits until there were `count` runs, and returns the last of them.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> BTreeMap<String, String> {
        until(&format!("alert number {count}"), || {
            self.received().into_iter().nth(count - 1)
        })
    }
}
