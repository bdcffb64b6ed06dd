//! What a call changes, decided from what is stored. Pure: nothing here reads or writes.

mod operation;
mod overwrite;
mod settle;
mod standing;
mod sync;

use std::collections::BTreeSet;

use mcp_model::{ComponentKey, ComponentRecord, ComponentSpec, DesiredState, ServiceName};
use mcp_model::{OperationId, ServiceRecord, StepState};

pub(crate) use operation::{Decision, PlannedStep, decide};
pub use overwrite::Overwrite;
pub(crate) use overwrite::check_overwrites;
pub(crate) use settle::settled_state;
pub(crate) use standing::decide_standing;
pub(crate) use sync::decide_sync;
pub use sync::{ServiceSync, SyncOutcome, SyncRequest};

/// What a decision starts from.
#[derive(Debug)]
pub(crate) struct Known {
    /// The service that is asked about.
    pub(crate) service: Option<ServiceRecord>,
    /// Every key of the registry, this service's included.
    pub(crate) keys: Vec<ComponentKey>,
}

/// An operation as it was accepted (S12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub operation: OperationId,
    /// It was there already; nothing was changed by this request.
    pub attached: bool,
    /// Its components.
    pub steps: Vec<AcceptedStep>,
    /// Components that the service's definition does not name any more.
    pub orphaned: Vec<ComponentKey>,
    /// What the caller should be told.
    pub warnings: Vec<Warning>,
}

impl Accepted {
    /// The keys that it gives permission to act on, and those whose intent it changed.
    pub fn keys(&self) -> impl Iterator<Item = &ComponentKey> {
        self.steps
            .iter()
            .map(|step| &step.key)
            .chain(&self.orphaned)
    }
}

/// One component of an accepted operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedStep {
    /// The component.
    pub key: ComponentKey,
    /// `Waiting`, or `Skipped` where nothing is to be done; anything where it was attached to.
    pub state: StepState,
    /// The pinned spec means the same as the one that was deployed last (S20).
    pub unchanged: bool,
    /// Why it is skipped, or failed; else empty.
    pub reason: String,
}

/// What a caller should be told about an operation that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// The service was inactive; deploying it makes it run (S9).
    ServiceWasInactive,
}

/// How the row of a service and those of its components change.
#[derive(Debug)]
pub(crate) struct ServiceChange {
    /// The service.
    pub(crate) service: ServiceName,
    /// Whether it should run.
    pub(crate) active: bool,
    /// Whether it has no row yet.
    pub(crate) is_new: bool,
    /// Whether `active` differs from what is stored.
    pub(crate) active_changed: bool,
    /// Its components that change.
    pub(crate) components: Vec<ComponentChange>,
}

impl ServiceChange {
    /// The change of `service` to `active` with these components, unchanged ones left out.
    fn new(
        service: ServiceName,
        old: Option<&ServiceRecord>,
        active: bool,
        components: impl IntoIterator<Item = ComponentChange>,
    ) -> Self {
        Self {
            service,
            active,
            is_new: old.is_none(),
            active_changed: old.is_some_and(|old| old.active != active),
            components: components
                .into_iter()
                .filter(|component| !component.differs.is_empty())
                .collect(),
        }
    }

    /// Whether anything has to be written.
    pub(crate) fn is_change(&self) -> bool {
        self.is_new || self.active_changed || !self.components.is_empty()
    }
}

/// How the row of a component changes.
#[derive(Debug)]
pub(crate) struct ComponentChange {
    /// Which one.
    pub(crate) key: ComponentKey,
    /// The spec as it is said now.
    pub(crate) spec: ComponentSpec,
    /// What is wanted now.
    pub(crate) desired: DesiredState,
    /// Its revision now.
    pub(crate) revision: u64,
    /// Its generation now.
    pub(crate) generation: u64,
    /// Whether its service does not name it any more.
    pub(crate) orphaned: bool,
    /// In what it differs from what is stored.
    pub(crate) differs: BTreeSet<Aspect>,
}

/// In what a component can differ from its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    /// It has no row yet.
    New,
    /// Its spec was said differently.
    Spec,
    /// Another state is wanted.
    Desired,
    /// Its service begins or ceases to name it.
    Orphaned,
}

impl ComponentChange {
    /// A component that is said to be `spec` and wanted `desired` (S6). Whoever names it takes it
    /// back where it was orphaned.
    fn said(
        key: ComponentKey,
        old: Option<&ComponentRecord>,
        spec: &ComponentSpec,
        desired: DesiredState,
    ) -> Self {
        let mut change = Self {
            key,
            spec: spec.clone(),
            desired,
            revision: old.map_or(0, |old| old.revision),
            generation: old.map_or(0, |old| old.generation),
            orphaned: false,
            differs: differences(old, spec, desired),
        };
        change.revision += u64::from(change.is_in(Aspect::New) || change.is_in(Aspect::Spec));
        change.generation += u64::from(change.is_new_intent());
        change
    }

    /// A component whose spec stays and that is wanted `desired`.
    fn wanted(old: &ComponentRecord, desired: DesiredState) -> Self {
        let mut change = Self::said(old.key.clone(), Some(old), &old.spec, desired);
        change.orphaned = old.orphaned;
        change.differs.remove(&Aspect::Orphaned);
        change
    }

    /// A component that its service does not name any more.
    fn orphan(old: &ComponentRecord) -> Self {
        let mut change = Self::wanted(old, old.desired);
        change.orphaned = true;
        if !old.orphaned {
            change.differs.insert(Aspect::Orphaned);
        }
        change
    }

    /// Whether it differs in this.
    pub(crate) fn is_in(&self, aspect: Aspect) -> bool {
        self.differs.contains(&aspect)
    }

    /// Whether intent is new: such a change makes what waits pointless (S13).
    pub(crate) fn is_new_intent(&self) -> bool {
        self.differs
            .iter()
            .any(|aspect| *aspect != Aspect::Orphaned)
    }

    /// Whether its service ceases to name it.
    pub(crate) fn is_newly_orphaned(&self) -> bool {
        self.orphaned && self.is_in(Aspect::Orphaned)
    }
}

fn differences(
    old: Option<&ComponentRecord>,
    spec: &ComponentSpec,
    desired: DesiredState,
) -> BTreeSet<Aspect> {
    let Some(old) = old else {
        return [Aspect::New].into();
    };
    [
        (Aspect::Spec, old.spec != *spec),
        (Aspect::Desired, old.desired != desired),
        (Aspect::Orphaned, old.orphaned),
    ]
    .into_iter()
    .filter_map(|(aspect, differs)| differs.then_some(aspect))
    .collect()
}

/// The component of that name in a service.
fn component<'a>(
    service: Option<&'a ServiceRecord>,
    key: &ComponentKey,
) -> Option<&'a ComponentRecord> {
    service?
        .components
        .iter()
        .find(|component| component.key == *key)
}
