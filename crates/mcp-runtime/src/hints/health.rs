//! How the hint sources fare, for health, status and the watchdog.

use std::collections::BTreeMap;

use tokio::sync::watch;
use tokio::time::Instant;

/// A hint source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceName {
    /// pidfds of container processes.
    Pidfd,
    /// Event log and exit files.
    Inotify,
    /// The `podman events` follower.
    Follower,
}

impl SourceName {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pidfd => "pidfd",
            Self::Inotify => "inotify",
            Self::Follower => "podman events",
        }
    }
}

/// How one source fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceHealth {
    /// Whether hints can come from it now.
    pub healthy: bool,
    /// When the last one came.
    pub last_seen: Option<Instant>,
    /// What it watches, or what is wrong with it.
    pub detail: String,
}

/// How every running source fares.
pub type HealthMap = BTreeMap<SourceName, SourceHealth>;

/// Publishes how the sources fare. A hint moves `last_seen` without waking anybody: only a change
/// of health is news.
#[derive(Debug)]
pub(crate) struct Reporter(watch::Sender<HealthMap>);

impl Reporter {
    pub(crate) fn new() -> (Self, watch::Receiver<HealthMap>) {
        let (sender, receiver) = watch::channel(HealthMap::new());
        (Self(sender), receiver)
    }

    pub(crate) fn set(&self, name: SourceName, healthy: bool, detail: &str) {
        self.0.send_if_modified(|map| {
            let last_seen = map.get(&name).and_then(|source| source.last_seen);
            let detail = detail.to_owned();
            let now = SourceHealth {
                healthy,
                last_seen,
                detail,
            };
            map.insert(name, now.clone()) != Some(now)
        });
    }

    pub(crate) fn seen(&self, name: SourceName) {
        self.0.send_if_modified(|map| {
            if let Some(source) = map.get_mut(&name) {
                source.last_seen = Some(Instant::now());
            }
            false
        });
    }
}
