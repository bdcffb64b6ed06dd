//! Both ends of a connection over real sockets: who is let through, and what is said to the rest.
#![cfg(all(feature = "client", feature = "server"))]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mcp_identity::issue::CertPaths;
use mcp_identity::{
    CaSource, ConnectError, Pems, SanName, Validity, client_config, connect, issue_ca_and_cert,
    server_config,
};
use mcp_model::Stamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const DAY: Duration = Duration::from_hours(24);

/// Longer than any test; what ends in a test ends by itself.
const PATIENCE: Duration = Duration::from_hours(1);

fn now() -> Stamp {
    Stamp::new(jiff::Timestamp::now())
}

fn issue_at(names: &[&str], now: Stamp) -> Pems {
    issue_for("rift", names, now)
}

fn issue_for(node: &str, names: &[&str], now: Stamp) -> Pems {
    let names: Vec<SanName> = names.iter().map(|name| name.parse().unwrap()).collect();
    issue_ca_and_cert(&node.parse().unwrap(), &names, Validity::default(), now).unwrap()
}

fn trusting(pems: &Pems) -> Arc<ClientConfig> {
    client_config(Some(&CaSource::Pem(pems.ca_cert.clone().into_bytes()))).unwrap()
}

/// The settings that the agent would serve these with, by way of their files.
fn serving(pems: &Pems) -> Arc<ServerConfig> {
    let folder = TempDir::new().unwrap();
    let paths = CertPaths::within(folder.path());
    pems.write(&paths).unwrap();
    server_config(&paths.cert, &paths.key).unwrap()
}

fn foreign_settings(
    pems: &Pems,
    version: &'static rustls::SupportedProtocolVersion,
    alpn: &[&str],
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(pems.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pems.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// The other end of one connection.
struct Peer {
    address: String,
    task: JoinSet<std::io::Result<()>>,
}

impl Peer {
    async fn new<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut task = JoinSet::new();
        task.spawn(async move { serve(listener.accept().await?.0).await });
        Self { address, task }
    }

    /// Accepts with these settings and greets the client.
    async fn tls(config: Arc<ServerConfig>) -> Self {
        Self::new(async move |tcp| {
            let mut stream = TlsAcceptor::from(config).accept(tcp).await?;
            stream.write_all(b"hello").await?;
            stream.shutdown().await
        })
        .await
    }

    /// Knows nothing of TLS: says `greeting` when it is spoken to and hangs up.
    async fn plain(greeting: &'static [u8]) -> Self {
        Self::new(async move |mut tcp| {
            let mut heard = [0u8; 4096];
            let _ = tcp.read(&mut heard).await?;
            tcp.write_all(greeting).await?;
            tcp.shutdown().await
        })
        .await
    }

    /// Whether the client was served.
    async fn served(mut self) -> bool {
        self.task.join_next().await.unwrap().unwrap().is_ok()
    }
}

async fn refused(
    address: &str,
    server_name: Option<&str>,
    config: Arc<ClientConfig>,
) -> ConnectError {
    connect(address, server_name, config, PATIENCE)
        .await
        .expect_err("no connection")
}

#[tokio::test]
async fn a_certificate_proves_each_of_its_names_and_no_other() {
    let pems = issue_at(&["node.example", "127.0.0.1", "fd00::5"], now());
    for (server_name, proved) in [
        (Some("node.example"), true),
        (Some("NODE.example"), true),
        (Some("127.0.0.1"), true),
        (Some("fd00::5"), true),
        (None, true),
        (Some("127.0.0.2"), false),
        (Some("fd00::6"), false),
        (Some("other.example"), false),
        (Some("sub.node.example"), false),
    ] {
        let peer = Peer::tls(serving(&pems)).await;
        let outcome = connect(&peer.address, server_name, trusting(&pems), PATIENCE).await;
        match outcome {
            Ok(mut stream) => {
                assert!(proved, "{server_name:?} was accepted");
                assert!(stream.get_ref().0.nodelay().unwrap());
                let tls = stream.get_ref().1;
                assert_eq!(
                    tls.protocol_version(),
                    Some(rustls::ProtocolVersion::TLSv1_3)
                );
                assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]));
                let mut said = String::new();
                stream.read_to_string(&mut said).await.unwrap();
                assert_eq!(said, "hello");
                assert!(peer.served().await);
            }
            Err(error) => {
                assert!(!proved, "{server_name:?}: {error}");
                let ConnectError::WrongName {
                    expected,
                    presented,
                    ..
                } = &error
                else {
                    panic!("{error:?}");
                };
                assert_eq!(Some(expected.as_str()), server_name);
                assert_eq!(presented[..], ["node.example", "127.0.0.1", "fd00::5"]);
                let text = error.to_string();
                for part in [
                    expected.as_str(),
                    "node.example",
                    "127.0.0.1",
                    "server_name",
                ] {
                    assert!(text.contains(part), "{text}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let ours = issue_at(&["127.0.0.1"], now());
    // One of the same name, as after a second set-up of the node, and one of another node.
    for node in ["rift", "other"] {
        let theirs = issue_for(node, &["127.0.0.1"], now());
        let peer = Peer::tls(serving(&theirs)).await;
        let error = refused(&peer.address, None, trusting(&ours)).await;
        assert!(matches!(error, ConnectError::UnknownCa { .. }), "{error:?}");
        assert!(error.to_string().contains("authority that is not trusted"));
        assert!(!peer.served().await);
    }
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused_and_said_when() {
    let long_ago: Stamp = "2001-01-01 00:00:00".parse().unwrap();
    let pems = issue_at(&["127.0.0.1"], long_ago);
    let peer = Peer::tls(serving(&pems)).await;
    let error = refused(&peer.address, None, trusting(&pems)).await;
    let expired = long_ago.plus(Validity::default().cert);
    assert!(
        matches!(&error, ConnectError::ExpiredCertificate { at: Some(at), .. } if *at == expired),
        "{error:?}"
    );
    assert!(error.to_string().contains(&expired.to_string()), "{error}");

    let pems = issue_at(&["127.0.0.1"], now().plus(DAY * 30));
    let peer = Peer::tls(serving(&pems)).await;
    let error = refused(&peer.address, None, trusting(&pems)).await;
    assert!(
        matches!(
            error,
            ConnectError::NotYetValidCertificate { from: Some(_), .. }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_client_without_tls_1_3_is_refused_by_the_agent() {
    let pems = issue_at(&["127.0.0.1"], now());
    let peer = Peer::tls(serving(&pems)).await;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pems.ca_cert.as_bytes()).unwrap())
        .unwrap();
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let tcp = TcpStream::connect(&peer.address).await.unwrap();
    let outcome = TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("127.0.0.1").unwrap(), tcp)
        .await;
    let error = outcome.expect_err("TLS 1.2 must be refused");
    let alert = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    let version = rustls::Error::AlertReceived(AlertDescription::ProtocolVersion);
    assert_eq!(alert, Some(&version));
    assert!(!peer.served().await);
}

#[tokio::test]
async fn a_server_without_tls_1_3_or_http_2_is_not_taken_for_an_agent() {
    let pems = issue_at(&["127.0.0.1"], now());

    let old = foreign_settings(&pems, &rustls::version::TLS12, &["h2"]);
    let peer = Peer::tls(old).await;
    let error = refused(&peer.address, None, trusting(&pems)).await;
    assert!(
        matches!(error, ConnectError::TlsVersion { .. }),
        "{error:?}"
    );

    for alpn in [&["http/1.1"][..], &[]] {
        let web = foreign_settings(&pems, &rustls::version::TLS13, alpn);
        let peer = Peer::tls(web).await;
        let error = refused(&peer.address, None, trusting(&pems)).await;
        assert!(
            matches!(error, ConnectError::NotHttp2 { .. }),
            "{alpn:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_peer_without_tls_is_named_as_such() {
    let config = trusting(&issue_at(&["127.0.0.1"], now()));
    for greeting in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        // The settings frame of a plaintext HTTP/2 server.
        b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00",
    ] {
        let peer = Peer::plain(greeting).await;
        let error = refused(&peer.address, None, config.clone()).await;
        assert!(matches!(error, ConnectError::NotTls { .. }), "{error:?}");
    }
    let peer = Peer::plain(b"").await;
    let error = refused(&peer.address, None, config).await;
    assert!(matches!(error, ConnectError::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn an_agent_that_is_down_is_told_from_a_host_that_is_not_there() {
    let config = trusting(&issue_at(&["127.0.0.1"], now()));
    // Held, so that nobody else comes to listen there.
    let down = TcpSocket::new_v4().unwrap();
    down.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = down.local_addr().unwrap().to_string();
    let error = refused(&address, None, config.clone()).await;
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(&address));

    // A label of 64 bytes is in no DNS: the answer needs no network.
    let nowhere = format!("{}:9444", "a".repeat(64));
    let error = refused(&nowhere, Some("node"), config.clone()).await;
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error:?}");

    for address in [
        "",
        "host",
        "host:",
        "host:0",
        "host:99999",
        "fd00::5:9444",
        ":9444",
        "[x]:1",
    ] {
        let error = refused(address, None, config.clone()).await;
        assert!(
            matches!(error, ConnectError::Address { .. }),
            "{address:?}: {error:?}"
        );
    }
    let error = refused("127.0.0.1:9444", Some("not a name"), config).await;
    assert!(
        matches!(error, ConnectError::ServerName { .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_costs_no_more_than_the_limit() {
    let config = trusting(&issue_at(&["127.0.0.1"], now()));
    // Connections are made by the kernel; nobody ever accepts them.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let limit = Duration::from_millis(1500);
    let error = connect(&address, None, config, limit).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error:?}");
    assert!(error.to_string().contains("1.5 s"), "{error}");
}

#[test]
fn the_reason_is_found_inside_the_error_of_another_library() {
    #[derive(Debug, thiserror::Error)]
    #[error("transport error")]
    struct Wrapped(#[source] Box<dyn Error + Send + Sync>);

    let reason = ConnectError::Timeout {
        address: "a:1".into(),
        limit: DAY,
    };
    let wrapped = Wrapped(Box::new(Wrapped(Box::new(reason))));
    assert!(matches!(
        ConnectError::within(&wrapped),
        Some(ConnectError::Timeout { .. })
    ));
    assert!(ConnectError::within(&std::io::Error::other("x")).is_none());
}
