//! A connection to one agent, and the calls that go over it.
//!
//! The TLS connection is made first and by itself, so that what is wrong with it is told as it is
//! and not as a transport error; then HTTP/2 is spoken over it. It is not made again when it
//! breaks: a command is short, and an operation that it started goes on by itself (S18).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use hyper_util::rt::TokioIo;
use mcp_config::cli::Node;
use mcp_model::NodeName;
use mcp_proto::v1;
use mcp_proto::v1::mcp_agent_service_client::McpAgentServiceClient;
use mcp_proto::{API_LEVEL, API_LEVEL_KEY, CLIENT_HOST_KEY, MAX_MESSAGE_BYTES, NODE_KEY};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use crate::context::Context;
use crate::problem::Problem;
use crate::status::explain;

/// The generated client with our metadata on every request.
pub(crate) type Client = McpAgentServiceClient<InterceptedService<Channel, Credentials>>;

/// An open connection.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) node: Node,
    client: Client,
    read_timeout: Duration,
}

/// Puts the token, where there is one, and our level on every request.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    /// None goes through a node's own socket: there the kernel says who calls (S41).
    authorization: Option<MetadataValue<Ascii>>,
    host: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(authorization) = &self.authorization {
            metadata.insert("authorization", authorization.clone());
        }
        metadata.insert(API_LEVEL_KEY, MetadataValue::from(API_LEVEL));
        if let Some(host) = &self.host {
            metadata.insert(CLIENT_HOST_KEY, host.clone());
        }
        Ok(request)
    }
}

/// What this host is called, for agents to tell workstations apart (S10).
fn own_host() -> Option<MetadataValue<Ascii>> {
    let uname = rustix::system::uname();
    uname.nodename().to_str().ok()?.parse().ok()
}

/// What an agent's answer says about its level; silence means the first one.
fn level_of(metadata: &MetadataMap) -> u32 {
    metadata.get(API_LEVEL_KEY).map_or(1, |value| {
        value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    })
}

impl Agent {
    /// Connects to `node`: with its own token and CA, or through its socket with neither.
    pub(crate) async fn connect(context: &Context, node: &Node) -> Result<Self> {
        let timeout = context.read_timeout();
        let tell = || {
            let text = format!("connecting to {} at {}", node.name, node.address);
            context.out.detail(&text);
        };
        let (channel, authorization) = if let Some(path) = node.address.as_socket() {
            tell();
            (channel(crate::dial::local(path).await?).await, None)
        } else {
            let authorization = crate::dial::authorization(&context.config, node)?;
            tell();
            let stream = crate::dial::dial(&context.config, node, timeout).await?;
            (channel(stream).await, Some(authorization))
        };
        let channel = channel.map_err(|error| {
            Problem::new(format!(
                "cannot speak HTTP/2 with {} ({})",
                node.name, node.address
            ))
            .because(error)
            .help("is this the address of an mcp-agent?")
        })?;
        let credentials = Credentials {
            authorization,
            host: own_host(),
        };
        let client = McpAgentServiceClient::with_interceptor(channel, credentials)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self {
            node: node.clone(),
            client,
            read_timeout: timeout,
        })
    }

    /// A handle for a call of one's own.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// What the agent calls its node.
    pub(crate) async fn node_name(&self) -> Result<NodeName> {
        let mut client = self.client();
        let call = client.list_services(self.request(v1::ListServicesRequest {}));
        let answer = self.read("ask the agent for its name", call).await?;
        let name = answer.metadata().get(NODE_KEY);
        let name = name.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(name.ok_or_else(|| {
            Problem::new(format!(
                "the agent at {} does not say what its node is called",
                self.node.address
            ))
            .help("say it with --node")
        })?)
    }

    /// Refuses an agent that is too old to honour what we would ask of it. Returns what it knows,
    /// since a cheap read is how it is asked; `tried` is what the operator asked for.
    pub(crate) async fn check_level(&self, tried: &str) -> Result<Vec<v1::ServiceInfo>> {
        let mut client = self.client();
        let answer = self.read(
            tried,
            client.list_services(self.request(v1::ListServicesRequest {})),
        );
        let answer = answer.await?;
        let level = level_of(answer.metadata());
        if level < API_LEVEL {
            return Err(Problem::new(format!(
                "the agent on {} is too old: it speaks API level {level}, this mcp needs {API_LEVEL}",
                self.node.name
            ))
            .help("upgrade the agent; until then use the mcp of its release")
            .into());
        }
        Ok(answer.into_inner().services)
    }

    /// What the registry knows.
    pub(crate) async fn services(&self) -> Result<Vec<v1::ServiceInfo>> {
        let mut client = self.client();
        let call = client.list_services(self.request(v1::ListServicesRequest {}));
        Ok(self
            .read("list services", call)
            .await?
            .into_inner()
            .services)
    }

    /// States, drift and events; from the cache or after a look.
    pub(crate) async fn status(
        &self,
        service: &str,
        cached: bool,
    ) -> Result<v1::GetServiceStatusResponse> {
        let mut client = self.client();
        let request = v1::GetServiceStatusRequest {
            name: service.to_owned(),
            cached,
        };
        Ok(self
            .read(
                "read the status",
                client.get_service_status(self.request(request)),
            )
            .await?
            .into_inner())
    }

    /// What is planned for a component, and why. An empty name means the service's only one.
    pub(crate) async fn why(&self, service: &str, component: &str) -> Result<v1::WhyResponse> {
        let mut client = self.client();
        let request = v1::WhyRequest {
            service: service.to_owned(),
            component: component.to_owned(),
        };
        Ok(self
            .read("explain", client.why(self.request(request)))
            .await?
            .into_inner())
    }

    /// What the runtime says now.
    pub(crate) async fn live_check(&self) -> Result<v1::LiveCheckResponse> {
        let mut client = self.client();
        let call = client.live_check(self.request(v1::LiveCheckRequest {}));
        Ok(self.read("look at the runtime", call).await?.into_inner())
    }

    /// What a sync or a deploy would change.
    pub(crate) async fn plan(&self, intent: v1::plan_request::Intent) -> Result<v1::PlanResponse> {
        let mut client = self.client();
        let request = v1::PlanRequest {
            intent: Some(intent),
        };
        Ok(self
            .read("plan", client.plan(self.request(request)))
            .await?
            .into_inner())
    }

    /// Records intent.
    pub(crate) async fn sync(
        &self,
        request: v1::SyncDesiredStateRequest,
    ) -> Result<v1::SyncDesiredStateResponse> {
        let mut client = self.client();
        Ok(self
            .read("sync", client.sync_desired_state(self.request(request)))
            .await?
            .into_inner())
    }

    /// One operation, where the agent knows it.
    pub(crate) async fn operation(&self, id: &str) -> Result<Option<v1::OperationInfo>, Status> {
        let request = v1::ListOperationsRequest {
            operation_id: id.to_owned(),
            limit: 1,
            ..Default::default()
        };
        let operations = self.operations(request).await?;
        Ok(operations.into_iter().find(|operation| operation.id == id))
    }

    /// Operations, newest first.
    pub(crate) async fn operations(
        &self,
        request: v1::ListOperationsRequest,
    ) -> Result<Vec<v1::OperationInfo>, Status> {
        let mut client = self.client();
        let answer = client.list_operations(self.request(request)).await?;
        Ok(answer.into_inner().operations)
    }

    /// What happens, from after `cursor` on; with 0, first everything that is so. Only its beginning
    /// is waited for: it has no end of its own.
    pub(crate) async fn watch(
        &self,
        service: &str,
        cursor: u64,
    ) -> Result<Streaming<v1::WatchResponse>, Status> {
        let mut client = self.client();
        let request = v1::WatchRequest {
            service: service.to_owned(),
            cursor,
        };
        let late = |_| Status::deadline_exceeded("the stream did not begin");
        let begun = tokio::time::timeout(self.read_timeout, client.watch(request)).await;
        Ok(begun.map_err(late).flatten()?.into_inner())
    }

    /// The request with the time that we wait for its answer, so that the agent can say what it
    /// knows by then instead of nothing.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.read_timeout);
        request
    }

    /// Waits for an answer as long as a read may take.
    async fn read<T>(
        &self,
        tried: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Response<T>> {
        let late = |_| Status::deadline_exceeded(crate::human::duration(self.read_timeout));
        let answer = tokio::time::timeout(self.read_timeout, call).await;
        let answer = answer.map_err(late).flatten();
        answer.map_err(|status| explain(&self.node, tried, &status).into())
    }
}

/// HTTP/2 over a connection that is there already.
async fn channel<S>(stream: S) -> Result<Channel, tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let slot = Arc::new(Mutex::new(Some(stream)));
    let connector = tower::service_fn(move |_| {
        let stream = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let lost =
                || std::io::Error::new(std::io::ErrorKind::NotConnected, "the connection was lost");
            stream.map(TokioIo::new).ok_or_else(lost)
        }
    });
    // The name is in the certificate check, which has been made; this one only fills a header.
    Endpoint::from_static("http://mcp-agent")
        .user_agent(concat!("mcp/", env!("CARGO_PKG_VERSION")))?
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .connect_with_connector(connector)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_agent_speaks_the_first_level() {
        let mut metadata = MetadataMap::new();
        assert_eq!(level_of(&metadata), 1);
        for (text, level) in [("3", 3), ("0", 0), ("new", 0)] {
            metadata.insert(API_LEVEL_KEY, text.parse().unwrap());
            assert_eq!(level_of(&metadata), level);
        }
    }
}
