//! Calls that read: the registry, the reconciler's cache, or a look that was just taken (S27).

use std::sync::Arc;
use std::time::Duration;

use mcp_controller::port::Clock;
use mcp_controller::{Handle, Standing, Status as Seen, Verdict, View};
use mcp_model::{ComponentKey, DriftKind, Observed, ObservedState, ServiceName, ServiceRecord};
use mcp_proto::convert::info::{self, Live};
use mcp_proto::convert::time::stamp_to_wire;
use mcp_proto::convert::{field, request};
use mcp_proto::v1;
use mcp_registry::{EventFilter, OperationFilter, Registry};
use tonic::{Request, Status};

use super::answer;
use crate::gate::Deadline;

/// Recent events that come with a status.
const RECENT: u32 = 20;

/// Longest wait for a look. A runtime that hangs costs this, then status says how old the view is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells how fresh the sources of hints are.
pub trait Sources: Send + Sync + 'static {
    /// Every source, with when it last said something.
    fn health(&self) -> Vec<v1::SourceHealth>;
}

/// What calls that read need.
pub struct StatusApi {
    registry: Registry,
    controller: Handle,
    clock: Arc<dyn Clock>,
    sources: Arc<dyn Sources>,
}

impl StatusApi {
    /// Reads from these.
    pub fn new(
        registry: Registry,
        controller: Handle,
        clock: Arc<dyn Clock>,
        sources: Arc<dyn Sources>,
    ) -> Self {
        Self {
            registry,
            controller,
            clock,
            sources,
        }
    }

    pub(super) async fn list_services(
        &self,
        _: Request<v1::ListServicesRequest>,
    ) -> Result<v1::ListServicesResponse, Status> {
        let services = self.services(None).await?;
        let services = services
            .iter()
            .map(|service| info::service_info(service, |_| None));
        Ok(v1::ListServicesResponse {
            services: services.collect(),
        })
    }

    pub(super) async fn get_service_status(
        &self,
        request: Request<v1::GetServiceStatusRequest>,
    ) -> Result<v1::GetServiceStatusResponse, Status> {
        let name: Option<ServiceName> = field::optional("name", &request.get_ref().name)?;
        let failed = if request.get_ref().cached {
            None
        } else {
            self.look(&request).await.err()
        };
        let services = self.services(name.as_ref()).await?;
        let filter = EventFilter {
            service: name.clone(),
            limit: RECENT,
            ..EventFilter::default()
        };
        let events = self
            .registry
            .events(filter)
            .await
            .map_err(answer::registry)?;
        let view = self.controller.seen();
        Ok(v1::GetServiceStatusResponse {
            services: seen(&services, &view, failed.as_deref()),
            drift: drift(&view, name.as_ref()),
            auto_reconcile: self.controller.acts_on_drift(),
            flapping: flapping(&view, name.as_ref()),
            incidents: view
                .node
                .iter()
                .map(|incident| info::incident_info(incident, None))
                .collect(),
            recent_events: events.iter().map(info::event_info).collect(),
            observed_at: view.observed_at.map(|at| stamp_to_wire(at.wall)),
            observation_error: observation_error(failed, &view),
            foreign: foreign(&view),
            foreign_omitted: omitted(&view),
            sources: self.sources.health(),
            answered_at: Some(stamp_to_wire(self.clock.now().wall)),
        })
    }

    pub(super) async fn live_check(
        &self,
        request: Request<v1::LiveCheckRequest>,
    ) -> Result<v1::LiveCheckResponse, Status> {
        let failed = self.look(&request).await.err();
        let services = self.services(None).await?;
        let view = self.controller.seen();
        Ok(v1::LiveCheckResponse {
            services: seen(&services, &view, failed.as_deref()),
            foreign: foreign(&view),
            foreign_omitted: omitted(&view),
            observed_at: view.observed_at.map(|at| stamp_to_wire(at.wall)),
            observation_error: observation_error(failed, &view),
            answered_at: Some(stamp_to_wire(self.clock.now().wall)),
        })
    }

    pub(super) async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<v1::ListEventsResponse, Status> {
        let query = request::events(request.get_ref())?;
        let filter = EventFilter {
            service: query.service,
            component: query.component,
            since: query.since,
            limit: query.limit,
        };
        let events = self
            .registry
            .events(filter)
            .await
            .map_err(answer::registry)?;
        Ok(v1::ListEventsResponse {
            events: events.iter().map(info::event_info).collect(),
        })
    }

    pub(super) async fn list_operations(
        &self,
        request: Request<v1::ListOperationsRequest>,
    ) -> Result<v1::ListOperationsResponse, Status> {
        let query = request::operations(request.get_ref())?;
        let filter = OperationFilter {
            service: query.service,
            id: query.id,
            limit: query.limit,
        };
        let operations = self
            .registry
            .operations(filter)
            .await
            .map_err(answer::registry)?;
        let operations = operations.iter().map(info::operation_info);
        Ok(v1::ListOperationsResponse {
            operations: operations.collect(),
        })
    }

    /// Looks at the runtime, within the caller's time and ours. Says why where it came to nothing.
    async fn look<T>(&self, request: &Request<T>) -> Result<(), String> {
        let ours = tokio::time::Instant::now() + PATIENCE;
        let until = match request.extensions().get::<Deadline>() {
            Some(Deadline(theirs)) => ours.min(*theirs),
            None => ours,
        };
        match tokio::time::timeout_at(until, self.controller.look()).await {
            Ok(looked) => looked.map_err(|failure| failure.to_string()),
            Err(_) => Err("the runtime has not answered in time".to_owned()),
        }
    }

    async fn services(&self, name: Option<&ServiceName>) -> Result<Vec<ServiceRecord>, Status> {
        let Some(name) = name else {
            return self.registry.services().await.map_err(answer::registry);
        };
        match self
            .registry
            .service(name.clone())
            .await
            .map_err(answer::registry)?
        {
            Some(service) => Ok(vec![service]),
            None => Err(Status::not_found(format!(
                "service {name} is not known on this node"
            ))),
        }
    }
}

/// What is known of a component that has a record only: that was seen by an agent that has ended
/// since.
pub(crate) fn not_looked_at() -> Observed {
    Observed::Unknown {
        why: "not looked at yet since the agent started".to_owned(),
    }
}

/// Services as they are seen: by a look that was taken, from the cache, or, where a look was asked
/// for and failed, not at all.
fn seen(services: &[ServiceRecord], view: &View, failed: Option<&str>) -> Vec<v1::ServiceInfo> {
    let unknown = failed.map(|why| Observed::Unknown {
        why: why.to_owned(),
    });
    let unseen = not_looked_at();
    let live = |key: &ComponentKey| {
        let cached = view.components.get(key);
        let operation = cached.and_then(|status| status.operation.as_ref());
        let held_up = cached.and_then(|status| status.held_up.as_deref());
        let cached = cached.map_or(&unseen, |status| &status.observed);
        let observed = unknown.as_ref().unwrap_or(cached);
        Some(Live {
            observed,
            operation,
            held_up,
        })
    };
    services
        .iter()
        .map(|service| info::service_info(service, live))
        .collect()
}

fn drift(view: &View, service: Option<&ServiceName>) -> Vec<v1::DriftInfo> {
    let of_service = |key: &ComponentKey| service.is_none_or(|name| key.service == *name);
    view.components
        .iter()
        .filter(|(key, _)| of_service(key))
        .flat_map(|(key, status)| {
            let drift = status.drift.iter();
            drift.map(move |standing| drift_info(key, status, standing))
        })
        .collect()
}

/// A difference, with what will be done about it.
fn drift_info(key: &ComponentKey, seen: &Seen, standing: &Standing) -> v1::DriftInfo {
    let incident = standing.incident.as_ref();
    let info = info::drift_info(key, &standing.drift, &standing.since, incident);
    if standing.drift.kind != DriftKind::State {
        return info;
    }
    let next = match seen.auto {
        Verdict::NotBefore(due) | Verdict::Wait(due) => Some(stamp_to_wire(due.wall)),
        Verdict::Off | Verdict::Nothing(_) | Verdict::GaveUp | Verdict::Act(_) => None,
    };
    v1::DriftInfo {
        next_attempt: next,
        gave_up: seen.auto == Verdict::GaveUp,
        ..info
    }
}

fn flapping(view: &View, service: Option<&ServiceName>) -> Vec<v1::FlappingInfo> {
    view.components
        .iter()
        .filter(|(key, _)| service.is_none_or(|name| key.service == *name))
        .filter_map(|(_, status)| status.flapping.as_ref())
        .map(info::flapping_info)
        .collect()
}

fn observation_error(failed: Option<String>, view: &View) -> String {
    failed
        .or_else(|| view.observation_error.clone())
        .unwrap_or_default()
}

fn foreign(view: &View) -> Vec<v1::ForeignContainer> {
    let state = |container: &mcp_model::Container| {
        mcp_plan::classify::classify(container.clone(), None, ObservedState::Unknown).state()
    };
    view.foreign
        .iter()
        .map(|container| info::foreign_container(container, state(container)))
        .collect()
}

fn omitted(view: &View) -> u32 {
    u32::try_from(view.foreign_omitted).unwrap_or(u32::MAX)
}
