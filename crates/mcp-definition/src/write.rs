//! Writing definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mcp_model::spec::{EnvName, Network, PortMapping, Restart, User, Volume};
use mcp_model::{ComponentName, ComponentSpec, ImageRef, NodeName, ServiceName};
use serde::Serialize;

use crate::{Definition, DefinitionError, file};

/// A definition as the file shows it. The order of the fields is the order in the file.
#[derive(Serialize)]
struct ServiceText<'a> {
    name: &'a ServiceName,
    node: &'a NodeName,
    active: bool,
    components: Vec<ComponentText<'a>>,
}

#[derive(Serialize)]
struct ComponentText<'a> {
    name: &'a ComponentName,
    image: &'a ImageRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a Network>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<Restart>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    ports: &'a BTreeSet<PortMapping>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    volumes: &'a BTreeSet<Volume>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cmd: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_timeout: Option<String>,
    // A table of its own, so it must come after every plain value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: &'a BTreeMap<EnvName, String>,
}

impl<'a> ComponentText<'a> {
    fn new(name: &'a ComponentName, spec: &'a ComponentSpec) -> Self {
        let duration = |time| humantime::format_duration(time).to_string();
        Self {
            name,
            image: &spec.image,
            network: spec.network.as_ref(),
            user: spec.user.as_ref(),
            restart: spec.restart,
            ports: &spec.ports,
            volumes: &spec.volumes,
            cmd: &spec.cmd,
            stop_timeout: spec.stop_timeout.map(duration),
            pull_timeout: spec.pull_timeout.map(duration),
            env: &spec.env,
        }
    }
}

/// The definition as TOML. The same definition always gives the same text.
pub fn render(definition: &Definition) -> String {
    let text = ServiceText {
        name: &definition.service.name,
        node: &definition.node,
        active: definition.service.active,
        components: definition
            .service
            .components
            .iter()
            .map(|(name, spec)| ComponentText::new(name, spec))
            .collect(),
    };
    toml::to_string(&text).expect("strings, lists and string tables can always be written as TOML")
}

/// Writes the definition to `path`, replacing what is there at once or not at all.
///
/// A new file gets mode 0644, an existing one keeps its own.
pub fn write(path: &Path, definition: &Definition) -> Result<(), DefinitionError> {
    file::replace(path, &render(definition))
}
