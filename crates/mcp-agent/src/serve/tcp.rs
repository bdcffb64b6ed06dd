//! TLS 1.3 over TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::FrontError;
use super::connection::{Connection, Peer};
use super::guests::{Entry, Guests};
use super::shortage::recover;

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

    /// Accepts until `stop` is cancelled; then the port is free again, and those who are there are
    /// seen out.
    pub async fn accept(
        self,
        tls: Arc<ServerConfig>,
        guests: Arc<Guests>,
        ready: mpsc::Sender<Connection<TlsStream<TcpStream>>>,
        stop: CancellationToken,
    ) {
        let door = Door {
            acceptor: TlsAcceptor::from(tls),
            guests,
            ready,
        };
        let mut handshakes = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(_) = handshakes.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            // By itself: a connection that was accepted is not let go of because another one ended.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                handshake = door.take_in(accepted, &self.listener) => {
                    handshakes.extend(handshake);
                }
            }
        }
        drop(self.listener);
        handshakes.shutdown().await;
        let Door { guests, ready, .. } = door;
        // Nobody else comes in: the server may end.
        drop(ready);
        guests.leave().await;
    }
}

/// What a connection passes on its way in.
struct Door {
    acceptor: TlsAcceptor,
    guests: Arc<Guests>,
    ready: mpsc::Sender<Connection<TlsStream<TcpStream>>>,
}

impl Door {
    /// Finds room for a connection; what remains to be done with it comes back.
    async fn take_in(
        &self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        listener: &TcpListener,
    ) -> Option<impl Future<Output = ()> + use<>> {
        match accepted {
            Ok((stream, peer)) => {
                let entry = self.guests.receive(Peer::Net(peer)).await?;
                let limit = self.guests.limits().handshake;
                let handshake = handshake(
                    self.acceptor.clone(),
                    stream,
                    limit,
                    entry,
                    self.ready.clone(),
                );
                Some(handshake)
            }
            Err(error) => {
                recover(&self.guests, listener, "network", &error).await;
                None
            }
        }
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    limit: Duration,
    entry: Entry,
    ready: mpsc::Sender<Connection<TlsStream<TcpStream>>>,
) {
    let peer = entry.guest().peer();
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(limit, acceptor.accept(stream)) => accepted,
        () = entry.guest().turned_out().cancelled() => return,
    };
    match accepted {
        Ok(Ok(stream)) => {
            // Closed only when the server is about to stop.
            let _ = ready.send(Connection::new(stream, entry)).await;
        }
        Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => debug!(%peer, "TLS handshake took too long"),
    }
}
