//! What the two doors serve.

use std::sync::Arc;

use mcp_controller::Handle;
use mcp_proto::v1::local_admin_service_server::LocalAdminServiceServer;
use mcp_proto::v1::mcp_agent_service_server::McpAgentServiceServer;
use mcp_runtime::PodmanArgs;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::Parts;
use super::running::Stops;
use crate::api::{Api, Lifecycle, LocalAdmin, Plan, Sources, StatusApi, Sync, Watching, Why};
use crate::serve::limits;
use crate::watch::Journal;

/// What the families of RPCs are made from.
pub(super) struct Families<'a> {
    pub(super) opened: &'a Parts,
    pub(super) handle: &'a Handle,
    pub(super) podman: PodmanArgs,
    pub(super) sources: Arc<dyn Sources>,
    pub(super) journal: Journal,
    pub(super) accepting: &'a TaskTracker,
    pub(super) stops: &'a Stops,
}

impl Families<'_> {
    /// For both doors: the published protocol, health and reflection.
    pub(super) fn routes(&self, health: &HealthReporter) -> anyhow::Result<Routes> {
        let api = McpAgentServiceServer::new(self.api())
            .max_decoding_message_size(limits::MESSAGE)
            .max_encoding_message_size(limits::MESSAGE);
        let health = HealthServer::new(HealthService::from_health_reporter(health.clone()));
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(mcp_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        Ok(Routes::new(api)
            .add_service(health)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?))
    }

    /// For the node's own door only.
    pub(super) fn local(&self) -> LocalAdminServiceServer<LocalAdmin> {
        let registry = self.opened.registry.clone();
        LocalAdminServiceServer::new(LocalAdmin::new(registry, Arc::clone(&self.opened.clock)))
    }

    fn api(&self) -> Api {
        let Parts {
            registry,
            policy,
            clock,
            config,
            ..
        } = self.opened;
        let handle = self.handle;
        Api {
            lifecycle: Lifecycle::new(
                registry.clone(),
                handle.clone(),
                Arc::clone(policy),
                Arc::clone(clock),
                config.monitor.interval,
                (self.accepting.clone(), self.stops.ending.clone()),
            )
            .with_failpoints(self.opened.failpoints.clone()),
            sync: Sync::new(
                registry.clone(),
                handle.clone(),
                Arc::clone(policy),
                Arc::clone(clock),
                self.accepting.clone(),
            ),
            plan: Plan::new(
                registry.clone(),
                handle.clone(),
                Arc::clone(policy),
                self.podman.clone(),
            ),
            why: Why::new(registry.clone(), handle.clone()),
            status: StatusApi::new(
                registry.clone(),
                handle.clone(),
                Arc::clone(clock),
                Arc::clone(&self.sources),
            ),
            watching: Watching::new(self.journal.clone(), self.stops.closing.clone()),
        }
    }
}
