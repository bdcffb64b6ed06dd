//! A node in this process, and clients for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcp_agent::node::{HintFeed, Opened, Running, World, podman_args};
use mcp_agent::serve::limits::Limits;
use mcp_config::agent::AgentConfig;
use mcp_identity::issue::{CertPaths, SanName, Validity, issue_ca_and_cert};
use mcp_identity::{Role, Token};
use mcp_model::Stamp;
use mcp_proto::v1;
use mcp_proto::v1::mcp_agent_service_client::McpAgentServiceClient;
use mcp_registry::NewToken;
use mcp_runtime::fake::{Fake, HintPolicy};
use mcp_runtime::hints::channel;
use tempfile::TempDir;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

pub(crate) type Client = McpAgentServiceClient<InterceptedService<Channel, Bearer>>;

/// Long enough for everything that happens at all.
pub(crate) const FOREVER: Duration = Duration::from_mins(1);

/// Fails a test whose guard is gone, instead of letting it hang.
#[track_caller]
pub(crate) fn within<T>(what: &str, waiting: impl Future<Output = T>) -> impl Future<Output = T> {
    let what = what.to_owned();
    async move {
        tokio::time::timeout(FOREVER, waiting)
            .await
            .unwrap_or_else(|_| panic!("never: {what}"))
    }
}

/// A node whose runtime is the fake.
pub(crate) struct Node {
    pub(crate) fake: Fake,
    pub(crate) running: Running,
    pub(crate) config: AgentConfig,
    pub(crate) dir: Arc<TempDir>,
    pub(crate) authority: String,
    pub(crate) token: String,
}

/// Now, by the wall clock.
pub(crate) fn now() -> Stamp {
    Stamp::new(jiff::Timestamp::now())
}

/// Settings of a node in `dir`, with its certificates; the authority's comes back.
pub(crate) fn configure(dir: &Path) -> (AgentConfig, String) {
    let paths = CertPaths::within(dir);
    let names: [SanName; 1] = ["127.0.0.1".parse().unwrap()];
    let node = "rift".parse().unwrap();
    let pems = issue_ca_and_cert(&node, &names, Validity::default(), now()).unwrap();
    pems.write(&paths).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let mut config = AgentConfig::new(node, address, paths.cert, paths.key, dir.join("mcp.db"));
    config.agent.run_dir = dir.join("run");
    config.agent.service_root = dir.join("srv");
    config.agent.volume_prefixes = vec![dir.join("srv")];
    // Nothing happens by itself: what a test sees, it has caused.
    config.monitor.interval = Duration::from_hours(1);
    std::fs::create_dir(dir.join("srv")).unwrap();
    (config, pems.ca_cert)
}

/// Starts a node from its settings, over a fake runtime that may be one from before.
pub(crate) async fn start(
    config: AgentConfig,
    fake: Option<Fake>,
) -> anyhow::Result<(Running, Fake)> {
    start_limited(config, fake, patient()).await
}

/// Limits that no test reaches by being slow, nor by being refused on purpose.
fn patient() -> Limits {
    Limits {
        handshake: Duration::from_mins(1),
        first_call: Duration::from_hours(1),
        told_of_peer: u64::MAX,
        told: u64::MAX,
        ..Limits::default()
    }
}

/// Starts a node whose agent has ended. For a moment its lock may be held yet: by a child that
/// another test of this process starts, until that becomes another program.
pub(crate) async fn start_again(
    config: &AgentConfig,
    fake: Option<&Fake>,
) -> anyhow::Result<(Running, Fake)> {
    let own = format!("(pid {})", std::process::id());
    let locked = |why: &str| why.contains(&own) || why.contains("keeps its children");
    let started = async {
        loop {
            match start(config.clone(), fake.cloned()).await {
                Err(error) if locked(&format!("{error:#}")) => tokio::task::yield_now().await,
                started => return started,
            }
        }
    };
    within("the lock is free", started).await
}

/// The same with front doors that have other limits.
async fn start_limited(
    config: AgentConfig,
    fake: Option<Fake>,
    limits: Limits,
) -> anyhow::Result<(Running, Fake)> {
    let podman = podman_args(&config);
    let opened = Opened::open(config).await?.with_limits(limits);
    let fake = fake.unwrap_or_else(|| Fake::new(now(), opened.instance()));
    let (sender, receiver) = channel(64);
    fake.send_hints_to(sender);
    let hints = HintFeed {
        receiver,
        handles: None,
        sources: None,
    };
    let world = World {
        runtime: Arc::new(fake.clone()),
        podman,
        hints,
    };
    Ok((opened.start(world).await?, fake))
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A node whose runtime gives no hints: what changes is seen by looking, and no look follows from
    /// being told, when nobody expects it. The first one is over.
    pub(crate) async fn without_hints() -> Self {
        let node = Self::start().await;
        node.fake.hint_policy(HintPolicy {
            copies: 0,
            ..HintPolicy::default()
        });
        node.running.controller().look().await.unwrap();
        node
    }

    pub(crate) async fn start_with(adjust: impl FnOnce(&mut AgentConfig)) -> Self {
        Self::made(adjust, patient()).await
    }

    /// With other limits for its front doors.
    pub(crate) async fn start_limited(limits: Limits) -> Self {
        Self::made(|_| {}, limits).await
    }

    async fn made(adjust: impl FnOnce(&mut AgentConfig), limits: Limits) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let (mut config, authority) = configure(dir.path());
        adjust(&mut config);
        let started = start_limited(config.clone(), None, limits).await;
        let (running, fake) = started.unwrap();
        for image in [
            "localhost/hello:v1",
            "localhost/hello:v2",
            "example.org/app:v1.2.3",
        ] {
            fake.add_image(&image.parse().unwrap());
        }
        let node = Self {
            fake,
            running,
            config,
            dir,
            authority,
            token: String::new(),
        };
        node.with_token().await
    }

    /// A node over the podman that its settings name; nobody asks the fake.
    pub(crate) async fn over_podman(adjust: impl FnOnce(&mut AgentConfig, &Path)) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let (mut config, authority) = configure(dir.path());
        adjust(&mut config, dir.path());
        let opened = Opened::open(config.clone()).await.unwrap();
        let fake = Fake::new(now(), opened.instance());
        let world = opened.podman().await;
        let node = Self {
            fake,
            running: opened.start(world).await.unwrap(),
            config,
            dir,
            authority,
            token: String::new(),
        };
        node.with_token().await
    }

    async fn with_token(mut self) -> Self {
        self.token = self.issue("alice", "admin", Duration::from_hours(1)).await;
        self
    }

    /// Ends the agent and starts another on the same node; the runtime goes on.
    pub(crate) async fn restart(mut self) -> Self {
        self.running.stop().await.unwrap();
        // Boxed: a start is large, and each test would carry it.
        let again = Box::pin(start_again(&self.config, Some(&self.fake))).await;
        let (running, fake) = again.unwrap();
        self.running = running;
        self.fake = fake;
        self
    }

    /// A token that was issued two hours ago at the latest.
    pub(crate) async fn issue(&self, subject: &str, role: &str, valid: Duration) -> String {
        let token = Token::generate();
        let created = Stamp::from_millis(now().as_millis() - 7_200_000);
        let two_hours = Duration::from_hours(2);
        let new = NewToken {
            hash: *token.hash().as_bytes(),
            id: subject.to_owned(),
            subject: subject.to_owned(),
            roles: vec![role.parse::<Role>().unwrap().to_string()],
            created,
            expires: created.plus(if valid.is_zero() {
                valid
            } else {
                two_hours + valid
            }),
        };
        self.running.registry().insert_token(new).await.unwrap();
        token.secret().to_owned()
    }

    pub(crate) async fn channel(&self) -> Channel {
        self.try_channel(&self.authority).await.unwrap()
    }

    pub(crate) async fn try_channel(
        &self,
        authority: &str,
    ) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority))
            .domain_name("127.0.0.1");
        Endpoint::from_shared(format!("https://{}", self.running.address()))?
            .tls_config(tls)?
            .connect()
            .await
    }

    /// A client with an admin's token.
    pub(crate) async fn client(&self) -> Client {
        let bearer = Bearer(self.token.clone());
        McpAgentServiceClient::with_interceptor(self.channel().await, bearer)
    }

    /// Waits until the controller's view shows what is asked.
    pub(crate) async fn view(&self, shows: impl Fn(&mcp_controller::View) -> bool) {
        self.running
            .controller()
            .view()
            .wait_for(|view| shows(view))
            .await
            .unwrap();
    }

    /// A second connection to the registry, behind the agent's back.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.config.database.path).unwrap()
    }

    /// Makes every further audit record fail to be stored.
    pub(crate) fn break_audit(&self) {
        let trigger = "CREATE TRIGGER no_room BEFORE INSERT ON audit
                       BEGIN SELECT RAISE(ABORT, 'no room'); END";
        self.database().execute_batch(trigger).unwrap();
    }
}

/// Sends a token along.
#[derive(Clone)]
pub(crate) struct Bearer(pub(crate) String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value: MetadataValue<_> = format!("Bearer {}", self.0).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

pub(crate) fn component(name: &str, image: &str) -> v1::ComponentSpec {
    v1::ComponentSpec {
        name: name.to_owned(),
        image: image.to_owned(),
        ..Default::default()
    }
}

/// An active service whose components are given as name and image.
pub(crate) fn service(name: &str, components: &[(&str, &str)]) -> v1::ServiceSpec {
    v1::ServiceSpec {
        name: name.to_owned(),
        active: true,
        components: components
            .iter()
            .map(|(name, image)| component(name, image))
            .collect(),
    }
}

/// The service that most tests use: two components of one image.
pub(crate) fn hello() -> v1::ServiceSpec {
    service(
        "hello",
        &[("web", "localhost/hello:v1"), ("api", "localhost/hello:v1")],
    )
}

pub(crate) fn deploy(service: v1::ServiceSpec) -> v1::DeployRequest {
    v1::DeployRequest {
        service: Some(service),
        ..Default::default()
    }
}

pub(crate) fn sync(services: &[v1::ServiceSpec]) -> v1::SyncDesiredStateRequest {
    v1::SyncDesiredStateRequest {
        services: services.to_vec(),
        message: String::new(),
        force: false,
    }
}

/// Makes a call with a deadline, and says how the agent answers it in time. What has not come by then
/// tells how busy the machine is: it is asked again, with more time, but never with so much that the
/// agent's own patience ends first.
pub(crate) async fn patiently<T>(
    mut call: impl AsyncFnMut(Duration) -> Result<Response<T>, Status>,
) -> Result<Response<T>, Status> {
    let mut timeout = Duration::from_millis(800);
    let mut tries = 0;
    loop {
        match call(timeout).await {
            // The client's own clock was faster.
            Err(status) if status.message() == "Timeout expired" && tries < 8 => {
                tries += 1;
                timeout = (timeout * 2).min(Duration::from_millis(6400));
            }
            answer => return answer,
        }
    }
}

/// Names and success of results, in their order.
pub(crate) fn outcomes(results: &[v1::ComponentResult]) -> Vec<(&str, bool)> {
    results
        .iter()
        .map(|result| (result.name.as_str(), result.success))
        .collect()
}

/// One component of a service as the agent lists it.
pub(crate) async fn listed(
    client: &mut Client,
    service: &str,
    component: &str,
) -> v1::ComponentInfo {
    let services = client
        .list_services(v1::ListServicesRequest {})
        .await
        .unwrap()
        .into_inner()
        .services;
    find(&services, service, component)
        .expect("it is listed")
        .clone()
}

pub(crate) fn find<'a>(
    services: &'a [v1::ServiceInfo],
    service: &str,
    component: &str,
) -> Option<&'a v1::ComponentInfo> {
    let service = services.iter().find(|info| info.name == service)?;
    service
        .components
        .iter()
        .find(|info| info.name == component)
}
