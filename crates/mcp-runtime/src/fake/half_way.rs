//! What a podman leaves that is killed in the middle of a call (measured with 4.3.1 and runc).

use mcp_model::{ContainerId, RuntimeState};

use super::Fake;
use super::world::World;

impl Fake {
    /// Leaves a container that runs as a `start` or a `run` does that was killed before it wrote down
    /// that it runs: every start of it is refused until it was stopped. Whether it ran.
    pub fn half_start(&self, name: &str) -> bool {
        self.change(|world| world.call_it(name, RuntimeState::Initialized))
    }

    /// Leaves a container that runs as a `stop` does that was killed before it sent a signal: every
    /// start of it is refused, and a removal forgets its process. Whether it ran.
    pub fn half_stop(&self, name: &str) -> bool {
        self.change(|world| world.call_it(name, RuntimeState::Stopping))
    }

    /// Containers that were removed half stopped. Their processes live on.
    pub fn runaways(&self) -> Vec<ContainerId> {
        self.state().world.runaways.clone()
    }
}

impl World {
    fn call_it(&mut self, name: &str, state: RuntimeState) -> bool {
        let running = self.running(name);
        let entry = running.and_then(|id| self.entries.get_mut(&id));
        entry.map(|entry| entry.container.state = state).is_some()
    }
}
