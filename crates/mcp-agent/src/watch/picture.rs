//! What is so, as far as readers have been told; and what another look at it makes news of.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use mcp_controller::{Status, View};
use mcp_model::{
    ComponentKey, ComponentRecord, Incident, IncidentId, Operation, OperationId, OperationKind,
    ServiceRecord, StepState,
};
use mcp_proto::convert::info::{self, Live};
use mcp_proto::v1;
use mcp_registry::{Known, News};

use super::{Change, Told};

#[derive(Debug, Default)]
pub(super) struct Picture {
    components: BTreeMap<ComponentKey, Shown>,
    /// Those that are open.
    operations: BTreeMap<OperationId, Operation>,
    /// Those that stand.
    incidents: BTreeMap<IncidentId, Incident>,
    newest_operation: i64,
    newest_incident: i64,
}

/// A component as it is told.
#[derive(Debug)]
enum Shown {
    /// Nobody has looked at it in this life.
    Stored(Box<ComponentRecord>),
    /// Shared with the view, so that it costs nothing here.
    Seen(Arc<Status>),
}

/// How far somebody got who is told everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Walk {
    Components(Option<ComponentKey>),
    Operations(Option<OperationId>),
    Incidents(Option<IncidentId>),
}

impl Picture {
    /// Where a life begins.
    pub(super) fn of(services: Vec<ServiceRecord>, open: News) -> Self {
        let records = services.into_iter().flat_map(|service| service.components);
        let components = records
            .map(|record| (record.key.clone(), Shown::Stored(Box::new(record))))
            .collect();
        let mut picture = Self {
            components,
            ..Self::default()
        };
        picture.news(open);
        picture
    }

    /// What must be said so that the registry tells the rest.
    pub(super) fn known(&self) -> Known {
        Known {
            operation: self.newest_operation,
            incident: self.newest_incident,
            open_operations: self.operations.keys().cloned().collect(),
            open_incidents: self.incidents.keys().cloned().collect(),
        }
    }

    /// Takes over what the registry told; returns what of it is news.
    pub(super) fn news(&mut self, news: News) -> Vec<Told> {
        let mut told = Vec::new();
        (self.newest_operation, self.newest_incident) = (news.operation, news.incident);
        let still: HashSet<_> = news.operations.iter().map(|o| o.id.clone()).collect();
        self.operations.retain(|id, _| still.contains(id));
        let still: HashSet<_> = news.incidents.iter().map(|(i, _)| i.id.clone()).collect();
        self.incidents.retain(|id, _| still.contains(id));
        for operation in news.operations {
            told.extend(self.operation(&operation));
            told.extend(self.undeployed(&operation));
        }
        for (incident, closed) in news.incidents {
            let before = if closed.is_some() {
                self.incidents.remove(&incident.id);
                None
            } else {
                self.incidents.insert(incident.id.clone(), incident.clone())
            };
            let before = before.map(|before| info::incident_info(&before, None));
            let now = info::incident_info(&incident, closed);
            if before.as_ref() != Some(&now) {
                told.push(incident_told(&incident, now));
            }
        }
        told
    }

    fn operation(&mut self, operation: &Operation) -> Option<Told> {
        let before = self.operations.remove(&operation.id);
        if !operation.state.is_settled() {
            self.operations
                .insert(operation.id.clone(), operation.clone());
        }
        if before.as_ref() == Some(operation) {
            return None;
        }
        let known = before.map(|before| before.steps).unwrap_or_default();
        let mut now = info::operation_info(operation);
        let changed: HashSet<&str> = operation
            .steps
            .iter()
            .filter(|step| !known.contains(step))
            .map(|step| step.component.as_str())
            .collect();
        now.steps
            .retain(|step| changed.contains(step.component.as_str()));
        Some(Told {
            service: Some(operation.service.clone()),
            change: Change::Operation(now),
        })
    }

    /// What an undeploy has removed before anybody looked at it: the view, in which it never was,
    /// will not tell.
    fn undeployed(&mut self, operation: &Operation) -> Vec<Told> {
        let done = operation.steps.iter().filter(|step| {
            operation.kind == OperationKind::Undeploy && step.state == StepState::Succeeded
        });
        let keys =
            done.map(|step| ComponentKey::new(operation.service.clone(), step.component.clone()));
        let mut told = Vec::new();
        for key in keys {
            if matches!(self.components.get(&key), Some(Shown::Stored(_))) {
                self.components.remove(&key);
                told.push(removed(&key));
            }
        }
        told
    }

    /// Takes over what the reconciler shows; returns what of it is news.
    pub(super) fn view(&mut self, view: &View) -> Vec<Told> {
        let mut told = Vec::new();
        for (key, status) in &view.components {
            match self.components.get(key) {
                Some(Shown::Seen(known)) if Arc::ptr_eq(known, status) => continue,
                _ => {}
            }
            let now = Shown::Seen(Arc::clone(status));
            let before = self.components.insert(key.clone(), now);
            component_news(key, before.as_ref(), status, &mut told);
        }
        let gone = |(key, shown): (&ComponentKey, &Shown)| {
            let seen = matches!(shown, Shown::Seen(_));
            (seen && !view.components.contains_key(key)).then(|| key.clone())
        };
        let gone: Vec<ComponentKey> = self.components.iter().filter_map(gone).collect();
        for key in gone {
            if let Some(shown) = self.components.remove(&key) {
                for drift in shown.drift(&key) {
                    told.push(of(&key, Change::DriftClosed(drift)));
                }
            }
            told.push(removed(&key));
        }
        told
    }

    /// What comes next for somebody who is told everything, and how far he is then.
    pub(super) fn next(&self, walk: &Walk) -> Option<(Walk, Vec<Told>)> {
        match walk {
            Walk::Components(after) => match following(&self.components, after.as_ref()) {
                Some((key, shown)) => {
                    let drift = shown.drift(key).into_iter().map(Change::DriftOpened);
                    let all = std::iter::once(Change::State(shown.state(key))).chain(drift);
                    let told = all.map(|change| of(key, change)).collect();
                    Some((Walk::Components(Some(key.clone())), told))
                }
                None => self.next(&Walk::Operations(None)),
            },
            Walk::Operations(after) => match following(&self.operations, after.as_ref()) {
                Some((id, operation)) => {
                    let told = Told {
                        service: Some(operation.service.clone()),
                        change: Change::Operation(info::operation_info(operation)),
                    };
                    Some((Walk::Operations(Some(id.clone())), vec![told]))
                }
                None => self.next(&Walk::Incidents(None)),
            },
            Walk::Incidents(after) => {
                let (id, incident) = following(&self.incidents, after.as_ref())?;
                let told = incident_told(incident, info::incident_info(incident, None));
                Some((Walk::Incidents(Some(id.clone())), vec![told]))
            }
        }
    }
}

fn following<'a, K: Ord, V>(map: &'a BTreeMap<K, V>, after: Option<&K>) -> Option<(&'a K, &'a V)> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    map.range((from, Bound::Unbounded)).next()
}

fn of(key: &ComponentKey, change: Change) -> Told {
    Told {
        service: Some(key.service.clone()),
        change,
    }
}

fn removed(key: &ComponentKey) -> Told {
    let removed = v1::ComponentRemoved {
        service: key.service.to_string(),
        component: key.component.to_string(),
    };
    of(key, Change::Removed(removed))
}

fn incident_told(incident: &Incident, now: v1::IncidentInfo) -> Told {
    let service = incident.scope.key().map(|key| key.service.clone());
    Told {
        service,
        change: Change::Incident(now),
    }
}

fn component_news(key: &ComponentKey, before: Option<&Shown>, now: &Status, told: &mut Vec<Told>) {
    let state = state_of(key, now);
    if before.map(|before| before.state(key)).as_ref() != Some(&state) {
        told.push(of(key, Change::State(state)));
    }
    let before = before.map(|before| before.drift(key)).unwrap_or_default();
    let now = drift_of(key, now);
    for old in &before {
        if now.iter().all(|drift| drift.kind != old.kind) {
            told.push(of(key, Change::DriftClosed(old.clone())));
        }
    }
    for drift in now {
        if !before.contains(&drift) {
            told.push(of(key, Change::DriftOpened(drift)));
        }
    }
}

impl Shown {
    fn state(&self, key: &ComponentKey) -> v1::ComponentState {
        match self {
            Self::Stored(record) => {
                let live = Live {
                    observed: &crate::api::not_looked_at(),
                    operation: None,
                    held_up: None,
                };
                v1::ComponentState {
                    service: key.service.to_string(),
                    component: Some(info::component_info(record, Some(live))),
                }
            }
            Self::Seen(status) => state_of(key, status),
        }
    }

    fn drift(&self, key: &ComponentKey) -> Vec<v1::DriftInfo> {
        match self {
            Self::Stored(_) => Vec::new(),
            Self::Seen(status) => drift_of(key, status),
        }
    }
}

fn state_of(key: &ComponentKey, status: &Status) -> v1::ComponentState {
    let live = Live {
        observed: &status.observed,
        operation: status.operation.as_ref(),
        held_up: status.held_up.as_deref(),
    };
    v1::ComponentState {
        service: key.service.to_string(),
        component: Some(info::component_info(&status.record, Some(live))),
    }
}

fn drift_of(key: &ComponentKey, status: &Status) -> Vec<v1::DriftInfo> {
    let standing = status.drift.iter();
    let drift =
        standing.map(|it| info::drift_info(key, &it.drift, &it.since, it.incident.as_ref()));
    drift.collect()
}

/// Where somebody begins who is told everything.
impl Default for Walk {
    fn default() -> Self {
        Self::Components(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, operation, status};
    use super::*;

    #[test]
    fn what_was_undeployed_before_anybody_looked_at_it_is_told_to_be_gone() {
        let undeploy = |state| News {
            operations: vec![Operation {
                kind: OperationKind::Undeploy,
                ..operation(0, state)
            }],
            ..News::default()
        };
        let service = ServiceRecord {
            name: key(0).service,
            active: true,
            components: vec![status(&key(0), 0, false).record],
        };
        let mut picture = Picture::of(vec![service], undeploy(StepState::Running));
        let told = picture.news(undeploy(StepState::Succeeded));
        let gone = |told: &Told| matches!(told.change, Change::Removed(_));
        assert!(told.iter().any(gone), "{told:?}");
        assert_eq!(picture.next(&Walk::default()), None);
    }
}
