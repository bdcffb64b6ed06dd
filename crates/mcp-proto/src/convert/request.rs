//! What operators ask for.

use std::collections::BTreeSet;

use mcp_model::spec::check_container_names;
use mcp_model::{
    ComponentKey, ComponentName, OperationId, OperationRequest, Origin, Request, ServiceName,
    ServiceSpec, Stamp,
};

use super::spec::service_from_wire;
use super::time::stamp_from_wire;
use super::{InvalidField, field};
use crate::v1;

/// A request that opens an operation, all of it that the client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The operation's id, made by the client.
    pub id: OperationId,
    /// What is asked.
    pub request: Request,
    /// Why, in the operator's words; may be empty.
    pub message: String,
    /// Overwrite intent that somebody else stated (S10).
    pub force: bool,
}

impl Asked {
    /// Completed with what only the agent knows: who asks, and when.
    pub fn from_caller(self, origin: Origin, at: mcp_model::Moment) -> OperationRequest {
        OperationRequest {
            id: self.id,
            request: self.request,
            origin,
            message: self.message,
            force: self.force,
            at,
        }
    }
}

/// Intent without an operation: all services of the node that the operator's files name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncIntent {
    /// The services, in the order in which they came.
    pub services: Vec<ServiceSpec>,
    /// Why, in the operator's words; may be empty.
    pub message: String,
    /// Overwrite intent that somebody else stated (S10).
    pub force: bool,
}

/// What a preview is asked of. It opens no operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanIntent {
    /// Of a sync.
    Sync(SyncIntent),
    /// Of a deploy.
    Deploy {
        /// The whole service.
        service: ServiceSpec,
        /// The component to deploy; all where absent.
        only: Option<ComponentName>,
    },
}

/// Which events to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsQuery {
    /// Of one service only.
    pub service: Option<ServiceName>,
    /// Of one component of it only.
    pub component: Option<ComponentName>,
    /// Not older than this.
    pub since: Option<Stamp>,
    /// At most this many, newest first.
    pub limit: u32,
}

/// Which operations to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationsQuery {
    /// Of one service only.
    pub service: Option<ServiceName>,
    /// This one only.
    pub id: Option<OperationId>,
    /// At most this many, newest first.
    pub limit: u32,
}

/// Most entries of one listing.
pub const MAX_LISTED: u32 = 10_000;

fn limit(asked: u32, default: u32) -> u32 {
    if asked == 0 {
        default
    } else {
        asked.min(MAX_LISTED)
    }
}

fn asked(operation_id: &str, message: String, request: Request) -> Result<Asked, InvalidField> {
    Ok(Asked {
        id: field::required("operation_id", operation_id)?,
        request,
        message: field::reason("message", message)?,
        force: false,
    })
}

/// A deploy. The component, where one is named, must be one of the service's.
pub fn deploy(wire: v1::DeployRequest) -> Result<Asked, InvalidField> {
    let (service, only) = target(wire.service, &wire.component)?;
    let request = Request::Deploy { service, only };
    let asked = asked(&wire.operation_id, wire.message, request)?;
    Ok(Asked {
        force: wire.force,
        ..asked
    })
}

fn target(
    service: Option<v1::ServiceSpec>,
    component: &str,
) -> Result<(ServiceSpec, Option<ComponentName>), InvalidField> {
    let service = service.ok_or_else(|| InvalidField::new("service", "it must be set"))?;
    let service = service_from_wire(service).map_err(|e| e.within("service"))?;
    let only = field::optional("component", component)?;
    if let Some(name) = only
        .as_ref()
        .filter(|name| !service.components.contains_key(name))
    {
        let why = format!("service {} has no component {name}", service.name);
        return Err(InvalidField::new("component", why));
    }
    Ok((service, only))
}

/// A preview. An operation id, if there is one, plays no part.
pub fn plan(wire: v1::PlanRequest) -> Result<PlanIntent, InvalidField> {
    use v1::plan_request::Intent;
    match wire.intent {
        None => Err(InvalidField::new("intent", "sync or deploy must be set")),
        Some(Intent::Sync(wire)) => sync(wire)
            .map(PlanIntent::Sync)
            .map_err(|e| e.within("sync")),
        Some(Intent::Deploy(wire)) => target(wire.service, &wire.component)
            .map(|(service, only)| PlanIntent::Deploy { service, only })
            .map_err(|e| e.within("deploy")),
    }
}

/// A stop.
pub fn stop(wire: v1::StopServiceRequest) -> Result<Asked, InvalidField> {
    let name = field::required("name", &wire.name)?;
    asked(&wire.operation_id, wire.message, Request::Stop(name))
}

/// A start.
pub fn start(wire: v1::StartServiceRequest) -> Result<Asked, InvalidField> {
    let name = field::required("name", &wire.name)?;
    asked(&wire.operation_id, wire.message, Request::Start(name))
}

/// A restart.
pub fn restart(wire: v1::RestartServiceRequest) -> Result<Asked, InvalidField> {
    let name = field::required("name", &wire.name)?;
    asked(&wire.operation_id, wire.message, Request::Restart(name))
}

/// An undeploy.
pub fn undeploy(wire: v1::UndeployRequest) -> Result<Asked, InvalidField> {
    let service = field::required("service", &wire.service)?;
    let only = field::optional("component", &wire.component)?;
    asked(
        &wire.operation_id,
        wire.message,
        Request::Undeploy { service, only },
    )
}

/// A sync: every service is valid, none comes twice, and no two of their containers would have
/// one name (S2). Those that the registry has besides are for the agent to compare with.
pub fn sync(wire: v1::SyncDesiredStateRequest) -> Result<SyncIntent, InvalidField> {
    let mut services: Vec<ServiceSpec> = Vec::with_capacity(wire.services.len());
    let mut names = BTreeSet::new();
    for (index, service) in wire.services.into_iter().enumerate() {
        let at = format!("services[{index}]");
        let service = service_from_wire(service).map_err(|e| e.within(&at))?;
        if !names.insert(service.name.clone()) {
            let why = format!("service {} is defined twice", service.name);
            return Err(InvalidField::new("name", why).within(&at));
        }
        services.push(service);
    }
    let keys: Vec<ComponentKey> = services.iter().flat_map(ServiceSpec::keys).collect();
    check_container_names(&keys).map_err(|why| InvalidField::new("services", why.to_string()))?;
    Ok(SyncIntent {
        services,
        message: field::reason("message", wire.message)?,
        force: wire.force,
    })
}

/// Which events to list; 100 where no limit is given.
pub fn events(wire: &v1::ListEventsRequest) -> Result<EventsQuery, InvalidField> {
    let service = field::optional("service", &wire.service)?;
    let component = field::optional("component", &wire.component)?;
    if component.is_some() && service.is_none() {
        return Err(InvalidField::new(
            "component",
            "a component is only known together with its service",
        ));
    }
    let since = wire.since.map(|since| stamp_from_wire("since", since));
    Ok(EventsQuery {
        service,
        component,
        since: since.transpose()?,
        limit: limit(wire.limit, 100),
    })
}

/// Which operations to list; 20 where no limit is given.
pub fn operations(wire: &v1::ListOperationsRequest) -> Result<OperationsQuery, InvalidField> {
    Ok(OperationsQuery {
        service: field::optional("service", &wire.service)?,
        id: field::optional("operation_id", &wire.operation_id)?,
        limit: limit(wire.limit, 20),
    })
}
