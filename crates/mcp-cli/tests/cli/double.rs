//! An agent that says what a test tells it to, over real TLS with a real certificate.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use mcp_identity::{CertPaths, Validity, issue_ca_and_cert, server_config};
use mcp_model::Stamp;
use mcp_proto::v1::mcp_agent_service_server::{McpAgentService, McpAgentServiceServer};
use mcp_proto::v1::*;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Code, Request, Response, Status};

/// In a stream, stands for the id of the operation that was accepted last.
pub(crate) const ACCEPTED: &str = "*";

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

#[derive(Debug)]
struct Inner {
    token: String,
    script: Mutex<Script>,
    calls: Mutex<Vec<Call>>,
    tokens: Mutex<Vec<String>>,
    hosts: Mutex<Vec<String>>,
    operations: Mutex<Vec<String>>,
    looks: watch::Sender<usize>,
    /// Streams that were begun, and those that have told everything.
    streams: Mutex<usize>,
    told: watch::Sender<usize>,
    /// Something was added to what streams tell.
    more: watch::Sender<()>,
}

/// A running double.
#[derive(Debug, Clone)]
pub(crate) struct Double {
    pub(crate) port: u16,
    inner: Arc<Inner>,
}

impl Double {
    /// Starts one with a certificate for `names`, made in `folder`.
    pub(crate) async fn start(folder: &Path, names: &[&str], token: &str, script: Script) -> Self {
        let names: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
        let now = Stamp::new(jiff::Timestamp::now());
        let node = "double".parse().unwrap();
        let pems = issue_ca_and_cert(&node, &names, Validity::default(), now).unwrap();
        let paths = CertPaths::within(folder);
        pems.write(&paths).unwrap();
        let acceptor = TlsAcceptor::from(server_config(&paths.cert, &paths.key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let double = Self::of(port, format!("Bearer {token}"), script);
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        tokio::spawn(serve(listener, acceptor, double.clone()));
        double
    }

    /// Starts one behind a Unix socket, where no token is expected.
    pub(crate) fn on_socket(path: &Path, script: Script) -> Self {
        let sockets = UnixListenerStream::new(UnixListener::bind(path).unwrap());
        let double = Self::of(0, String::new(), script);
        let service = McpAgentServiceServer::new(double.clone());
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(sockets),
        );
        double
    }

    fn of(port: u16, token: String, script: Script) -> Self {
        let inner = Inner {
            token,
            script: Mutex::new(script),
            calls: Mutex::default(),
            tokens: Mutex::default(),
            hosts: Mutex::default(),
            operations: Mutex::default(),
            looks: watch::Sender::new(0),
            streams: Mutex::default(),
            told: watch::Sender::new(0),
            more: watch::Sender::new(()),
        };
        Self {
            port,
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.inner.script.lock().unwrap()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner.calls.lock().unwrap().clone()
    }

    pub(crate) fn mutations(&self) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(Call::mutates);
        calls
    }

    /// Every `authorization` that was seen.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.inner.tokens.lock().unwrap().clone()
    }

    /// Every host that a client said it works on.
    pub(crate) fn hosts(&self) -> Vec<String> {
        self.inner.hosts.lock().unwrap().clone()
    }

    /// Every watch that was asked for: its service and its cursor.
    pub(crate) fn watches(&self) -> Vec<(String, u64)> {
        let calls = self.calls().into_iter();
        let watches = calls.filter_map(|call| match call {
            Call::Watch(request) => Some((request.service, request.cursor)),
            _ => None,
        });
        watches.collect()
    }

    /// Goes on in the stream that is open.
    pub(crate) fn tells(&self, messages: impl IntoIterator<Item = WatchResponse>) {
        let mut script = self.script();
        script.watch.last_mut().unwrap().extend(messages);
        drop(script);
        self.inner.more.send_replace(());
    }

    /// Breaks the stream that is open; the next one tells this.
    pub(crate) fn breaks(&self, next: Vec<WatchResponse>) {
        self.script().watch.push(next);
        self.inner.more.send_replace(());
    }

    /// Tells what the script has for a stream, and for as long as it is the last what is added.
    async fn tell(self, stream: usize, sender: mpsc::Sender<Result<WatchResponse, Status>>) {
        let mut more = self.inner.more.subscribe();
        let (mut at, mut all) = (0, false);
        loop {
            let (message, last) = {
                let script = self.script();
                let messages = &script.watch[stream];
                (messages.get(at).cloned(), stream + 1 == script.watch.len())
            };
            if let Some(mut message) = message {
                at += 1;
                self.name_the_accepted(&mut message).await;
                if sender.send(Ok(message)).await.is_err() {
                    return;
                }
                continue;
            }
            if !all {
                all = true;
                self.inner.told.send_modify(|told| *told += 1);
            }
            if !last {
                let _ = sender.send(Err(Status::unavailable("it broke"))).await;
                return;
            }
            tokio::select! {
                _ = more.changed() => {}
                () = sender.closed() => return,
            }
        }
    }

    async fn name_the_accepted(&self, message: &mut WatchResponse) {
        if let Some(watch_response::Change::Operation(operation)) = &mut message.change
            && operation.id == ACCEPTED
        {
            self.accepted().await;
            let accepted = self.inner.operations.lock().unwrap().last().cloned();
            operation.id = accepted.unwrap();
        }
    }

    /// Makes it know an operation.
    pub(crate) fn knows(&self, id: &str) {
        self.inner.operations.lock().unwrap().push(id.to_owned());
    }

    /// Until an operation was accepted.
    pub(crate) async fn accepted(&self) {
        while self.inner.operations.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    fn enter<T>(
        &self,
        method: &'static str,
        request: Request<T>,
        call: impl FnOnce(T) -> Call,
    ) -> Result<(), Status> {
        if let Some(host) = request.metadata().get(mcp_proto::CLIENT_HOST_KEY) {
            let host = host.to_str().unwrap().to_owned();
            self.inner.hosts.lock().unwrap().push(host);
        }
        let token = request
            .metadata()
            .get("authorization")
            .and_then(|t| t.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let allowed = token == self.inner.token;
        self.inner.tokens.lock().unwrap().push(token);
        if !allowed {
            return Err(Status::unauthenticated("the token is not known"));
        }
        self.inner
            .calls
            .lock()
            .unwrap()
            .push(call(request.into_inner()));
        match self.script().refusals.get(method) {
            Some((code, words)) => Err(Status::new(*code, *words)),
            None => Ok(()),
        }
    }

    /// Accepts an operation and waits until all of its steps were looked at.
    async fn operate(&self, id: String) -> Result<Vec<ComponentResult>, Status> {
        self.inner.operations.lock().unwrap().push(id);
        {
            let mut script = self.script();
            if let Some(left) = script.stops.checked_sub(1) {
                script.stops = left;
                return Err(Status::unavailable("the agent is stopping"));
            }
        }
        let streams = self.script().answers_after;
        let mut told = self.inner.told.subscribe();
        told.wait_for(|told| *told >= streams).await.unwrap();
        let steps = self.script().steps.len();
        let never_ends = self.script().never_ends;
        if let Some(words) = self.script().in_the_way {
            return Err(Status::aborted(words));
        }
        if never_ends {
            std::future::pending::<()>().await;
        }
        let mut looks = self.inner.looks.subscribe();
        looks.wait_for(|looks| *looks >= steps).await.unwrap();
        Ok(self.script().results.clone())
    }

    fn answer<T>(&self, answer: T) -> Response<T> {
        let mut response = Response::new(answer);
        let script = self.script();
        for (key, value) in [("mcp-api-level", script.level), ("mcp-node", script.node)] {
            if let Some(value) = value {
                response.metadata_mut().insert(key, value.parse().unwrap());
            }
        }
        response
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, double: Double) {
    let (sender, streams) = mpsc::channel(16);
    let accept = async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // A refused handshake is the client's affair.
            if let Ok(stream) = acceptor.accept(tcp).await {
                let _ = sender.send(Ok::<_, std::io::Error>(stream)).await;
            }
        }
    };
    let service = McpAgentServiceServer::new(double);
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(ReceiverStream::new(streams));
    let ((), outcome) = tokio::join!(accept, server);
    outcome.unwrap();
}

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
