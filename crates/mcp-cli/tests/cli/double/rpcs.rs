//! The calls, as the script has them answered.

use mcp_proto::v1::mcp_agent_service_server::McpAgentService;
use mcp_proto::v1::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Call, Double};

type Streamed<T> = ReceiverStream<Result<T, Status>>;

fn not_built<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not built"))
}

#[tonic::async_trait]
impl McpAgentService for Double {
    type WatchStream = Streamed<WatchResponse>;
    type LogsStream = Streamed<LogsResponse>;

    async fn deploy(
        &self,
        request: Request<DeployRequest>,
    ) -> Result<Response<DeployResponse>, Status> {
        let id = request.get_ref().operation_id.clone();
        self.enter("deploy", request, Call::Deploy)?;
        let results = self.operate(id.clone()).await?;
        let warnings = self.script().warnings.clone();
        Ok(self.answer(DeployResponse {
            results,
            operation_id: id,
            warnings,
        }))
    }

    async fn stop_service(
        &self,
        request: Request<StopServiceRequest>,
    ) -> Result<Response<StopServiceResponse>, Status> {
        let operation_id = request.get_ref().operation_id.clone();
        self.enter("stop", request, Call::Stop)?;
        let results = self.operate(operation_id.clone()).await?;
        Ok(self.answer(StopServiceResponse {
            results,
            operation_id,
        }))
    }

    async fn start_service(
        &self,
        request: Request<StartServiceRequest>,
    ) -> Result<Response<StartServiceResponse>, Status> {
        let operation_id = request.get_ref().operation_id.clone();
        self.enter("start", request, Call::Start)?;
        let results = self.operate(operation_id.clone()).await?;
        Ok(self.answer(StartServiceResponse {
            results,
            operation_id,
        }))
    }

    async fn restart_service(
        &self,
        request: Request<RestartServiceRequest>,
    ) -> Result<Response<RestartServiceResponse>, Status> {
        let operation_id = request.get_ref().operation_id.clone();
        self.enter("restart", request, Call::Restart)?;
        let results = self.operate(operation_id.clone()).await?;
        Ok(self.answer(RestartServiceResponse {
            results,
            operation_id,
        }))
    }

    async fn undeploy(
        &self,
        request: Request<UndeployRequest>,
    ) -> Result<Response<UndeployResponse>, Status> {
        let operation_id = request.get_ref().operation_id.clone();
        self.enter("undeploy", request, Call::Undeploy)?;
        let results = self.operate(operation_id.clone()).await?;
        Ok(self.answer(UndeployResponse {
            results,
            operation_id,
        }))
    }

    async fn sync_desired_state(
        &self,
        request: Request<SyncDesiredStateRequest>,
    ) -> Result<Response<SyncDesiredStateResponse>, Status> {
        self.enter("sync", request, Call::Sync)?;
        let answer = self.script().sync.clone();
        Ok(self.answer(answer))
    }

    async fn plan(&self, request: Request<PlanRequest>) -> Result<Response<PlanResponse>, Status> {
        self.enter("plan", request, Call::Plan)?;
        let answer = self.script().plan.clone();
        Ok(self.answer(answer))
    }

    async fn list_services(
        &self,
        request: Request<ListServicesRequest>,
    ) -> Result<Response<ListServicesResponse>, Status> {
        self.enter("list", request, |_| Call::Read("list"))?;
        let services = self.script().services.clone();
        Ok(self.answer(ListServicesResponse { services }))
    }

    async fn get_service_status(
        &self,
        request: Request<GetServiceStatusRequest>,
    ) -> Result<Response<GetServiceStatusResponse>, Status> {
        self.enter("status", request, Call::Status)?;
        let answer = self.script().status.clone();
        Ok(self.answer(answer))
    }

    async fn live_check(
        &self,
        request: Request<LiveCheckRequest>,
    ) -> Result<Response<LiveCheckResponse>, Status> {
        self.enter("live", request, |_| Call::Read("live"))?;
        let answer = self.script().live.clone();
        Ok(self.answer(answer))
    }

    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyResponse>, Status> {
        self.enter("why", request, Call::Why)?;
        let answer = self.script().why.clone();
        Ok(self.answer(answer))
    }

    async fn list_operations(
        &self,
        request: Request<ListOperationsRequest>,
    ) -> Result<Response<ListOperationsResponse>, Status> {
        let id = request.get_ref().operation_id.clone();
        self.enter("operations", request, |_| Call::Read("operations"))?;
        let mut known = self.inner.operations.lock().unwrap().clone();
        known.retain(|known| id.is_empty() || *known == id);
        let look = *self.inner.looks.borrow();
        let steps = self.script().steps.get(look).cloned();
        let over = steps.is_none() && !self.script().never_ends;
        if !known.is_empty() {
            self.inner.looks.send_modify(|looks| *looks += 1);
        }
        let ended = self.script().ended.clone().filter(|_| over);
        let (end, last) = ended.map_or(("succeeded", None), |(state, step)| (state, Some(step)));
        let operation = |id| OperationInfo {
            id,
            kind: "deploy".to_owned(),
            service: "hello".to_owned(),
            state: if over { end } else { "running" }.to_owned(),
            steps: steps
                .clone()
                .unwrap_or_else(|| last.clone().into_iter().collect()),
            message: self.script().message.to_owned(),
            ..Default::default()
        };
        let operations = known.into_iter().map(operation).collect();
        Ok(self.answer(ListOperationsResponse { operations }))
    }

    async fn list_events(
        &self,
        _: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        not_built()
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.enter("watch", request, Call::Watch)?;
        let number = {
            let mut streams = self.inner.streams.lock().unwrap();
            *streams += 1;
            *streams
        };
        if self.script().watch.len() < number {
            return not_built();
        }
        let (sender, stream) = mpsc::channel(1);
        let tell = self.clone().tell(number - 1, sender);
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        tokio::spawn(tell);
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn logs(&self, _: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        not_built()
    }

    async fn adopt_containers(
        &self,
        _: Request<AdoptContainersRequest>,
    ) -> Result<Response<AdoptContainersResponse>, Status> {
        not_built()
    }

    async fn push_file(
        &self,
        _: Request<PushFileRequest>,
    ) -> Result<Response<PushFileResponse>, Status> {
        not_built()
    }

    async fn pull_file(
        &self,
        _: Request<PullFileRequest>,
    ) -> Result<Response<PullFileResponse>, Status> {
        not_built()
    }

    async fn node_status(
        &self,
        _: Request<NodeStatusRequest>,
    ) -> Result<Response<NodeStatusResponse>, Status> {
        not_built()
    }
}
