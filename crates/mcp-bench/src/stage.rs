//! A node with an agent and an operator, as they are in use.

use std::time::Duration;

use anyhow::{Result, bail};
use mcp_e2e::{Agent, AgentOptions, Component, Workstation, definition};

use crate::clock::pause;
use crate::procs;

/// What the components are made from.
pub(crate) const IMAGE: &str = "localhost/hello:v1";
/// What the node is called.
pub(crate) const NODE: &str = "bench";

/// How long the agent must have been without children to count as done with what it was doing:
/// longer than it gathers changes before it lists them.
const QUIET: Duration = Duration::from_millis(700);
/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(20);
/// How long it may take to come to rest. Tells "never" from "later".
const PATIENCE: Duration = Duration::from_mins(1);

/// The real binaries over a podman of their own.
pub(crate) struct Stage {
    pub(crate) workstation: Workstation,
    pub(crate) agent: Agent,
}

impl Stage {
    /// Starts an agent with these settings.
    pub(crate) fn new(options: AgentOptions) -> Self {
        let agent = Agent::running(NODE, options);
        let workstation = Workstation::of(&[&agent]);
        Self { workstation, agent }
    }

    /// Writes the definition of a service of that many components.
    pub(crate) fn define(&self, service: &str, components: usize) {
        let names = names(components);
        let all: Vec<Component> = names.map(|name| Component::new(&name, IMAGE)).collect();
        self.workstation
            .define(service, &definition(service, NODE, &all));
    }

    /// Removes a service, its definition included.
    pub(crate) fn remove(&self, service: &str) -> Result<()> {
        std::fs::remove_file(self.workstation.definition(service))?;
        self.workstation.mcp(&["sync", "--prune", "--yes"]).ok();
        Ok(())
    }

    /// Waits until the agent has nothing to do.
    pub(crate) fn settle(&self) -> Result<()> {
        let (mut quiet, mut waited) = (Duration::ZERO, Duration::ZERO);
        while quiet < QUIET {
            if waited > PATIENCE {
                bail!("the agent does not come to rest");
            }
            pause(LOOK);
            waited += LOOK;
            let rests = procs::tree(self.agent.pid()).len() == 1;
            quiet = if rests { quiet + LOOK } else { Duration::ZERO };
        }
        Ok(())
    }
}

/// Names of components: `c00`, `c01`, and so on.
pub(crate) fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("c{n:02}"))
}
