//! The thread: one listener, its connections, and orders.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mcp_model::Stamp;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{Shared, answer, files};
use crate::issue::{SanName, Validity, issue_ca_and_cert};
use crate::tls::provider;

type Done = std::sync::mpsc::SyncSender<()>;

/// What the thread is told; it says when that is done.
#[derive(Debug)]
pub(super) enum Order {
    Down(Done),
    Up(Done),
}

pub(super) fn ca_cert(dir: &Path) -> PathBuf {
    files(dir).ca_cert
}

/// Starts the thread; the port is open when this returns.
pub(super) fn start(
    dir: &Path,
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Order>,
) -> (SocketAddr, JoinHandle<()>) {
    let tls = TlsAcceptor::from(Arc::new(identity(dir)));
    let (ready, wait) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime of one thread");
        runtime.block_on(async {
            // Bound and never listening: while the service is down, the port stays its own and
            // refuses connections.
            let keeper = socket();
            let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            keeper.bind(local).expect("loopback has a free port");
            let address = keeper.local_addr().expect("it is bound");
            let listener = listen(address);
            ready.send(address).expect("the test waits for it");
            run(address, listener, &tls, &shared, inbox).await;
        });
    });
    let address = wait.recv().expect("the thread listens");
    (address, thread)
}

fn identity(dir: &Path) -> ServerConfig {
    let names = [SanName::Ip(Ipv4Addr::LOCALHOST.into())];
    let node = "mcias".parse().expect("a name");
    let now = Stamp::new(jiff::Timestamp::now());
    let pems = issue_ca_and_cert(&node, &names, Validity::default(), now).expect("a certificate");
    pems.write(&files(dir)).expect("a folder of ours");
    let chain = CertificateDer::pem_slice_iter(pems.cert.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(pems.key.as_bytes()).expect("PEM");
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a key and its certificate")
}

fn socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseport(true).expect("an option of the socket");
    socket
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = socket();
    socket.bind(address).expect("the port is ours");
    socket.listen(256).expect("it listens")
}

async fn run(
    address: SocketAddr,
    listener: TcpListener,
    tls: &TlsAcceptor,
    shared: &Arc<Shared>,
    mut inbox: mpsc::Receiver<Order>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = inbox.recv() => match order {
                None => return,
                Some(Order::Down(done)) => {
                    listener = None;
                    connections.shutdown().await;
                    let _ = done.send(());
                }
                Some(Order::Up(done)) => {
                    listener.get_or_insert_with(|| listen(address));
                    let _ = done.send(());
                }
            },
            tcp = accept(listener.as_ref()) => {
                connections.spawn(serve(tcp, tls.clone(), Arc::clone(shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        if let Ok((tcp, _)) = listener.accept().await {
            return tcp;
        }
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    // Clients that do not trust it, or leave, are part of what is tested.
    let Ok(stream) = tls.accept(tcp).await else {
        return;
    };
    let service = service_fn(|request| answer::answer(Arc::clone(&shared), request));
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
