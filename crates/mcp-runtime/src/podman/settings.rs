//! What podman's adapter has to be told.

use std::time::Duration;

use crate::argv::PodmanArgs;
use crate::children::Children;
use crate::mount::MountPolicy;

/// How long each kind of call may take. Pulls come with a limit of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Listing, inspecting, reading output, version and settings.
    pub look: Duration,
    /// Running, starting, removing and renaming.
    pub act: Duration,
    /// Stopping, beyond the grace.
    pub stop: Duration,
}

impl Deadlines {
    /// Deadlines that follow from how long a look may take.
    #[must_use]
    pub fn of_look(look: Duration) -> Self {
        Self {
            look,
            act: look * 2,
            stop: look,
        }
    }
}

impl Default for Deadlines {
    /// Thirty seconds for a look.
    fn default() -> Self {
        Self::of_look(Duration::from_secs(30))
    }
}

/// Everything that [`Podman`](super::Podman) needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to call it.
    pub podman: PodmanArgs,
    /// This agent's instance id, for the `mcp.agent` label (S3).
    pub agent: String,
    /// What may be mounted.
    pub mounts: MountPolicy,
    /// How long calls may take.
    pub deadlines: Deadlines,
    /// The longest answer that is read, in bytes.
    pub answer_limit: usize,
    /// Where calls that may change something are recorded (S15); absent, a killed caller's calls
    /// outlive it.
    pub children: Option<Children>,
}

impl Settings {
    /// Settings with default deadlines and limits.
    pub fn new(podman: PodmanArgs, agent: String, mounts: MountPolicy) -> Self {
        Self {
            podman,
            agent,
            mounts,
            deadlines: Deadlines::default(),
            answer_limit: 64 * 1024 * 1024,
            children: None,
        }
    }
}
