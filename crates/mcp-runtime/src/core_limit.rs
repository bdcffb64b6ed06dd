//! Core files: the agent leaves none, since its memory holds secrets. What it runs leaves those that
//! it would leave without it.
//!
//! podman hands its own limit on core files down to containers. So a child that may start one gets
//! the limit back that the agent was started with, while it waits behind its gate (see `children`).
//! What only looks, and the alert command, go without core files like the agent.

use std::io;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The limit on core files that this process was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreLimit(Rlimit);

impl CoreLimit {
    /// Has this process and its children leave no core files, and remembers what the limit was.
    pub fn lower() -> io::Result<Self> {
        let before = getrlimit(Resource::Core);
        // Only the soft limit: who is not root could not give children the hard one back.
        let none = Rlimit {
            current: Some(0),
            ..before
        };
        setrlimit(Resource::Core, none)?;
        Ok(Self(before))
    }

    /// Gives a child the limit as it was.
    pub(crate) fn give_back(self, child: Pid) -> io::Result<()> {
        prlimit(Some(child), Resource::Core, self.0)?;
        Ok(())
    }
}
