//! Hints: where to look before the next resync does (S26).
//!
//! Losing all of them costs latency, never truth: a hint carries at most the id of a container,
//! and whoever takes it looks for himself. Three sources feed one bounded channel:
//!
//! ```text
//! pidfds of container processes   0.5 ms   pidfd    ─┐
//! exit files, event log (inotify) 2-35 ms  inotify  ─┼─► HintSender ─► HintReceiver
//! `podman events`, for journald   190 ms   follower ─┘
//! ```

mod channel;
mod follower;
mod health;
mod inotify;
mod pidfd;
mod sources;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::argv::PodmanArgs;

pub use channel::{Hint, HintReceiver, HintSender, channel};
pub use health::{HealthMap, SourceHealth, SourceName};
pub use pidfd::ProcessWatch;
pub use sources::{EventSource, HintSources};

use health::Reporter;

/// The hint sources of one runtime, ready to run.
pub struct Hints {
    podman: PodmanArgs,
    sources: HintSources,
    sender: HintSender,
    processes: watch::Receiver<pidfd::Wanted>,
    reporter: Reporter,
}

/// The ends of [`Hints`] that others hold.
pub struct HintHandles {
    /// Says which processes to watch.
    pub processes: ProcessWatch,
    /// How every source fares, by name.
    pub health: watch::Receiver<HealthMap>,
}

impl Hints {
    /// Hints from `sources` into `sender`.
    pub fn new(
        podman: PodmanArgs,
        sources: HintSources,
        sender: HintSender,
    ) -> (Self, HintHandles) {
        let (processes, wanted) = pidfd::wanted();
        let (reporter, health) = Reporter::new();
        let hints = Self {
            podman,
            sources,
            sender,
            processes: wanted,
            reporter,
        };
        (hints, HintHandles { processes, health })
    }

    /// Runs every source in this one task until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            podman,
            sources,
            sender,
            processes,
            reporter,
        } = self;
        let follower = async {
            if sources.events == EventSource::Follower {
                follower::run(&podman.events(), &sender, &reporter).await;
            }
        };
        let all = async {
            tokio::join!(
                pidfd::run(processes, &sender, &reporter),
                inotify::run(&sources.directories, &sender, &reporter),
                follower,
            )
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = all => {}
        }
    }
}

#[cfg(test)]
mod tests;
