//! The agent's front doors: TLS over TCP for the network, a Unix socket for the node itself.
//!
//! ```text
//!  accept ─► guests ─► handshake (5 s) ─► Connection ─► tonic ─► gate ─► api
//!             256, strangers give way         └─ ends with its guest's time
//! ```
//!
//! Accepting is MCP's own loop, not tonic's: nothing that a peer does to one connection may end
//! the server, and the peer's identity travels with the connection.

mod connection;
mod guest;
mod guests;
pub mod limits;
mod shortage;
mod tcp;
mod unix;

use std::future::Future;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;

pub use connection::{Connection, Peer};
pub use guest::{Guest, Visit};
pub use guests::Guests;
pub use tcp::{HeldPort, TcpFront};
pub use unix::UnixFront;
pub(crate) use unix::private_dir;

use crate::gate::Gate;
use limits::Limits;

/// A front door that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The address is in use.
    #[error("cannot listen on {address}: another process uses this port")]
    InUse {
        /// What was to be listened on.
        address: String,
    },
    /// Anything else about an address.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was to be listened on.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The run directory cannot be made private.
    #[error("cannot prepare the run directory {path}")]
    RunDir {
        /// The directory.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The run directory belongs to somebody else.
    #[error(
        "the run directory {path} belongs to uid {owner}, not to this agent: remove it or set [agent] run_dir"
    )]
    Foreign {
        /// The directory.
        path: String,
        /// Whose it is.
        owner: u32,
    },
}

/// Serves `routes` behind `gate` on the connections that come, until `stop` resolves and the
/// requests that are under way have been answered.
pub async fn serve<S>(
    routes: Routes,
    gate: Gate,
    limits: &Limits,
    connections: mpsc::Receiver<Connection<S>>,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    use futures::StreamExt as _;
    let incoming = ReceiverStream::new(connections).map(Ok::<_, std::convert::Infallible>);
    Server::builder()
        .max_concurrent_streams(limits::STREAMS)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .http2_max_header_list_size(limits::HEADER_LIST)
        .http2_max_pending_accept_reset_streams(Some(limits::PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(limits::LOCAL_RESETS))
        .layer(gate)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop)
        .await
}
