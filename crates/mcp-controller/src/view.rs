//! What readers see: the reconciler's cache, published through a `watch` channel.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcp_model::{
    ComponentKey, ComponentRecord, Container, Drift, Incident, IncidentId, Moment, Observed,
    OperationId, OperationKind,
};
use mcp_plan::auto::Because;
use tokio::sync::watch;

use crate::port::Failure;

/// Most foreign containers that are remembered (S5).
pub const MAX_FOREIGN: usize = 200;

/// Everything that the controller knows, as of its last reconciliations.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// One entry per key that has a record.
    pub components: BTreeMap<ComponentKey, Arc<Status>>,
    /// Containers that nobody gave to MCP, by name; at most [`MAX_FOREIGN`].
    pub foreign: Vec<Container>,
    /// How many more there are.
    pub foreign_omitted: usize,
    /// When the last complete look at the runtime began.
    pub observed_at: Option<Moment>,
    /// Why the last look failed, if it did.
    pub observation_error: Option<String>,
    /// Incidents of the node as a whole that stand (S31).
    pub node: Vec<Incident>,
    /// How the messages about incidents fare.
    pub delivery: Delivery,
}

/// How the messages about incidents fare.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    /// When one was sent last by this agent.
    pub sent: Option<Moment>,
    /// Why the last one was given up, if it was.
    pub failure: Option<String>,
}

/// One component as last reconciled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What is stored of it, intent included.
    pub record: ComponentRecord,
    /// What was seen. Unlike the record's last observation it may be unknown.
    pub observed: Observed,
    /// What differs.
    pub drift: Vec<Standing>,
    /// The incident of flapping that stands.
    pub flapping: Option<Incident>,
    /// The operation that is open on it.
    pub operation: Option<OperationId>,
    /// Why that operation goes no further for now, where something holds it up.
    pub held_up: Option<String>,
    /// What the standing permission allowed when it was last reconciled without an operation.
    pub auto: Verdict,
    /// When it was last published to be otherwise than before. Looks that found the same since are
    /// the view's to tell.
    pub seen_at: Moment,
}

/// What the standing permission comes to for one component (S35).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is none: drift is only told.
    Off,
    /// Nothing is to be done by itself, and why.
    Nothing(Because),
    /// Drift opens, and may be acted on, at that moment.
    NotBefore(Moment),
    /// The last attempt was not long enough ago: the next one is due at that moment.
    Wait(Moment),
    /// The budget is spent: nothing more is tried until something changes.
    GaveUp,
    /// This is done now.
    Act(OperationKind),
}

/// A difference that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The difference.
    pub drift: Drift,
    /// Since when.
    pub since: Moment,
    /// The incident that it belongs to, once there is one: its own, or that of the node that
    /// stands for it.
    pub incident: Option<IncidentId>,
}

/// The one writer of the view. What is published is shared and never changed: a reader takes it
/// and lets go of the channel at once. One that held on to the channel while it looked a second time
/// would wait for a writer that waits for him.
#[derive(Debug)]
pub(crate) struct Publisher(watch::Sender<Arc<View>>);

impl Publisher {
    pub(crate) fn new() -> (Self, watch::Receiver<Arc<View>>) {
        let (sender, receiver) = watch::channel(Arc::default());
        (Self(sender), receiver)
    }

    /// Publishes one key's status; wakes readers only where something changed.
    pub(crate) fn component(&self, key: &ComponentKey, status: Option<Status>) {
        self.0.send_if_modified(|view| match status {
            Some(status) => {
                if view.components.get(key).is_some_and(|old| **old == status) {
                    return false;
                }
                Arc::make_mut(view)
                    .components
                    .insert(key.clone(), Arc::new(status));
                true
            }
            None if view.components.contains_key(key) => {
                Arc::make_mut(view).components.remove(key);
                true
            }
            None => false,
        });
    }

    /// Publishes what holds up the operation on a key.
    pub(crate) fn held_up(&self, key: &ComponentKey, held_up: Option<String>) {
        if let Some(status) = self.component_status(key) {
            let status = Status {
                held_up,
                ..Status::clone(&status)
            };
            self.component(key, Some(status));
        }
    }

    /// Everything that is published.
    pub(crate) fn view(&self) -> Arc<View> {
        self.0.borrow().clone()
    }

    /// Publishes what stands about the node; wakes readers only where something changed.
    pub(crate) fn node(&self, incidents: Vec<Incident>) {
        self.0.send_if_modified(|view| {
            let changed = view.node != incidents;
            if changed {
                Arc::make_mut(view).node = incidents;
            }
            changed
        });
    }

    /// Publishes what became of a message.
    pub(crate) fn delivery(&self, now: Moment, failure: Option<Failure>) {
        self.look(|view| match failure {
            None => {
                view.delivery = Delivery {
                    sent: Some(now),
                    failure: None,
                };
            }
            Some(failure) => view.delivery.failure = Some(failure.0),
        });
    }

    /// What is published about a key.
    pub(crate) fn component_status(&self, key: &ComponentKey) -> Option<Arc<Status>> {
        self.0.borrow().components.get(key).cloned()
    }

    /// Every key that has something published.
    pub(crate) fn keys(&self) -> Vec<ComponentKey> {
        self.0.borrow().components.keys().cloned().collect()
    }

    /// Containers that are some component's, by the components' records.
    pub(crate) fn owned(&self) -> std::collections::HashSet<mcp_model::ContainerId> {
        let view = self.0.borrow();
        let ids = view.components.values().flat_map(|status| {
            let holder = status.observed.container().map(|c| c.instance.id.clone());
            [status.record.container.clone(), holder]
        });
        ids.flatten().collect()
    }

    /// Publishes what is not about one key: a complete look, or its failure.
    pub(crate) fn look(&self, update: impl FnOnce(&mut View)) {
        self.0.send_modify(|view| update(Arc::make_mut(view)));
    }
}
