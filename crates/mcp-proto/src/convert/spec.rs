//! Specs. On the wire an empty text means that nothing was said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use mcp_model::spec::{EnvName, MAX_COMPONENTS, MAX_ENTRIES, MAX_TIMEOUT, MAX_VALUE};
use mcp_model::{ComponentName, ComponentSpec, ServiceSpec};

use super::time::{duration_from_wire, duration_to_wire};
use super::{InvalidField, field};
use crate::v1;

/// A service as a client sent it. It is valid as a whole: it has components, none of them twice,
/// and everything is within its limits.
pub fn service_from_wire(wire: v1::ServiceSpec) -> Result<ServiceSpec, InvalidField> {
    let count = wire.components.len();
    if count > MAX_COMPONENTS {
        let why = format!("it has {count} entries, at most {MAX_COMPONENTS}");
        return Err(InvalidField::new("components", why));
    }
    let name = field::required("name", &wire.name)?;
    let mut components = BTreeMap::new();
    for (index, component) in wire.components.into_iter().enumerate() {
        let at = format!("components[{index}]");
        let (name, spec) = component_from_wire(component).map_err(|e| e.within(&at))?;
        if components.contains_key(&name) {
            let why = format!("component {name} is defined twice");
            return Err(InvalidField::new("name", why).within(&at));
        }
        components.insert(name, spec);
    }
    let service = ServiceSpec {
        name,
        active: wire.active,
        components,
    };
    service
        .validate()
        .map_err(|why| InvalidField::new("components", why.to_string()))?;
    Ok(service)
}

/// A service for the wire.
pub fn service_to_wire(service: &ServiceSpec) -> v1::ServiceSpec {
    v1::ServiceSpec {
        name: service.name.to_string(),
        active: service.active,
        components: service
            .components
            .iter()
            .map(|(name, spec)| component_to_wire(name, spec))
            .collect(),
    }
}

/// A component as a client sent it.
pub fn component_from_wire(
    wire: v1::ComponentSpec,
) -> Result<(ComponentName, ComponentSpec), InvalidField> {
    if !wire.routes.is_empty() {
        return Err(InvalidField::new(
            "routes",
            "this agent does not support routes",
        ));
    }
    let name = field::required("name", &wire.name)?;
    let spec = ComponentSpec {
        image: field::required("image", &wire.image)?,
        network: field::optional("network", &wire.network)?,
        user: field::optional("user", &wire.user)?,
        restart: field::optional("restart", &wire.restart)?,
        ports: entries("ports", &wire.ports)?,
        volumes: entries("volumes", &wire.volumes)?,
        cmd: arguments(wire.cmd)?,
        env: environment(&wire.env)?,
        stop_timeout: timeout("stop_timeout", wire.stop_timeout)?,
        pull_timeout: timeout("pull_timeout", wire.pull_timeout)?,
    };
    Ok((name, spec))
}

/// A component for the wire.
pub fn component_to_wire(name: &ComponentName, spec: &ComponentSpec) -> v1::ComponentSpec {
    fn said<T: ToString>(value: Option<&T>) -> String {
        value.map(T::to_string).unwrap_or_default()
    }
    v1::ComponentSpec {
        name: name.to_string(),
        image: spec.image.to_string(),
        network: said(spec.network.as_ref()),
        user: said(spec.user.as_ref()),
        restart: said(spec.restart.as_ref()),
        ports: spec.ports.iter().map(ToString::to_string).collect(),
        volumes: spec.volumes.iter().map(ToString::to_string).collect(),
        cmd: spec.cmd.clone(),
        routes: Vec::new(),
        env: spec
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        stop_timeout: spec.stop_timeout.map(duration_to_wire),
        pull_timeout: spec.pull_timeout.map(duration_to_wire),
    }
}

fn few(field: &str, count: usize) -> Result<(), InvalidField> {
    if count > MAX_ENTRIES {
        let why = format!("it has {count} entries, at most {MAX_ENTRIES}");
        return Err(InvalidField::new(field, why));
    }
    Ok(())
}

fn entries<T>(field: &str, texts: &[String]) -> Result<BTreeSet<T>, InvalidField>
where
    T: FromStr<Err: Display> + Ord,
{
    few(field, texts.len())?;
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| field::required(&format!("{field}[{index}]"), text))
        .collect()
}

/// What an argument or a value may not be. Says nothing of what it is: it may be a secret.
fn refusal_of(text: &str) -> Option<String> {
    if text.contains('\0') {
        Some("it holds a NUL".to_owned())
    } else if text.len() > MAX_VALUE {
        Some(format!("it has {} bytes, at most {MAX_VALUE}", text.len()))
    } else {
        None
    }
}

fn arguments(texts: Vec<String>) -> Result<Vec<String>, InvalidField> {
    few("cmd", texts.len())?;
    for (index, text) in texts.iter().enumerate() {
        if let Some(why) = refusal_of(text) {
            return Err(InvalidField::new(format!("cmd[{index}]"), why));
        }
    }
    Ok(texts)
}

fn environment(texts: &[String]) -> Result<BTreeMap<EnvName, String>, InvalidField> {
    few("env", texts.len())?;
    let mut env = BTreeMap::new();
    for (index, text) in texts.iter().enumerate() {
        let refuse = |why: String| InvalidField::new(format!("env[{index}]"), why);
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| refuse("it must read KEY=value".to_owned()))?;
        // A value whose name was forgotten may have an '=' of its own, so names are not repeated.
        let name: EnvName = name
            .parse()
            .map_err(|_| refuse("its name must be letters, digits and '_'".to_owned()))?;
        if let Some(why) = refusal_of(value) {
            return Err(refuse(format!("the value of {name}: {why}")));
        }
        if env.contains_key(&name) {
            return Err(refuse(format!("{name} is set twice")));
        }
        env.insert(name, value.to_owned());
    }
    Ok(env)
}

fn timeout(
    field: &str,
    wire: Option<prost_types::Duration>,
) -> Result<Option<Duration>, InvalidField> {
    let Some(wire) = wire else {
        return Ok(None);
    };
    let timeout = duration_from_wire(field, wire)?;
    if timeout > MAX_TIMEOUT {
        return Err(InvalidField::new(field, "it is over 24 hours"));
    }
    Ok(Some(timeout))
}
