//! The controller's ports, with a point before and after each call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mcp_controller::port::{Failure, Listing, RunRequest, Runtime, RuntimeFailure, Store};
use mcp_model::{
    Alert, BootId, ComponentKey, Container, ContainerId, Expiry, ImageRef, IncidentChange,
    KeyState, Moment, NodeState, ObservationChange, StandingRequest, StepOutcome, StepUpdate,
};

use super::Failpoints;

/// A port that can be ended at.
pub(super) struct Pierced<P: ?Sized> {
    inner: Arc<P>,
    points: Failpoints,
}

impl<P: ?Sized> Pierced<P> {
    pub(super) fn new(inner: Arc<P>, points: &Failpoints) -> Self {
        Self {
            inner,
            points: points.clone(),
        }
    }

    async fn at<T>(&self, call: &str, act: impl Future<Output = T>) -> T {
        self.points.pass(&format!("before:{call}"));
        let result = act.await;
        self.points.pass(&format!("after:{call}"));
        result
    }
}

#[async_trait]
impl Runtime for Pierced<dyn Runtime> {
    async fn list(&self) -> Result<Listing, RuntimeFailure> {
        self.at("runtime.list", self.inner.list()).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, RuntimeFailure> {
        self.at("runtime.inspect", self.inner.inspect(id)).await
    }

    async fn inspect_name(&self, name: &str) -> Result<Option<Container>, RuntimeFailure> {
        self.at("runtime.inspect_name", self.inner.inspect_name(name))
            .await
    }

    async fn is_phantom(&self, name: &str) -> Result<bool, RuntimeFailure> {
        self.at("runtime.is_phantom", self.inner.is_phantom(name))
            .await
    }

    async fn pull(&self, image: &ImageRef, limit: Duration) -> Result<(), RuntimeFailure> {
        self.at("runtime.pull", self.inner.pull(image, limit)).await
    }

    async fn run(&self, request: &RunRequest) -> Result<ContainerId, RuntimeFailure> {
        self.at("runtime.run", self.inner.run(request)).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeFailure> {
        self.at("runtime.start", self.inner.start(id)).await
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeFailure> {
        self.at("runtime.stop", self.inner.stop(id, grace)).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeFailure> {
        self.at("runtime.remove", self.inner.remove(id)).await
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), RuntimeFailure> {
        self.at("runtime.rename", self.inner.rename(id, name)).await
    }

    async fn last_lines(
        &self,
        id: &ContainerId,
        lines: u32,
    ) -> Result<Vec<String>, RuntimeFailure> {
        self.at("runtime.last_lines", self.inner.last_lines(id, lines))
            .await
    }
}

#[async_trait]
impl Store for Pierced<dyn Store> {
    async fn keys(&self) -> Result<Vec<ComponentKey>, Failure> {
        self.at("store.keys", self.inner.keys()).await
    }

    async fn load(&self, key: &ComponentKey) -> Result<KeyState, Failure> {
        self.at("store.load", self.inner.load(key)).await
    }

    async fn observe(&self, change: ObservationChange) -> Result<(), Failure> {
        self.at("store.observe", self.inner.observe(change)).await
    }

    async fn incidents(&self, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        self.at("store.incidents", self.inner.incidents(changes))
            .await
    }

    async fn transitions(
        &self,
        key: &ComponentKey,
        now: Moment,
        window: Duration,
    ) -> Result<u32, Failure> {
        self.at(
            "store.transitions",
            self.inner.transitions(key, now, window),
        )
        .await
    }

    async fn accept_standing(&self, request: StandingRequest) -> Result<bool, Failure> {
        self.at("store.accept_standing", self.inner.accept_standing(request))
            .await
    }

    async fn standing_attempts(
        &self,
        key: &ComponentKey,
        generation: u64,
        most: u32,
    ) -> Result<Vec<Moment>, Failure> {
        self.at(
            "store.standing_attempts",
            self.inner.standing_attempts(key, generation, most),
        )
        .await
    }

    async fn step(&self, update: StepUpdate) -> Result<(), Failure> {
        self.at("store.step", self.inner.step(update)).await
    }

    async fn settle(&self, outcome: StepOutcome) -> Result<(), Failure> {
        self.at("store.settle", self.inner.settle(outcome)).await
    }

    async fn expire(&self, now: Moment) -> Result<Expiry, Failure> {
        self.at("store.expire", self.inner.expire(now)).await
    }

    async fn node(&self) -> Result<NodeState, Failure> {
        self.at("store.node", self.inner.node()).await
    }

    async fn booted(&self, boot: BootId, changes: Vec<IncidentChange>) -> Result<(), Failure> {
        self.at("store.booted", self.inner.booted(boot, changes))
            .await
    }

    async fn undelivered(&self, most: u32) -> Result<Vec<(i64, Alert)>, Failure> {
        self.at("store.undelivered", self.inner.undelivered(most))
            .await
    }

    async fn delivered(&self, id: i64, outcome: String) -> Result<(), Failure> {
        self.at("store.delivered", self.inner.delivered(id, outcome))
            .await
    }

    async fn prune(&self, now: Moment, retention: Duration) -> Result<(), Failure> {
        self.at("store.prune", self.inner.prune(now, retention))
            .await
    }
}
