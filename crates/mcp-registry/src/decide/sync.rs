//! What a sync changes: intent only, all or nothing (S8, S9).

use std::collections::{BTreeMap, BTreeSet};

use mcp_model::spec::check_container_names;
use mcp_model::{
    ComponentKey, ComponentName, DesiredState, Moment, Origin, ServiceName, ServiceRecord,
    ServiceSpec,
};

use super::operation::orphans;
use super::{Aspect, ComponentChange, ServiceChange, component};
use crate::error::AcceptError;

/// All that an operator's files say about this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// The services.
    pub services: Vec<ServiceSpec>,
    /// Who asks.
    pub origin: Origin,
    /// Why, in the operator's words.
    pub message: String,
    /// Overwrite intent that somebody else stated (S10).
    pub force: bool,
    /// When.
    pub at: Moment,
}

/// What a sync did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncOutcome {
    /// The services of the request, in its order.
    pub services: Vec<ServiceSync>,
    /// Services that the registry knows and the request does not mention; left as they are.
    pub unmentioned: Vec<ServiceName>,
    /// The components whose intent changed: spec, desired state, or whether they are orphaned.
    pub keys: Vec<ComponentKey>,
}

/// What a sync did to one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSync {
    /// The service.
    pub name: ServiceName,
    /// Whether anything was changed.
    pub changed: bool,
    /// Components that are new.
    pub added: Vec<ComponentName>,
    /// Components that were there and whose spec or desired state changed.
    pub updated: Vec<ComponentName>,
    /// Every component that the service no longer names, since this sync or an earlier one.
    pub orphaned: Vec<ComponentName>,
    /// All of it in one line.
    pub summary: String,
}

/// Decides what a sync changes, given every service that is known.
pub(crate) fn decide_sync(
    services: &[ServiceSpec],
    known: &[ServiceRecord],
) -> Result<(Vec<ServiceChange>, SyncOutcome), AcceptError> {
    let by_name: BTreeMap<_, _> = known.iter().map(|record| (&record.name, record)).collect();
    let mut mentioned = BTreeSet::new();
    if let Some(twice) = services
        .iter()
        .find(|service| !mentioned.insert(&service.name))
    {
        return Err(AcceptError::DuplicateService(twice.name.clone()));
    }
    let stored = known
        .iter()
        .flat_map(|record| &record.components)
        .map(|c| c.key.clone());
    let keys: BTreeSet<_> = stored
        .chain(services.iter().flat_map(ServiceSpec::keys))
        .collect();
    check_container_names(&keys)?;

    let (changes, reports): (Vec<_>, Vec<_>) = services
        .iter()
        .map(|service| {
            let old = by_name.get(&service.name).copied();
            let change = service_change(service, old);
            let report = report(service, &change, old);
            (change, report)
        })
        .unzip();
    let unmentioned = |record: &&ServiceRecord| !mentioned.contains(&record.name);
    let outcome = SyncOutcome {
        services: reports,
        unmentioned: known
            .iter()
            .filter(unmentioned)
            .map(|r| r.name.clone())
            .collect(),
        keys: changes
            .iter()
            .flat_map(|c| &c.components)
            .map(|c| c.key.clone())
            .collect(),
    };
    Ok((changes, outcome))
}

fn service_change(service: &ServiceSpec, old: Option<&ServiceRecord>) -> ServiceChange {
    let desired = if service.active {
        DesiredState::Running
    } else {
        DesiredState::Stopped
    };
    let said = service.components.iter().map(|(name, spec)| {
        let key = ComponentKey::new(service.name.clone(), name.clone());
        let record = component(old, &key);
        ComponentChange::said(key, record, spec, desired)
    });
    let changes = said.chain(orphans(service, old));
    ServiceChange::new(service.name.clone(), old, service.active, changes)
}

fn report(
    service: &ServiceSpec,
    change: &ServiceChange,
    old: Option<&ServiceRecord>,
) -> ServiceSync {
    let named = |wanted: fn(&ComponentChange) -> bool| -> Vec<ComponentName> {
        let matching = change.components.iter().filter(|c| wanted(c));
        matching.map(|c| c.key.component.clone()).collect()
    };
    ServiceSync {
        name: service.name.clone(),
        changed: change.is_change(),
        added: named(|c| c.is_in(Aspect::New)),
        updated: named(|c| c.is_in(Aspect::Spec) || c.is_in(Aspect::Desired)),
        orphaned: orphans(service, old).map(|c| c.key.component).collect(),
        summary: summary(
            change,
            &[
                ("added", named(|c| c.is_in(Aspect::New))),
                ("changed", named(|c| c.is_in(Aspect::Spec))),
                (
                    "to run",
                    named(|c| c.is_in(Aspect::Desired) && c.desired == DesiredState::Running),
                ),
                (
                    "to stop",
                    named(|c| c.is_in(Aspect::Desired) && c.desired == DesiredState::Stopped),
                ),
                ("orphaned", named(ComponentChange::is_newly_orphaned)),
                (
                    "taken back",
                    named(|c| c.is_in(Aspect::Orphaned) && !c.orphaned),
                ),
            ],
        ),
    }
}

/// "added api, web; now inactive", or "unchanged".
fn summary(change: &ServiceChange, groups: &[(&str, Vec<ComponentName>)]) -> String {
    let mut parts: Vec<String> = groups
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| {
            let names: Vec<_> = names.iter().map(ComponentName::as_str).collect();
            format!("{what} {}", names.join(", "))
        })
        .collect();
    if change.active_changed {
        parts.push(format!(
            "now {}",
            if change.active { "active" } else { "inactive" }
        ));
    }
    if parts.is_empty() {
        "unchanged".into()
    } else {
        parts.join("; ")
    }
}
