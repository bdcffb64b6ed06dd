//! Opens the two front doors.

use std::sync::Arc;

use mcp_proto::v1::local_admin_service_server::LocalAdminServiceServer;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::service::Routes;

use super::running::{Stops, Task};
use crate::api::LocalAdmin;
use crate::gate::Gate;
use crate::serve::limits::Limits;
use crate::serve::{Connection, Guests, TcpFront, UnixFront, serve};

/// Finished handshakes that wait to be served.
const READY: usize = 32;

/// Both doors, and what is served behind each.
pub(super) struct Fronts {
    pub(super) tcp: TcpFront,
    pub(super) tls: Arc<rustls::ServerConfig>,
    pub(super) network: Gate,
    /// For both.
    pub(super) shared: Routes,
    pub(super) unix: UnixFront,
    pub(super) node: Gate,
    /// For the node itself only.
    pub(super) local: LocalAdminServiceServer<LocalAdmin>,
    pub(super) limits: Limits,
}

impl Fronts {
    /// Listens and serves until the node is closing.
    pub(super) fn open(self, stops: &Stops) -> JoinSet<Task> {
        let Self { tcp, unix, tls, .. } = self;
        let mut fronts: JoinSet<Task> = JoinSet::new();
        let (ready, connections) = mpsc::channel(READY);
        let far = Guests::new(self.limits.clone());
        let accepts = tcp.accept(tls, Arc::clone(&far), ready, stops.closing.clone());
        own(&mut fronts, "listener", accepts);
        spawn_server(
            &mut fronts,
            "server",
            self.shared.clone(),
            self.network,
            self.limits.clone(),
            connections,
            stops,
        );
        let (ready, connections) = mpsc::channel(READY);
        let near = Guests::preferred_to(&far, self.limits.clone());
        let accepts = unix.accept(near, ready, stops.closing.clone());
        own(&mut fronts, "socket's listener", accepts);
        spawn_server(
            &mut fronts,
            "socket's server",
            self.shared.add_service(self.local),
            self.node,
            self.limits.clone(),
            connections,
            stops,
        );
        fronts
    }
}

/// Spawns work that comes to nothing but its end.
pub(super) fn own(
    tasks: &mut JoinSet<Task>,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) {
    tasks.spawn(async move {
        work.await;
        (name, Ok(()))
    });
}

fn spawn_server<S>(
    tasks: &mut JoinSet<Task>,
    name: &'static str,
    routes: Routes,
    gate: Gate,
    limits: Limits,
    connections: mpsc::Receiver<Connection<S>>,
    stops: &Stops,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let closing = stops.closing.clone();
    tasks.spawn(async move {
        let served = serve(
            routes,
            gate,
            &limits,
            connections,
            closing.cancelled_owned(),
        )
        .await;
        (name, served.map_err(Into::into))
    });
}
