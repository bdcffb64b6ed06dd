//! What the agent tells: records, observations, events and operations for the wire.

use mcp_model::{
    ComponentKey, ComponentRecord, Container, Drift, Event, Incident, IncidentId, Moment, Observed,
    ObservedState, Operation, OperationId, ServiceRecord, Stamp, Step, StepState,
};

use super::spec::component_to_wire;
use super::time::stamp_to_wire;
use crate::v1;

/// What is known of a component beyond its record: the cached view or a look just taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live<'a> {
    /// What was seen.
    pub observed: &'a Observed,
    /// The operation that is open on it.
    pub operation: Option<&'a OperationId>,
    /// Why that operation goes no further for now, where something holds it up.
    pub held_up: Option<&'a str>,
}

/// A service; `live` tells what is known of each component beyond its record.
pub fn service_info<'a>(
    record: &ServiceRecord,
    live: impl Fn(&ComponentKey) -> Option<Live<'a>>,
) -> v1::ServiceInfo {
    v1::ServiceInfo {
        name: record.name.to_string(),
        active: record.active,
        components: record
            .components
            .iter()
            .map(|component| component_info(component, live(&component.key)))
            .collect(),
    }
}

/// A component. Without `live` it is told as it was last stored.
pub fn component_info(record: &ComponentRecord, live: Option<Live<'_>>) -> v1::ComponentInfo {
    let name = &record.key.component;
    let seen = Seen::of(record, live);
    v1::ComponentInfo {
        name: name.to_string(),
        image: record.spec.image.to_string(),
        desired_state: record.desired.to_string(),
        observed_state: seen.state.to_string(),
        version: record.version.clone(),
        started: seen.started.map(stamp_to_wire),
        spec: Some(component_to_wire(name, &record.spec)),
        deployed_spec: record
            .deployed
            .as_ref()
            .map(|(_, spec)| component_to_wire(name, spec)),
        revision: record.revision,
        generation: record.generation,
        orphaned: record.orphaned,
        detail: seen.detail,
        since: seen.since.map(stamp_to_wire),
        container_id: seen.container_id,
        exit_code: seen.exit_code,
        operation_id: live
            .and_then(|live| live.operation)
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// The observed half of a component.
struct Seen {
    state: ObservedState,
    detail: String,
    started: Option<Stamp>,
    since: Option<Stamp>,
    container_id: String,
    exit_code: Option<i32>,
}

impl Seen {
    fn of(record: &ComponentRecord, live: Option<Live<'_>>) -> Self {
        let state = live.map_or(record.observed, |live| live.observed.state());
        let container = live.and_then(|live| live.observed.container());
        let instance = container.map(|c| &c.instance).or(record.instance.as_ref());
        let is_there = matches!(
            state,
            ObservedState::Running | ObservedState::Stopped | ObservedState::Exited
        );
        let has_ended = matches!(state, ObservedState::Stopped | ObservedState::Exited);
        let id = container
            .map(|c| &c.instance.id)
            .or(record.container.as_ref());
        Self {
            state,
            detail: detail(live),
            // What is not there, or was not seen, has no age and no exit code to show.
            started: instance.filter(|_| is_there).and_then(|i| i.started_at),
            since: record
                .observed_since
                .filter(|_| state == record.observed)
                .map(|since| since.wall),
            container_id: id
                .filter(|_| state != ObservedState::Removed)
                .map(ToString::to_string)
                .unwrap_or_default(),
            exit_code: container
                .and_then(|c| c.exit)
                .map(|exit| exit.code)
                .or(record.exit_code)
                .filter(|_| has_ended),
        }
    }
}

fn detail(live: Option<Live<'_>>) -> String {
    match live.map(|live| live.observed) {
        Some(Observed::Unknown { why }) => why.clone(),
        Some(Observed::Present {
            condition: Some(condition),
            ..
        }) => condition.to_string(),
        _ => live
            .and_then(|live| live.held_up)
            .unwrap_or_default()
            .to_owned(),
    }
}

/// A transition.
pub fn event_info(event: &Event) -> v1::EventInfo {
    v1::EventInfo {
        service: event.key.service.to_string(),
        component: event.key.component.to_string(),
        prev_state: event.prev.to_string(),
        new_state: event.new.to_string(),
        timestamp: Some(stamp_to_wire(event.at.wall)),
        exit_code: event.exit_code,
        cause: event.cause.clone(),
        id: event.id,
        operation_id: event
            .operation
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// A difference that stands since `since`.
pub fn drift_info(
    key: &ComponentKey,
    drift: &Drift,
    since: &Moment,
    incident: Option<&IncidentId>,
) -> v1::DriftInfo {
    v1::DriftInfo {
        service: key.service.to_string(),
        component: key.component.to_string(),
        desired_state: drift.desired.to_string(),
        observed_state: drift.observed.to_string(),
        kind: drift.kind.to_string(),
        since: Some(stamp_to_wire(since.wall)),
        cause: drift.cause.clone(),
        exit_code: drift.exit_code,
        incident_id: incident.map(ToString::to_string).unwrap_or_default(),
        next_attempt: None,
        gave_up: false,
    }
}

/// A component that changes its state too often.
pub fn flapping_info(incident: &Incident) -> v1::FlappingInfo {
    let (service, component) = incident
        .scope
        .key()
        .map(|key| (key.service.to_string(), key.component.to_string()))
        .unwrap_or_default();
    v1::FlappingInfo {
        service,
        component,
        since: Some(stamp_to_wire(incident.opened.wall)),
        cause: incident.cause.clone(),
        incident_id: incident.id.to_string(),
    }
}

/// An incident, and when it closed, if it did.
pub fn incident_info(incident: &Incident, closed: Option<Stamp>) -> v1::IncidentInfo {
    let key = incident.scope.key();
    let of_component = |text: String| key.map(|_| text).unwrap_or_default();
    v1::IncidentInfo {
        id: incident.id.to_string(),
        kind: incident.kind.to_string(),
        service: key.map(|key| key.service.to_string()).unwrap_or_default(),
        component: key.map(|key| key.component.to_string()).unwrap_or_default(),
        opened: Some(stamp_to_wire(incident.opened.wall)),
        closed: closed.map(stamp_to_wire),
        cause: incident.cause.clone(),
        desired: of_component(incident.desired.to_string()),
        observed: of_component(incident.observed.to_string()),
    }
}

/// A container that nobody gave to MCP, with its state as the controller reads it.
pub fn foreign_container(container: &Container, observed: ObservedState) -> v1::ForeignContainer {
    v1::ForeignContainer {
        name: container.name.clone(),
        image: container.image.clone(),
        desired_state: mcp_model::DesiredState::Ignore.to_string(),
        observed_state: observed.to_string(),
        container_id: container.instance.id.to_string(),
        started: container.instance.started_at.map(stamp_to_wire),
    }
}

/// An operation. Its error sums up those of its steps.
pub fn operation_info(operation: &Operation) -> v1::OperationInfo {
    let failed = operation
        .steps
        .iter()
        .filter(|step| step.state == StepState::Failed);
    let error: Vec<String> = failed
        .map(|step| format!("{}: {}", step.component, step.error))
        .collect();
    v1::OperationInfo {
        id: operation.id.to_string(),
        kind: operation.kind.to_string(),
        service: operation.service.to_string(),
        state: operation.state.to_string(),
        caller: operation.caller.clone(),
        message: operation.message.clone(),
        created: Some(stamp_to_wire(operation.created)),
        start_by: Some(stamp_to_wire(operation.start_by)),
        finished: operation.finished.map(stamp_to_wire),
        error: error.join("; "),
        steps: operation.steps.iter().map(operation_step).collect(),
    }
}

fn operation_step(step: &Step) -> v1::OperationStep {
    v1::OperationStep {
        component: step.component.to_string(),
        state: step.state.to_string(),
        phase: step
            .phase
            .map(|phase| phase.to_string())
            .unwrap_or_default(),
        error: step.error.clone(),
        revision: step.revision,
    }
}

/// What became of one component of an operation; `info` is the component as it is now, where it
/// still has a record.
///
/// Success is a postcondition that was observed, or nothing to do (S14). A step that has not ended
/// is not success, and says so.
pub fn component_result(step: &Step, info: Option<&v1::ComponentInfo>) -> v1::ComponentResult {
    let or = |default: &str| {
        if step.error.is_empty() {
            default.to_owned()
        } else {
            step.error.clone()
        }
    };
    let (success, error, skipped) = match step.state {
        StepState::Succeeded => (true, String::new(), String::new()),
        StepState::Skipped => (true, String::new(), or("there was nothing to do")),
        StepState::Failed => (false, or("it failed"), String::new()),
        StepState::Expired => (false, or("it was not begun in time"), String::new()),
        StepState::Superseded => (false, or("newer intent came first"), String::new()),
        StepState::Waiting => (false, or("it has not begun yet"), String::new()),
        StepState::Running => (false, or("it has not ended yet"), String::new()),
    };
    v1::ComponentResult {
        name: step.component.to_string(),
        success,
        error,
        unchanged: step.unchanged,
        container_id: info.map(|i| i.container_id.clone()).unwrap_or_default(),
        observed_state: info.map(|i| i.observed_state.clone()).unwrap_or_default(),
        skipped,
    }
}
