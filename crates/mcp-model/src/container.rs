//! Containers as a runtime reports them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{ComponentKey, ContainerName};
use crate::operation::OperationId;
use crate::time::Stamp;

/// A container's full id: 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(Box<str>);

/// A text that is not a container id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a container id")]
pub struct ContainerIdError(String);

impl ContainerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, as runtimes show it.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for ContainerId {
    type Err = ContainerIdError;

    fn from_str(text: &str) -> Result<Self, ContainerIdError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text.into()))
        } else {
            Err(ContainerIdError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for ContainerId {
    type Error = ContainerIdError;

    fn try_from(text: String) -> Result<Self, ContainerIdError> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One life of a container. A restart of any kind makes a new instance of the same container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The container.
    pub id: ContainerId,
    /// Its first process, while it runs.
    pub pid: Option<u32>,
    /// When this life began. A listing knows whole seconds only, an inspect milliseconds.
    pub started_at: Option<Stamp>,
    /// How often the runtime restarted it by policy. A listing may not know.
    pub restart_count: Option<u32>,
}

impl Instance {
    /// Whether both describe one life, as far as the coarser of the two can tell.
    ///
    /// The pid is compared only where both have one: a life that ended has none left.
    pub fn is_same_life(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
            !matches!((a, b), (Some(a), Some(b)) if a != b)
        }
        self.id == other.id
            && agree(self.pid, other.pid)
            && agree(
                self.started_at.map(Stamp::whole_seconds),
                other.started_at.map(Stamp::whole_seconds),
            )
            && agree(self.restart_count, other.restart_count)
    }
}

/// The runtime's own word for what a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeState {
    /// Made, not initialised.
    Created,
    /// Made (older wording).
    Configured,
    /// Set up, process not started.
    Initialized,
    /// Its process runs.
    Running,
    /// Frozen.
    Paused,
    /// Being stopped.
    Stopping,
    /// Ended, not cleaned up yet.
    Stopped,
    /// Ended and cleaned up.
    Exited,
    /// About to be started again.
    Restarting,
    /// Being removed.
    Removing,
    /// A word that this release does not know.
    Other(String),
}

/// How a container's last process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; 128 + n for signal n.
    pub code: i32,
    /// The kernel killed it for want of memory.
    pub out_of_memory: bool,
}

/// MCP's own labels on a container (S3). Images can carry labels too, so none of them proves
/// anything by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    /// `mcp.agent`: the instance id of the agent that made it.
    pub agent: Option<String>,
    /// `mcp.service`.
    pub service: Option<String>,
    /// `mcp.component`.
    pub component: Option<String>,
    /// `mcp.revision`.
    pub revision: Option<u64>,
    /// `mcp.operation`.
    pub operation: Option<OperationId>,
}

impl Labels {
    /// The label names, in the order of the fields.
    pub const NAMES: [&'static str; 5] = [
        "mcp.agent",
        "mcp.service",
        "mcp.component",
        "mcp.revision",
        "mcp.operation",
    ];

    /// The component that they name, where they name one.
    pub fn key(&self) -> Option<ComponentKey> {
        let service = self.service.as_deref()?.parse().ok()?;
        let component = self.component.as_deref()?.parse().ok()?;
        Some(ComponentKey::new(service, component))
    }
}

/// One container as the runtime reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Which life of which container.
    pub instance: Instance,
    /// Its name; whatever somebody called it.
    pub name: String,
    /// What the runtime says it does.
    pub state: RuntimeState,
    /// How its last process ended, where it did.
    pub exit: Option<Exit>,
    /// When its last process ended, where it did.
    pub finished_at: Option<Stamp>,
    /// The image by the name it was asked for.
    pub image: String,
    /// The memory limit in bytes, where one is set and known.
    pub memory_limit: Option<u64>,
    /// MCP's labels.
    pub labels: Labels,
}

impl Container {
    /// Whether MCP's labels and the name together claim that it belongs to `key` under this agent.
    pub fn claims(&self, key: &ComponentKey, agent: &str) -> bool {
        self.labels.agent.as_deref() == Some(agent)
            && self.labels.service.as_deref() == Some(key.service.as_str())
            && self.labels.component.as_deref() == Some(key.component.as_str())
            && self.name == ContainerName::of(key).as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(pid: Option<u32>, millis: i64, restarts: Option<u32>) -> Instance {
        Instance {
            id: "a".repeat(64).parse().unwrap(),
            pid,
            started_at: Some(Stamp::from_millis(millis)),
            restart_count: restarts,
        }
    }

    #[test]
    fn a_listing_and_an_inspect_of_one_life_agree() {
        let inspected = instance(Some(7), 1_000_123, Some(2));
        assert!(inspected.is_same_life(&instance(Some(7), 1_000_000, None)));
        assert!(inspected.is_same_life(&instance(None, 1_000_123, Some(2))));
    }

    #[test]
    fn any_difference_is_another_life() {
        let first = instance(Some(7), 1_000_000, Some(2));
        assert!(!first.is_same_life(&instance(Some(8), 1_000_000, Some(2))));
        assert!(!first.is_same_life(&instance(Some(7), 1_001_000, Some(2))));
        assert!(!first.is_same_life(&instance(Some(7), 1_000_000, Some(3))));
    }

    #[test]
    fn labels_alone_prove_nothing() {
        let key: ComponentKey = "a/b".parse().unwrap();
        let mut container = Container {
            instance: instance(None, 0, None),
            name: "a-b".into(),
            state: RuntimeState::Running,
            exit: None,
            finished_at: None,
            image: String::new(),
            memory_limit: None,
            labels: Labels {
                agent: Some("me".into()),
                service: Some("a".into()),
                component: Some("b".into()),
                ..Labels::default()
            },
        };
        assert!(container.claims(&key, "me"));
        assert!(!container.claims(&key, "another"));
        // A service may be called as another one's component would be.
        for labels in [("a-b", "a-b"), ("a", "a-b"), ("a-b", "b")] {
            let mut foreign = container.clone();
            foreign.labels.service = Some(labels.0.into());
            foreign.labels.component = Some(labels.1.into());
            assert!(!foreign.claims(&key, "me"), "{labels:?}");
        }
        container.name = "other".into();
        assert!(!container.claims(&key, "me"));
    }
}
