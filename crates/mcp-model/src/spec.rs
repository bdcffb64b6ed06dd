//! What an operator says a component should be.
//!
//! A [`ComponentSpec`] keeps what was *said*, absences included; [`EffectiveSpec`] is what it means
//! under this release's defaults. Specs are stored as said and compared as meant (S7): a new
//! default changes both sides of the comparison alike, and no container is recreated for it.

mod restart;
mod value;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::image::{ImageError, ImageRef};
use crate::name::{ComponentKey, ComponentName, ContainerName, NameError, ServiceName};

pub use restart::Restart;
pub use value::{EnvName, Network, PortMapping, User, parse_env};
pub use volume::Volume;

use value::{check_text, refuse};

/// The network of a component that names none.
pub const DEFAULT_NETWORK: &str = "bridge";
/// How long a stop waits before it kills, where the definition says nothing (S21).
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a pull may take, where the definition says nothing (S21).
pub const DEFAULT_PULL_TIMEOUT: Duration = Duration::from_mins(10);
/// Longest `stop_timeout` and `pull_timeout`.
pub const MAX_TIMEOUT: Duration = Duration::from_hours(24);
/// Most components in one service.
pub const MAX_COMPONENTS: usize = 256;
/// Most entries in one list of a component (ports, volumes, arguments, environment).
pub const MAX_ENTRIES: usize = 1024;
/// Longest single value, in bytes.
pub const MAX_VALUE: usize = 32 * 1024;

fn article(what: &str) -> &'static str {
    if what.starts_with(['a', 'e', 'i', 'o']) {
        "an"
    } else {
        "a"
    }
}

/// Why a value of a spec was refused. Carries no field name: the caller knows where it read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A name that is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An image that is not one.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A value outside its grammar.
    #[error("{text:?} is not {} {what}: {why}", article(.what))]
    Value {
        /// What was wanted: "port mapping", "volume", …
        what: &'static str,
        /// What was given, shortened.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A service without components.
    #[error("service {0} has no components")]
    NoComponents(ServiceName),
    /// More of something than is allowed.
    #[error("too many {what}: {count}, at most {most}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// The same component twice.
    #[error("component {0} is defined twice")]
    DuplicateComponent(ComponentName),
    /// Two components whose containers would have one name (S2).
    #[error("{first} and {second} would both have a container called {container}")]
    ContainerNameCollision {
        /// One of them.
        first: ComponentKey,
        /// The other.
        second: ComponentKey,
        /// The name that both would get.
        container: ContainerName,
    },
}

/// One component as its operator said it. `None` and empty mean that nothing was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentSpec {
    /// What to run.
    pub image: ImageRef,
    /// The network to join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// The user to run as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The restart policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Published ports. Order carries no meaning.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<PortMapping>,
    /// Mounts. Order carries no meaning.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<Volume>,
    /// Arguments after the image, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Environment of the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<EnvName, String>,
    /// How long a stop waits before it kills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<Duration>,
    /// How long a pull may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_timeout: Option<Duration>,
}

impl ComponentSpec {
    /// A spec that says nothing but its image.
    pub fn of_image(image: ImageRef) -> Self {
        Self {
            image,
            network: None,
            user: None,
            restart: None,
            ports: BTreeSet::new(),
            volumes: BTreeSet::new(),
            cmd: Vec::new(),
            env: BTreeMap::new(),
            stop_timeout: None,
            pull_timeout: None,
        }
    }

    /// Checks what the field types alone cannot: sizes, NULs, time-outs.
    pub fn validate(&self) -> Result<(), SpecError> {
        for (what, count) in [
            ("ports", self.ports.len()),
            ("volumes", self.volumes.len()),
            ("arguments", self.cmd.len()),
            ("environment entries", self.env.len()),
        ] {
            if count > MAX_ENTRIES {
                return Err(SpecError::TooMany {
                    what,
                    count,
                    most: MAX_ENTRIES,
                });
            }
        }
        self.cmd
            .iter()
            .try_for_each(|arg| check_text("argument", arg))?;
        self.env
            .values()
            .try_for_each(|value| check_text("environment value", value))?;
        for (what, timeout) in [
            ("stop_timeout", self.stop_timeout),
            ("pull_timeout", self.pull_timeout),
        ] {
            if timeout.is_some_and(|t| t > MAX_TIMEOUT) {
                return refuse(what, "over a day", "at most 24 hours");
            }
        }
        Ok(())
    }

    /// What the spec means under this release's defaults.
    pub fn effective(&self) -> EffectiveSpec<'_> {
        EffectiveSpec {
            image: &self.image,
            network: self
                .network
                .as_ref()
                .map_or(DEFAULT_NETWORK, Network::as_str),
            user: self.user.as_ref().map_or("", User::as_str),
            restart: self.restart.unwrap_or_default(),
            ports: &self.ports,
            volumes: &self.volumes,
            cmd: &self.cmd,
            env: &self.env,
        }
    }

    /// How long a stop waits before it kills.
    pub fn stop_timeout(&self) -> Duration {
        self.stop_timeout.unwrap_or(DEFAULT_STOP_TIMEOUT)
    }

    /// How long a pull may take.
    pub fn pull_timeout(&self) -> Duration {
        self.pull_timeout.unwrap_or(DEFAULT_PULL_TIMEOUT)
    }

    /// The restart policy in force.
    pub fn restart(&self) -> Restart {
        self.restart.unwrap_or_default()
    }
}

/// A spec with every default filled in: what makes a container, and what spec drift compares.
/// Time-outs are not part of it; they are how MCP works, not what the container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectiveSpec<'a> {
    /// What to run.
    pub image: &'a ImageRef,
    /// The network to join.
    pub network: &'a str,
    /// The user to run as; empty means the image's own.
    pub user: &'a str,
    /// The restart policy.
    pub restart: Restart,
    /// Published ports.
    pub ports: &'a BTreeSet<PortMapping>,
    /// Mounts.
    pub volumes: &'a BTreeSet<Volume>,
    /// Arguments after the image.
    pub cmd: &'a [String],
    /// Environment of the container.
    pub env: &'a BTreeMap<EnvName, String>,
}

/// A service as its operator said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// Whether its components should run.
    pub active: bool,
    /// Its components.
    pub components: BTreeMap<ComponentName, ComponentSpec>,
}

impl ServiceSpec {
    /// Checks the service as a whole: at least one component, sizes, no two containers of one name.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.components.is_empty() {
            return Err(SpecError::NoComponents(self.name.clone()));
        }
        let count = self.components.len();
        if count > MAX_COMPONENTS {
            return Err(SpecError::TooMany {
                what: "components",
                count,
                most: MAX_COMPONENTS,
            });
        }
        self.components
            .values()
            .try_for_each(ComponentSpec::validate)
    }

    /// The keys of its components.
    pub fn keys(&self) -> impl Iterator<Item = ComponentKey> + '_ {
        self.components
            .keys()
            .map(|name| ComponentKey::new(self.name.clone(), name.clone()))
    }
}

/// Finds two keys whose containers would have one name: `a` + `b-c` and `a-b` + `c` (S2).
pub fn check_container_names<'a>(
    keys: impl IntoIterator<Item = &'a ComponentKey>,
) -> Result<(), SpecError> {
    let mut seen: BTreeMap<ContainerName, &ComponentKey> = BTreeMap::new();
    for key in keys {
        let container = key.container_name();
        match seen.insert(container.clone(), key) {
            Some(first) if first != key => {
                return Err(SpecError::ContainerNameCollision {
                    first: first.clone(),
                    second: key.clone(),
                    container,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
