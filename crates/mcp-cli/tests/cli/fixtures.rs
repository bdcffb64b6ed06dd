//! Small answers to build scripts from.

use mcp_proto::v1::{ComponentInfo, ComponentResult, ServiceInfo};

/// A component in a state.
pub(crate) fn component(name: &str, desired: &str, observed: &str) -> ComponentInfo {
    ComponentInfo {
        name: name.to_owned(),
        image: format!("localhost/{name}:v1.2.0"),
        desired_state: desired.to_owned(),
        observed_state: observed.to_owned(),
        version: "v1.2.0".to_owned(),
        ..Default::default()
    }
}

/// A service with components.
pub(crate) fn service(name: &str, components: impl Into<Vec<ComponentInfo>>) -> ServiceInfo {
    ServiceInfo {
        name: name.to_owned(),
        active: true,
        components: components.into(),
    }
}

/// What became of a component.
pub(crate) fn done(name: &str, observed: &str) -> ComponentResult {
    ComponentResult {
        name: name.to_owned(),
        success: true,
        observed_state: observed.to_owned(),
        ..Default::default()
    }
}

/// A second of the year 2026.
pub(crate) fn at(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: 1_795_000_000 + seconds,
        nanos: 0,
    }
}
