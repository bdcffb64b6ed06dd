//! What a double is told to answer, and what it tells that it was asked.

use std::collections::HashMap;

use mcp_proto::v1::*;
use tonic::Code;

/// What the double answers.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) services: Vec<ServiceInfo>,
    pub(crate) status: GetServiceStatusResponse,
    pub(crate) live: LiveCheckResponse,
    pub(crate) why: WhyResponse,
    pub(crate) sync: SyncDesiredStateResponse,
    pub(crate) plan: PlanResponse,
    /// Of every operation.
    pub(crate) results: Vec<ComponentResult>,
    pub(crate) warnings: Vec<String>,
    /// By method.
    pub(crate) refusals: HashMap<&'static str, (Code, &'static str)>,
    /// What successive looks at an operation show; it ends once all were seen.
    pub(crate) steps: Vec<Vec<OperationStep>>,
    /// What operations were asked for with `-m`.
    pub(crate) message: &'static str,
    /// The state in which operations end, and their last step, where they do not succeed.
    pub(crate) ended: Option<(&'static str, OperationStep)>,
    /// Operations are accepted and never answered.
    pub(crate) never_ends: bool,
    /// Operations are accepted, and then the waiting is ended with these words.
    pub(crate) in_the_way: Option<&'static str>,
    /// What successive streams tell; one that has told everything breaks if there is another, and
    /// stays open else. Without any, the double does not know what a stream is.
    pub(crate) watch: Vec<Vec<WatchResponse>>,
    /// So many calls for an operation are cut off by an agent that stops.
    pub(crate) stops: usize,
    /// Operations are answered once so many streams have told everything.
    pub(crate) answers_after: usize,
    /// The level that answers carry.
    pub(crate) level: Option<&'static str>,
    /// What the agent says that its node is called.
    pub(crate) node: Option<&'static str>,
}

impl Script {
    /// An agent that accepts operations, and they go on.
    pub(crate) fn endless() -> Self {
        Self {
            never_ends: true,
            ..Self::default()
        }
    }
}

/// What reached the double.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Read(&'static str),
    Status(GetServiceStatusRequest),
    Sync(SyncDesiredStateRequest),
    Plan(PlanRequest),
    Why(WhyRequest),
    Deploy(DeployRequest),
    Start(StartServiceRequest),
    Stop(StopServiceRequest),
    Restart(RestartServiceRequest),
    Undeploy(UndeployRequest),
    Watch(WatchRequest),
}

impl Call {
    /// Whether it asked for a change.
    pub(crate) fn mutates(&self) -> bool {
        !matches!(
            self,
            Self::Read(_) | Self::Status(_) | Self::Plan(_) | Self::Watch(_) | Self::Why(_)
        )
    }
}
