//! What a podman leaves that is killed in the middle of a call (measured with 4.3.1 and runc).

use mcp_model::{ContainerId, RuntimeState};

use super::Fake;
use super::world::World;

impl Fake {
    /// Leaves a container that runs as a `start` or a `run` does that was killed before it wrote down
    /// that it runs: every start of it is refused until it was stopped. Whether it ran.
    pub fn half_start(&self, name: &str) -> bool {
        self.change(|world| world.call(world.running(name), RuntimeState::Initialized))
    }

    /// Leaves a container that runs as a `stop` does that was killed before it sent a signal: every
    /// start of it is refused, and a removal forgets its process. Whether it ran.
    pub fn half_stop(&self, name: &str) -> bool {
        self.change(|world| world.call(world.running(name), RuntimeState::Stopping))
    }

    /// Leaves a container as an `rm` does that was killed after it had seen to the end of its process:
    /// it can be removed and neither stopped nor started. Whether it was there.
    pub fn half_remove(&self, name: &str) -> bool {
        self.change(|world| {
            world.kill(name, 137);
            let id = world.by_name(name).map(|found| found.instance.id.clone());
            world.call(id, RuntimeState::Removing)
        })
    }

    /// Containers that were removed half stopped. Their processes live on.
    pub fn runaways(&self) -> Vec<ContainerId> {
        self.state().world.runaways.clone()
    }
}

impl World {
    fn call(&mut self, which: Option<ContainerId>, state: RuntimeState) -> bool {
        let entry = which.and_then(|id| self.entries.get_mut(&id));
        entry.map(|entry| entry.container.state = state).is_some()
    }
}
