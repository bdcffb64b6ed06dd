//! TLS 1.3 over TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connection::{Connection, Peer};
use super::{FrontError, limits};

/// How long accepting pauses after it failed: out of descriptors, it would fail again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// The listener of the network's front door.
#[derive(Debug)]
pub struct TcpFront {
    listener: TcpListener,
    address: SocketAddr,
}

/// An address that is held and not listened on yet: nobody else gets it, and nobody who knocks is
/// let wait for an agent that is not there yet.
#[derive(Debug)]
pub struct HeldPort {
    socket: TcpSocket,
    address: SocketAddr,
}

impl HeldPort {
    /// Holds `address`.
    pub fn hold(address: SocketAddr) -> Result<Self, FrontError> {
        let hold = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // As servers do: connections of the last agent that linger do not keep the port.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        hold().map_err(|source| failed(address, source))
    }

    /// Begins to listen.
    pub fn listen(self) -> Result<TcpFront, FrontError> {
        let Self { socket, address } = self;
        let listener = socket
            .listen(BACKLOG)
            .map_err(|source| failed(address, source))?;
        Ok(TcpFront { listener, address })
    }
}

fn failed(address: SocketAddr, source: std::io::Error) -> FrontError {
    let address = address.to_string();
    match source.kind() {
        std::io::ErrorKind::AddrInUse => FrontError::InUse { address },
        _ => FrontError::Listen { address, source },
    }
}

impl TcpFront {
    /// Where it listens; tells the port where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `stop` is cancelled; then the port is free again.
    pub async fn accept(
        self,
        tls: Arc<ServerConfig>,
        ready: mpsc::Sender<Connection<TlsStream<TcpStream>>>,
        stop: CancellationToken,
    ) {
        let acceptor = TlsAcceptor::from(tls);
        let connections = Arc::new(Semaphore::new(limits::CONNECTIONS));
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(_) = handshakes.join_next() => {}
                accepted = self.listener.accept(), if handshakes.len() < limits::HANDSHAKES => {
                    match (accepted, Arc::clone(&connections).try_acquire_owned()) {
                        (Ok((stream, peer)), Ok(permit)) => {
                            handshakes.spawn(handshake(acceptor.clone(), stream, peer, permit, ready.clone()));
                        }
                        (Ok((_, peer)), Err(_)) => warn!(%peer, "too many connections; turned away"),
                        (Err(error), _) => {
                            warn!(%error, "cannot accept a connection");
                            tokio::time::sleep(PAUSE).await;
                        }
                    }
                }
            }
        }
        handshakes.shutdown().await;
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    ready: mpsc::Sender<Connection<TlsStream<TcpStream>>>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    match tokio::time::timeout(limits::HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            // Closed only when the server is about to stop.
            let _ = ready
                .send(Connection::new(stream, Peer::Net(peer), permit))
                .await;
        }
        Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => debug!(%peer, "TLS handshake took too long"),
    }
}
