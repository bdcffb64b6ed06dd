//! The folder through which a test and an agent with failpoints speak.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// A point, and the how manieth passing of it.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    name: String,
    count: usize,
}

impl Point {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.count)
    }
}

pub(crate) struct Points(TempDir);

impl Points {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Has the agent killed at a point.
    pub(crate) fn arm(&self, point: &Point) {
        let (part, whole) = (self.0.path().join("part"), self.0.path().join("kill"));
        fs::write(&part, point.to_string()).expect("a folder of ours");
        fs::rename(part, whole).expect("a folder of ours");
    }

    /// Whether the point that was armed has not been passed so often yet; it is not armed any more.
    pub(crate) fn disarm(&self) -> bool {
        fs::remove_file(self.0.path().join("kill")).is_ok()
    }

    /// How many points were passed so far.
    pub(crate) fn count(&self) -> usize {
        self.lines().len()
    }

    /// What was passed since there were `before`.
    pub(crate) fn since(&self, before: usize) -> Vec<Point> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        let passed = self.lines().split_off(before);
        let point = |name: String| {
            let count = counts.entry(name.clone()).or_default();
            *count += 1;
            Point {
                count: *count,
                name,
            }
        };
        passed.into_iter().map(point).collect()
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.path().join("passed"))
            .expect("an agent with failpoints: `make build` makes one");
        text.lines().map(str::to_owned).collect()
    }
}
