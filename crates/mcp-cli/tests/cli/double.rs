//! An agent that says what a test tells it to, over real TLS with a real certificate.

mod rpcs;
mod script;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use mcp_identity::{CertPaths, Validity, issue_ca_and_cert, server_config};
use mcp_model::Stamp;
use mcp_proto::v1::mcp_agent_service_server::McpAgentServiceServer;
use mcp_proto::v1::*;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status};

pub(crate) use script::{Call, Script};

/// In a stream, stands for the id of the operation that was accepted last.
pub(crate) const ACCEPTED: &str = "*";

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
