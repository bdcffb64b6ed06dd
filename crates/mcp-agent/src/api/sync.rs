//! Sync: intent only, all of the request or none of it (S8).

use std::sync::Arc;
use std::time::Duration;

use mcp_controller::port::Clock;
use mcp_controller::{Handle, Trigger, View};
use mcp_model::Moment;
use mcp_proto::convert::request;
use mcp_proto::v1;
use mcp_registry::{Registry, SyncOutcome, SyncRequest};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic::{Request, Status};

use super::{Policy, answer, origin};
use crate::gate::Deadline;

/// How long a sync and the look that follows it may take. The look shows what else runs on the
/// node; a runtime that hangs must not make intent look lost.
const LOOK: Duration = Duration::from_secs(5);

/// What a sync needs.
pub struct Sync {
    registry: Registry,
    controller: Handle,
    policy: Arc<Policy>,
    clock: Arc<dyn Clock>,
    accepting: TaskTracker,
}

impl Sync {
    /// A sync runs on `accepting`, whatever its caller does meanwhile.
    pub fn new(
        registry: Registry,
        controller: Handle,
        policy: Arc<Policy>,
        clock: Arc<dyn Clock>,
        accepting: TaskTracker,
    ) -> Self {
        Self {
            registry,
            controller,
            policy,
            clock,
            accepting,
        }
    }

    pub(super) async fn sync_desired_state(
        &self,
        request: Request<v1::SyncDesiredStateRequest>,
    ) -> Result<v1::SyncDesiredStateResponse, Status> {
        let origin = origin(&request, "SyncDesiredState")?;
        let ours = Instant::now() + LOOK;
        let until = match request.extensions().get::<Deadline>() {
            Some(Deadline(theirs)) => ours.min(*theirs),
            None => ours,
        };
        let intent = request::sync(request.into_inner())?;
        for service in &intent.services {
            self.policy.admit(service, None)?;
        }
        let at = self.clock.now();
        let request = SyncRequest {
            services: intent.services,
            origin,
            message: intent.message,
            force: intent.force,
            at,
        };
        let storing = store(self.registry.clone(), self.controller.clone(), request);
        let outcome = self
            .accepting
            .spawn(storing)
            .await
            .map_err(|_| Status::internal("storing the intent ended halfway"))??;
        if tokio::time::timeout_at(until, self.seen(&outcome, at))
            .await
            .is_err()
        {
            tracing::warn!("intent is stored, but the runtime could not be looked at in time");
        }
        Ok(to_wire(outcome))
    }

    /// Waits until what the sync is about was looked at, so that a status after it knows.
    async fn seen(&self, outcome: &SyncOutcome, since: Moment) {
        if let Err(error) = self.controller.look().await {
            tracing::warn!(%error, "intent is stored, but the runtime could not be looked at");
            return;
        }
        let is_seen = |view: &View, key| {
            let status = view.components.get(key);
            status.is_some_and(|status| status.seen_at.boot >= since.boot)
        };
        let all = |view: &Arc<View>| outcome.keys.iter().all(|key| is_seen(view, key));
        // Fails where the controller has stopped: nobody will look any more.
        let _ = self.controller.view().wait_for(all).await;
    }
}

async fn store(
    registry: Registry,
    controller: Handle,
    request: SyncRequest,
) -> Result<SyncOutcome, Status> {
    let outcome = registry.sync(request).await.map_err(answer::refused)?;
    controller
        .trigger(outcome.keys.clone(), Trigger::Intent)
        .await;
    Ok(outcome)
}

fn to_wire(outcome: SyncOutcome) -> v1::SyncDesiredStateResponse {
    let results = outcome
        .services
        .into_iter()
        .map(|service| v1::ServiceSyncResult {
            name: service.name.to_string(),
            changed: service.changed,
            summary: service.summary,
            orphaned: service.orphaned.iter().map(ToString::to_string).collect(),
        });
    v1::SyncDesiredStateResponse {
        results: results.collect(),
        unmentioned: outcome
            .unmentioned
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}
