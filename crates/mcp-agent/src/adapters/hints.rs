//! Carries hints to the controller and keeps the set of watched processes in line with what it
//! sees (S26).

use std::collections::BTreeSet;
use std::sync::Arc;

use mcp_controller::port::Clock;
use mcp_controller::{Handle, View};
use mcp_model::{ContainerId, Instance, ObservedState, Stamp};
use mcp_proto::convert::time::stamp_to_wire;
use mcp_proto::v1;
use mcp_runtime::hints::{HealthMap, Hint, HintReceiver, ProcessWatch};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::Sources;

/// The way from the hint sources to the controller.
pub struct HintGlue {
    receiver: HintReceiver,
    processes: Option<ProcessWatch>,
    controller: Handle,
    watched: BTreeSet<ContainerId>,
}

impl HintGlue {
    /// Takes hints from `receiver`; `processes` is absent where processes cannot be watched.
    pub fn new(
        receiver: HintReceiver,
        processes: Option<ProcessWatch>,
        controller: Handle,
    ) -> Self {
        Self {
            receiver,
            processes,
            controller,
            watched: BTreeSet::new(),
        }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut view = self.controller.view();
        view.mark_changed();
        let (mut hints, mut views) = (true, true);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                hint = self.receiver.recv(), if hints => match hint {
                    Some(Hint::Container(id)) => self.controller.container_hint(id).await,
                    Some(Hint::Changed) => self.controller.change_hint().await,
                    None => hints = false,
                },
                changed = view.changed(), if views => match changed {
                    Ok(()) => {
                        // Let go of at once: the view's writer would wait for it.
                        let seen = Arc::clone(&view.borrow_and_update());
                        self.follow(&seen);
                    }
                    Err(_) => views = false,
                },
            }
        }
    }

    fn follow(&mut self, view: &View) {
        let Some(processes) = &self.processes else {
            return;
        };
        let running: Vec<&Instance> = running(view).collect();
        let ids: BTreeSet<ContainerId> = running.iter().map(|i| i.id.clone()).collect();
        for gone in self.watched.difference(&ids) {
            processes.unwatch(gone);
        }
        // Armed again after every change of instance; to say the same again changes nothing.
        for instance in running {
            processes.watch(instance);
        }
        self.watched = ids;
    }
}

/// The lives that run now.
fn running(view: &View) -> impl Iterator<Item = &Instance> {
    view.components
        .values()
        .filter(|status| status.observed.state() == ObservedState::Running)
        .filter_map(|status| Some(&status.observed.container()?.instance))
}

/// How fresh the hint sources and the last listing are, for status.
pub struct SourceAges {
    /// How the hint sources fare; absent where there are none.
    pub hints: Option<watch::Receiver<HealthMap>>,
    /// The reconciler's cache.
    pub view: watch::Receiver<Arc<View>>,
    /// For the age of what is known by a clock that only counts.
    pub clock: Arc<dyn Clock>,
}

impl SourceAges {
    fn listing(&self) -> v1::SourceHealth {
        let view = Arc::clone(&self.view.borrow());
        let error = view.observation_error.clone();
        v1::SourceHealth {
            name: "listing".to_owned(),
            healthy: error.is_none() && view.observed_at.is_some(),
            last_seen: view.observed_at.map(|at| stamp_to_wire(at.wall)),
            detail: error.unwrap_or_default(),
        }
    }
}

impl SourceAges {
    /// Whether somebody hears of incidents. Shown only where nobody does.
    fn alerts(&self) -> Option<v1::SourceHealth> {
        let delivery = self.view.borrow().delivery.clone();
        Some(v1::SourceHealth {
            name: "alerts".to_owned(),
            healthy: false,
            last_seen: delivery.sent.map(|at| stamp_to_wire(at.wall)),
            detail: delivery.failure?,
        })
    }
}

impl Sources for SourceAges {
    fn health(&self) -> Vec<v1::SourceHealth> {
        let now = self.clock.now().wall;
        let seen = |at: tokio::time::Instant| {
            let ago = i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX);
            stamp_to_wire(Stamp::from_millis(now.as_millis().saturating_sub(ago)))
        };
        let mut sources = vec![self.listing()];
        sources.extend(self.alerts());
        let map = self
            .hints
            .as_ref()
            .map(|hints| hints.borrow().clone())
            .unwrap_or_default();
        sources.extend(map.into_iter().map(|(name, source)| v1::SourceHealth {
            name: name.as_str().replace(' ', "-"),
            healthy: source.healthy,
            last_seen: source.last_seen.map(seen),
            detail: source.detail,
        }));
        sources
    }
}
