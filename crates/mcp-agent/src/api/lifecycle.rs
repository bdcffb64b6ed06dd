//! Deploy, stop, start, restart, undeploy: accepted in one transaction, done by the controller,
//! waited for here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mcp_controller::port::Clock;
use mcp_controller::{Handle, Trigger};
use mcp_model::{
    ComponentKey, ObservedState, Operation, OperationId, OperationKind, OperationRequest, Origin,
    Request as Intent, ServiceName,
};
use mcp_proto::convert::info;
use mcp_proto::convert::request::{self, Asked};
use mcp_proto::v1;
use mcp_registry::{Accepted, OperationFilter, Registry, Warning};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Status};

use super::foreign::ForeignCheck;
use super::wait::Waiting;
use super::{Policy, answer, new_operation_id, origin};
use crate::failpoints::Failpoints;
use crate::gate::Deadline;

/// What lifecycle calls need.
pub struct Lifecycle {
    waiting: Waiting,
    foreign: ForeignCheck,
    policy: Arc<Policy>,
    clock: Arc<dyn Clock>,
    accepting: TaskTracker,
    failpoints: Failpoints,
}

/// Who calls, and until when they wait.
struct Call {
    origin: Origin,
    deadline: Option<Deadline>,
}

/// What became of a call.
struct Done {
    id: String,
    results: Vec<v1::ComponentResult>,
    warnings: Vec<String>,
}

impl Lifecycle {
    /// Accepting a call is never interrupted: it runs on `accepting`, whatever its caller does.
    /// Waiting ends when `ending` is cancelled. A view older than `fresh` is renewed before a
    /// deploy is judged by it.
    pub fn new(
        registry: Registry,
        controller: Handle,
        policy: Arc<Policy>,
        clock: Arc<dyn Clock>,
        fresh: Duration,
        tasks: (TaskTracker, CancellationToken),
    ) -> Self {
        let (accepting, ending) = tasks;
        let foreign = ForeignCheck {
            controller: controller.clone(),
            clock: Arc::clone(&clock),
            fresh,
        };
        let waiting = Waiting {
            registry,
            controller,
            ending,
        };
        Self {
            waiting,
            foreign,
            policy,
            clock,
            accepting,
            failpoints: Failpoints::default(),
        }
    }

    /// Passes these points when it accepts something.
    #[must_use]
    pub fn with_failpoints(mut self, failpoints: Failpoints) -> Self {
        self.failpoints = failpoints;
        self
    }

    pub(super) async fn deploy(
        &self,
        request: Request<v1::DeployRequest>,
    ) -> Result<v1::DeployResponse, Status> {
        let call = Call::of(&request, "Deploy")?;
        let mut wire = request.into_inner();
        identify(&mut wire.operation_id);
        let order: Vec<String> = wire
            .service
            .iter()
            .flat_map(|service| service.components.iter().map(|c| c.name.clone()))
            .collect();
        let asked = request::deploy(wire)?;
        let keys = meant(&asked.request);
        self.admit_deploy(&asked, &keys).await?;
        let mut done = self.perform(asked, call).await?;
        if done.results.iter().all(|result| !result.success) {
            self.foreign.explain(&keys).await?;
        }
        in_order(&mut done.results, &order);
        Ok(v1::DeployResponse {
            results: done.results,
            operation_id: done.id,
            warnings: done.warnings,
        })
    }

    pub(super) async fn stop_service(
        &self,
        request: Request<v1::StopServiceRequest>,
    ) -> Result<v1::StopServiceResponse, Status> {
        let call = Call::of(&request, "StopService")?;
        let mut wire = request.into_inner();
        identify(&mut wire.operation_id);
        let done = self.perform(request::stop(wire)?, call).await?;
        Ok(v1::StopServiceResponse {
            results: done.results,
            operation_id: done.id,
        })
    }

    pub(super) async fn start_service(
        &self,
        request: Request<v1::StartServiceRequest>,
    ) -> Result<v1::StartServiceResponse, Status> {
        let call = Call::of(&request, "StartService")?;
        let mut wire = request.into_inner();
        identify(&mut wire.operation_id);
        let done = self.perform(request::start(wire)?, call).await?;
        Ok(v1::StartServiceResponse {
            results: done.results,
            operation_id: done.id,
        })
    }

    pub(super) async fn restart_service(
        &self,
        request: Request<v1::RestartServiceRequest>,
    ) -> Result<v1::RestartServiceResponse, Status> {
        let call = Call::of(&request, "RestartService")?;
        let mut wire = request.into_inner();
        identify(&mut wire.operation_id);
        let done = self.perform(request::restart(wire)?, call).await?;
        Ok(v1::RestartServiceResponse {
            results: done.results,
            operation_id: done.id,
        })
    }

    pub(super) async fn undeploy(
        &self,
        request: Request<v1::UndeployRequest>,
    ) -> Result<v1::UndeployResponse, Status> {
        let call = Call::of(&request, "Undeploy")?;
        let mut wire = request.into_inner();
        identify(&mut wire.operation_id);
        let done = self.perform(request::undeploy(wire)?, call).await?;
        Ok(v1::UndeployResponse {
            results: done.results,
            operation_id: done.id,
        })
    }

    async fn admit_deploy(&self, asked: &Asked, keys: &[ComponentKey]) -> Result<(), Status> {
        if let Intent::Deploy { service, only } = &asked.request {
            self.policy.admit(service, only.as_ref())?;
        }
        if self.is_accepted(&asked.id).await? {
            // Who attaches to it may find its own container there, not on record yet.
            return Ok(());
        }
        self.foreign.admit(keys).await
    }

    async fn is_accepted(&self, id: &OperationId) -> Result<bool, Status> {
        let filter = OperationFilter {
            service: None,
            id: Some(id.clone()),
            limit: 1,
        };
        let found = self.waiting.registry.operations(filter).await;
        Ok(!found.map_err(answer::registry)?.is_empty())
    }

    async fn perform(&self, asked: Asked, call: Call) -> Result<Done, Status> {
        let request = asked.from_caller(call.origin, self.clock.now());
        let service = request.request.service().clone();
        let registry = self.waiting.registry.clone();
        let accepting = accept(
            registry,
            self.waiting.controller.clone(),
            Arc::clone(&self.policy),
            request,
            self.failpoints.clone(),
        );
        // A caller that leaves in the middle must not leave an operation that nobody was told of.
        let task = self.accepting.spawn(accepting);
        let (accepted, mut warnings) = task
            .await
            .map_err(|_| Status::internal("accepting the operation ended halfway"))??;
        let operation = self
            .waiting
            .settled(&accepted.operation, call.deadline)
            .await?;
        warnings.extend(
            accepted
                .warnings
                .iter()
                .map(|warning| words(*warning, &service)),
        );
        let results = self.results(&service, &operation).await?;
        Ok(Done {
            id: operation.id.to_string(),
            results,
            warnings,
        })
    }

    /// What became of each component, with what was observed of it last.
    async fn results(
        &self,
        service: &ServiceName,
        operation: &Operation,
    ) -> Result<Vec<v1::ComponentResult>, Status> {
        let keys = operation
            .steps
            .iter()
            .map(|step| ComponentKey::new(service.clone(), step.component.clone()))
            .collect();
        // What is known to have happened since the last look comes before the reply (S17).
        self.waiting
            .controller
            .rest(keys)
            .await
            .map_err(|failure| Status::unavailable(failure.to_string()))?;
        let stored = self.waiting.registry.service(service.clone()).await;
        let stored = stored.map_err(answer::registry)?;
        let infos: HashMap<_, _> = stored
            .iter()
            .flat_map(|service| &service.components)
            .map(|record| (&record.key.component, info::component_info(record, None)))
            .collect();
        Ok(operation
            .steps
            .iter()
            .map(|step| {
                let mut result = info::component_result(step, infos.get(&step.component));
                must_run(operation.kind, &mut result);
                result
            })
            .collect())
    }
}

/// Verified means that it still runs at the reply (S17).
fn must_run(kind: OperationKind, result: &mut v1::ComponentResult) {
    let starts = matches!(
        kind,
        OperationKind::Deploy | OperationKind::Start | OperationKind::Restart
    );
    let acted = result.success && result.skipped.is_empty();
    if starts && acted && result.observed_state != ObservedState::Running.as_str() {
        result.success = false;
        result.error = format!("it came up and is {} again", result.observed_state);
    }
}

impl Call {
    fn of<T>(request: &Request<T>, method: &str) -> Result<Self, Status> {
        Ok(Self {
            origin: origin(request, method)?,
            deadline: request.extensions().get::<Deadline>().copied(),
        })
    }
}

/// The components that a deploy is about.
fn meant(intent: &Intent) -> Vec<ComponentKey> {
    match intent {
        Intent::Deploy { service, only } => service
            .keys()
            .filter(|key| only.as_ref().is_none_or(|only| key.component == *only))
            .collect(),
        _ => Vec::new(),
    }
}

/// Stores intent, operation and audit; then, and only then, does the first thing.
async fn accept(
    registry: Registry,
    controller: Handle,
    policy: Arc<Policy>,
    request: OperationRequest,
    failpoints: Failpoints,
) -> Result<(Accepted, Vec<String>), Status> {
    let deployed = match &request.request {
        Intent::Deploy { service, .. } => Some(service.name.clone()),
        _ => None,
    };
    failpoints.pass("before:accept");
    let accepted = registry.accept(request).await.map_err(answer::refused)?;
    failpoints.pass("after:accept");
    let mut warnings = Vec::new();
    if let Some(service) = deployed.filter(|_| !accepted.attached)
        && let Err(why) = policy.make_root(&service)
    {
        // Only a component that mounts it needs it, and that one fails with the runtime's words.
        warnings.push(why);
    }
    controller
        .trigger(accepted.keys().cloned().collect(), Trigger::Intent)
        .await;
    Ok((accepted, warnings))
}

fn words(warning: Warning, service: &ServiceName) -> String {
    match warning {
        Warning::ServiceWasInactive => {
            format!("service {service} says active = false; deploying it makes it run")
        }
    }
}

/// A client that sends no id cannot repeat its request, but need not be turned away.
fn identify(id: &mut String) {
    if id.is_empty() {
        *id = new_operation_id();
    }
}

/// Sorts results as the definition has its components; what it does not name comes last.
fn in_order(results: &mut [v1::ComponentResult], order: &[String]) {
    let place = |name: &String| order.iter().position(|n| n == name).unwrap_or(order.len());
    results.sort_by_key(|result| place(&result.name));
}
