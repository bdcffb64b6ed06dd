//! What a requested operation changes and permits (S9, S12, S19, S20).

use std::collections::BTreeMap;

use mcp_model::spec::check_container_names;
use mcp_model::{
    ComponentKey, ComponentName, ComponentRecord, ComponentSpec, DesiredState, OperationKind,
    Request, ServiceName, ServiceRecord, ServiceSpec, StepState,
};

use super::{ComponentChange, Known, ServiceChange, Warning, component};
use crate::error::AcceptError;

/// What accepting a request comes to.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The new intent.
    pub(crate) change: ServiceChange,
    /// The permissions.
    pub(crate) steps: Vec<PlannedStep>,
    /// For the caller.
    pub(crate) warnings: Vec<Warning>,
}

/// One permission, with what is pinned for it.
#[derive(Debug)]
pub(crate) struct PlannedStep {
    /// For which component.
    pub(crate) key: ComponentKey,
    /// `Waiting` or `Skipped`.
    pub(crate) state: StepState,
    /// Why it is skipped.
    pub(crate) reason: String,
    /// The pinned desired state.
    pub(crate) desired: DesiredState,
    /// The pinned spec.
    pub(crate) spec: ComponentSpec,
    /// Its revision.
    pub(crate) revision: u64,
    /// The generation of the intent that it was accepted with.
    pub(crate) generation: u64,
    /// Whether the pinned spec means the same as the one that was deployed last.
    pub(crate) unchanged: bool,
}

/// Decides what `request` changes and permits, given what is known.
pub(crate) fn decide(request: &Request, known: &Known) -> Result<Decision, AcceptError> {
    match request {
        Request::Deploy { service, only } => deploy(service, only.as_ref(), known),
        Request::Start(name) => start(existing(name, known)?),
        Request::Stop(name) => stop(existing(name, known)?),
        Request::Restart(name) => restart(existing(name, known)?),
        Request::Undeploy { service, only } => undeploy(existing(service, known)?, only.as_ref()),
    }
}

fn existing<'a>(name: &ServiceName, known: &'a Known) -> Result<&'a ServiceRecord, AcceptError> {
    known
        .service
        .as_ref()
        .ok_or_else(|| AcceptError::NoService(name.clone()))
}

fn deploy(
    service: &ServiceSpec,
    only: Option<&ComponentName>,
    known: &Known,
) -> Result<Decision, AcceptError> {
    let old = known.service.as_ref();
    let chosen = chosen(service, only)?;
    check_container_names(known.keys.iter().chain(chosen.keys()))?;
    let mut changes = Vec::new();
    let mut steps = Vec::new();
    for (key, spec) in &chosen {
        let record = component(old, key);
        let change = ComponentChange::said(key.clone(), record, spec, DesiredState::Running);
        let deployed = record.and_then(|record| record.deployed.as_ref());
        let unchanged = deployed.is_some_and(|(_, old)| old.effective() == spec.effective());
        let step = waiting(key, &change, (*spec).clone(), change.revision);
        steps.push(PlannedStep { unchanged, ..step });
        changes.push(change);
    }
    // One component's deploy says nothing about the others (S9).
    if only.is_none() {
        changes.extend(orphans(service, old));
    }
    let was_inactive = old.is_some_and(|old| !old.active) || !service.active;
    Ok(Decision {
        change: ServiceChange::new(service.name.clone(), old, true, changes),
        steps,
        warnings: was_inactive
            .then_some(Warning::ServiceWasInactive)
            .into_iter()
            .collect(),
    })
}

fn chosen<'a>(
    service: &'a ServiceSpec,
    only: Option<&ComponentName>,
) -> Result<BTreeMap<ComponentKey, &'a ComponentSpec>, AcceptError> {
    let key = |name: &ComponentName| ComponentKey::new(service.name.clone(), name.clone());
    match only {
        None => Ok(service
            .components
            .iter()
            .map(|(name, spec)| (key(name), spec))
            .collect()),
        Some(name) => match service.components.get(name) {
            Some(spec) => Ok([(key(name), spec)].into()),
            None => Err(AcceptError::NoComponent(key(name))),
        },
    }
}

/// The components that a service's definition does not name.
pub(super) fn orphans<'a>(
    service: &'a ServiceSpec,
    old: Option<&'a ServiceRecord>,
) -> impl Iterator<Item = ComponentChange> + 'a {
    old.into_iter()
        .flat_map(|old| &old.components)
        .filter(|record| !service.components.contains_key(&record.key.component))
        .map(ComponentChange::orphan)
}

/// Components that start, stop and restart are about: not those whose service does not name them
/// any more, not those that are nobody's business (S19).
fn managed(service: &ServiceRecord) -> impl Iterator<Item = &ComponentRecord> {
    service
        .components
        .iter()
        .filter(|record| !record.orphaned && record.desired != DesiredState::Ignore)
}

fn start(service: &ServiceRecord) -> Result<Decision, AcceptError> {
    retarget(
        service,
        OperationKind::Start,
        DesiredState::Running,
        |record| {
            record
                .deployed
                .clone()
                .unwrap_or_else(|| (record.revision, record.spec.clone()))
        },
    )
}

fn stop(service: &ServiceRecord) -> Result<Decision, AcceptError> {
    // What was said last has the `stop_timeout` that is wanted now.
    retarget(
        service,
        OperationKind::Stop,
        DesiredState::Stopped,
        |record| (record.revision, record.spec.clone()),
    )
}

fn retarget(
    service: &ServiceRecord,
    kind: OperationKind,
    desired: DesiredState,
    pin: impl Fn(&ComponentRecord) -> (u64, ComponentSpec),
) -> Result<Decision, AcceptError> {
    let mut changes = Vec::new();
    let mut steps = Vec::new();
    for record in managed(service) {
        let change = ComponentChange::wanted(record, desired);
        let (revision, spec) = pin(record);
        steps.push(waiting(&record.key, &change, spec, revision));
        changes.push(change);
    }
    if steps.is_empty() {
        return Err(nothing(
            kind,
            service,
            "it has no component that is managed here",
        ));
    }
    let active = desired == DesiredState::Running;
    Ok(Decision {
        change: ServiceChange::new(service.name.clone(), Some(service), active, changes),
        steps,
        warnings: Vec::new(),
    })
}

fn restart(service: &ServiceRecord) -> Result<Decision, AcceptError> {
    let steps: Vec<_> = managed(service)
        .map(|record| {
            let change = ComponentChange::wanted(record, record.desired);
            let (revision, spec) = record
                .deployed
                .clone()
                .unwrap_or_else(|| (record.revision, record.spec.clone()));
            let step = waiting(&record.key, &change, spec, revision);
            if record.desired == DesiredState::Running {
                return step;
            }
            PlannedStep {
                state: StepState::Skipped,
                reason: format!("desired {}", record.desired),
                ..step
            }
        })
        .collect();
    if steps.iter().all(|step| step.state == StepState::Skipped) {
        let why = "none of its components is wanted running";
        return Err(nothing(OperationKind::Restart, service, why));
    }
    Ok(Decision {
        change: ServiceChange::new(service.name.clone(), Some(service), service.active, []),
        steps,
        warnings: Vec::new(),
    })
}

fn undeploy(
    service: &ServiceRecord,
    only: Option<&ComponentName>,
) -> Result<Decision, AcceptError> {
    let mut changes = Vec::new();
    let mut steps = Vec::new();
    let matching = |record: &&ComponentRecord| only.is_none_or(|o| *o == record.key.component);
    for record in service.components.iter().filter(matching) {
        let change = ComponentChange::wanted(record, DesiredState::Stopped);
        let (spec, revision) = (record.spec.clone(), record.revision);
        steps.push(waiting(&record.key, &change, spec, revision));
        changes.push(change);
    }
    if steps.is_empty() {
        return Err(match only {
            Some(name) => {
                AcceptError::NoComponent(ComponentKey::new(service.name.clone(), name.clone()))
            }
            None => nothing(OperationKind::Undeploy, service, "it has no components"),
        });
    }
    let active = service.active && only.is_some();
    Ok(Decision {
        change: ServiceChange::new(service.name.clone(), Some(service), active, changes),
        steps,
        warnings: Vec::new(),
    })
}

fn nothing(kind: OperationKind, service: &ServiceRecord, why: &'static str) -> AcceptError {
    AcceptError::NothingToDo {
        kind,
        service: service.name.clone(),
        why,
    }
}

fn waiting(
    key: &ComponentKey,
    change: &ComponentChange,
    spec: ComponentSpec,
    revision: u64,
) -> PlannedStep {
    PlannedStep {
        key: key.clone(),
        state: StepState::Waiting,
        reason: String::new(),
        desired: change.desired,
        revision,
        generation: change.generation,
        unchanged: false,
        spec,
    }
}
