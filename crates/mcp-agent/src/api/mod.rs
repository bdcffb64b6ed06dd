//! The gRPC api: one file per family of RPCs, each with only the handles that it needs.
//!
//! A request is parsed into the model at once; what cannot be parsed is `INVALID_ARGUMENT` with
//! the field named (S45). The gate has been passed: every request carries its caller.

mod answer;
mod deploy_preview;
mod foreign;
mod lifecycle;
mod local;
mod plan;
mod policy;
mod status;
mod sync;
mod wait;
mod watch;
mod why;

use std::pin::Pin;

use futures::Stream;
use futures::future::BoxFuture;
use mcp_identity::Caller;
use mcp_model::Origin;
use mcp_proto::v1;
use mcp_proto::v1::mcp_agent_service_server::McpAgentService;
use tonic::{Request, Response, Status};

pub(crate) use answer::chain;
pub use lifecycle::Lifecycle;
pub use local::LocalAdmin;
pub(crate) use local::token_info;
pub use plan::Plan;
pub use policy::Policy;
pub(crate) use status::not_looked_at;
pub use status::{Sources, StatusApi};
pub use sync::Sync;
pub use watch::Watching;
pub use why::Why;

use crate::serve::Peer;

/// The service of the published protocol, as a bundle of its families.
pub struct Api {
    /// Calls that change containers.
    pub lifecycle: Lifecycle,
    /// Calls that change intent only.
    pub sync: Sync,
    /// Previews.
    pub plan: Plan,
    /// Calls that read.
    pub status: StatusApi,
    /// Explanations.
    pub why: Why,
    /// The stream of what happens.
    pub watching: Watching,
}

/// A server's stream of messages.
type Streaming<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn later<T>(what: &str) -> Result<T, Status> {
    Err(Status::unimplemented(format!(
        "{what} arrives with a later release of the agent"
    )))
}

/// Who makes a call, for audit: what the gate and the connection know of it.
fn origin<T>(request: &Request<T>, method: &str) -> Result<Origin, Status> {
    let extensions = request.extensions();
    // Absent only where a service was mounted without the gate, which must never go unnoticed.
    let caller = extensions
        .get::<Caller>()
        .ok_or_else(|| Status::internal("the call did not pass the gate"))?;
    let peer = extensions
        .get::<Peer>()
        .map(ToString::to_string)
        .unwrap_or_default();
    Ok(Origin {
        caller: caller.subject.to_string(),
        peer,
        method: method.to_owned(),
        host: claimed_host(request.metadata()),
    })
}

/// The host that the caller says it works on, where it looks like one.
fn claimed_host(metadata: &tonic::metadata::MetadataMap) -> String {
    let said = metadata
        .get(mcp_proto::CLIENT_HOST_KEY)
        .and_then(|value| value.to_str().ok());
    let fits = |host: &&str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        (1..=64).contains(&host.len()) && host.bytes().all(plain)
    };
    said.filter(fits).unwrap_or_default().to_owned()
}

/// An operation id of the agent's own making: 16 random hex digits.
fn new_operation_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// Hands each RPC to its family. Written out as `async_trait` would: an attribute does not see
/// what a macro makes.
macro_rules! delegate {
    ($($method:ident($request:ident) -> $response:ident = $family:ident;)+) => {
        $(
            fn $method<'a, 'async_trait>(
                &'a self,
                request: Request<v1::$request>,
            ) -> BoxFuture<'async_trait, Result<Response<v1::$response>, Status>>
            where
                'a: 'async_trait,
                Self: 'async_trait,
            {
                Box::pin(async move { self.$family.$method(request).await.map(Response::new) })
            }
        )+
    };
}

#[tonic::async_trait]
impl McpAgentService for Api {
    type WatchStream = Streaming<v1::WatchResponse>;
    type LogsStream = Streaming<v1::LogsResponse>;

    delegate! {
        deploy(DeployRequest) -> DeployResponse = lifecycle;
        stop_service(StopServiceRequest) -> StopServiceResponse = lifecycle;
        start_service(StartServiceRequest) -> StartServiceResponse = lifecycle;
        restart_service(RestartServiceRequest) -> RestartServiceResponse = lifecycle;
        undeploy(UndeployRequest) -> UndeployResponse = lifecycle;
        sync_desired_state(SyncDesiredStateRequest) -> SyncDesiredStateResponse = sync;
        plan(PlanRequest) -> PlanResponse = plan;
        list_services(ListServicesRequest) -> ListServicesResponse = status;
        get_service_status(GetServiceStatusRequest) -> GetServiceStatusResponse = status;
        live_check(LiveCheckRequest) -> LiveCheckResponse = status;
        why(WhyRequest) -> WhyResponse = why;
        list_events(ListEventsRequest) -> ListEventsResponse = status;
        list_operations(ListOperationsRequest) -> ListOperationsResponse = status;
    }

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.watching.watch(&request).map(Response::new)
    }

    async fn logs(
        &self,
        _: Request<v1::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        later("Logs")
    }

    async fn adopt_containers(
        &self,
        _: Request<v1::AdoptContainersRequest>,
    ) -> Result<Response<v1::AdoptContainersResponse>, Status> {
        later("AdoptContainers")
    }

    async fn push_file(
        &self,
        _: Request<v1::PushFileRequest>,
    ) -> Result<Response<v1::PushFileResponse>, Status> {
        later("PushFile")
    }

    async fn pull_file(
        &self,
        _: Request<v1::PullFileRequest>,
    ) -> Result<Response<v1::PullFileResponse>, Status> {
        later("PullFile")
    }

    async fn node_status(
        &self,
        _: Request<v1::NodeStatusRequest>,
    ) -> Result<Response<v1::NodeStatusResponse>, Status> {
        later("NodeStatus")
    }
}
