//! Connects to an agent, and says in plain words why it did not work and what to do.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mcp_model::text::escape;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::{ALPN_H2, stamp_of};

/// Why an agent was not reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address has another form.
    #[error(
        "{address:?} is not an address: write host:port, for instance 10.0.0.5:9444 or [fd00::5]:9444"
    )]
    Address {
        /// What was given.
        address: String,
    },
    /// The name to expect in the certificate has another form.
    #[error(
        "{server_name:?} is neither a host name nor an IP address: correct the node's server_name"
    )]
    ServerName {
        /// What was given.
        server_name: String,
    },
    /// The host's name leads nowhere.
    #[error("cannot find the host of {address}: check the node's address")]
    Resolve {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody listens there.
    #[error(
        "nothing listens at {address}: the agent is down or uses another port; on the node, look at systemctl status mcp-agent"
    )]
    Refused {
        /// The address.
        address: String,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error(
        "no answer from {address} within {}: the node is down, its agent hangs, or a firewall drops the connection; on the node, look at systemctl status mcp-agent",
        seconds(*limit)
    )]
    Timeout {
        /// The address.
        address: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection could not be made for another reason.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address.
        address: String,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// Another authority signed the certificate.
    #[error(
        "the certificate of {address} comes from an authority that is not trusted here: the node was set up anew or this is another machine; if you trust it, add the node again from its bundle"
    )]
    UnknownCa {
        /// The address.
        address: String,
        /// The verifier's words.
        #[source]
        source: io::Error,
    },
    /// It is a certificate for other names.
    #[error(
        "the certificate of {address} is not for {expected}{}: set the node's server_name to one of its names, or issue a certificate with this one",
        names(presented)
    )]
    WrongName {
        /// The address.
        address: String,
        /// The name that was expected.
        expected: String,
        /// The names that it is for, where they are known.
        presented: Vec<String>,
        /// The verifier's words.
        #[source]
        source: io::Error,
    },
    /// The certificate's time is over.
    #[error("the certificate of {address} has expired{}: issue a new one on the node", moment(" at ", at.as_ref()))]
    ExpiredCertificate {
        /// The address.
        address: String,
        /// When it did.
        at: Option<mcp_model::Stamp>,
        /// The verifier's words.
        #[source]
        source: io::Error,
    },
    /// The certificate's time has not come, by this machine's clock.
    #[error("the certificate of {address} is not valid yet{}: compare the clocks of both machines", moment(", only from ", from.as_ref()))]
    NotYetValidCertificate {
        /// The address.
        address: String,
        /// From when on it is.
        from: Option<mcp_model::Stamp>,
        /// The verifier's words.
        #[source]
        source: io::Error,
    },
    /// Something that is not TLS answered.
    #[error("{address} does not speak TLS: this is another service's port")]
    NotTls {
        /// The address.
        address: String,
        /// What broke.
        #[source]
        source: io::Error,
    },
    /// The peer has no TLS 1.3.
    #[error("{address} does not speak TLS 1.3: this is not an agent, or a proxy stands in between")]
    TlsVersion {
        /// The address.
        address: String,
        /// What broke.
        #[source]
        source: io::Error,
    },
    /// TLS, but not with HTTP/2 in it.
    #[error("{address} does not speak HTTP/2: this is not an agent, or a proxy stands in between")]
    NotHttp2 {
        /// The address.
        address: String,
    },
    /// It hung up before the connection was secured.
    #[error(
        "{address} closed the connection at once: the agent is overloaded or shutting down, or this is another service's port"
    )]
    Closed {
        /// The address.
        address: String,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// Securing the connection failed for another reason.
    #[error("cannot make a secure connection to {address}")]
    Handshake {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ConnectError {
    /// Finds the reason in the chain of an error that another library wrapped it in.
    pub fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

fn moment(before: &str, at: Option<&mcp_model::Stamp>) -> String {
    at.map_or_else(String::new, |at| format!("{before}{at} UTC"))
}

fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return String::new();
    }
    format!(" but for {}", presented.join(", "))
}

/// Connects to the agent at `address` (`host:port`) and secures the connection, all within
/// `limit`. The certificate must be for `server_name`, or for the address's host where there is
/// none.
pub async fn connect(
    address: &str,
    server_name: Option<&str>,
    config: Arc<ClientConfig>,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let (host, _) = split_address(address).ok_or_else(|| ConnectError::Address {
        address: address.chars().take(300).collect(),
    })?;
    let expected = server_name.unwrap_or(host);
    let name = ServerName::try_from(expected.to_owned()).map_err(|_| ConnectError::ServerName {
        server_name: expected.chars().take(300).collect(),
    })?;
    let work = async {
        let tcp = dial(address).await?;
        secure(address, name, tcp, config).await
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(ConnectError::Timeout {
            address: address.to_owned(),
            limit,
        })
    })
}

/// Splits `host:port`, the host of an IPv6 address without its brackets.
pub fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.bytes().all(|b| b.is_ascii_digit()).then_some(port)?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').filter(|v6| v6.contains(':'))?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty()).then_some((host, port))
}

async fn dial(address: &str) -> Result<TcpStream, ConnectError> {
    let resolved = tokio::net::lookup_host(address).await;
    let candidates: Vec<SocketAddr> = resolved
        .map_err(|source| ConnectError::Resolve {
            address: address.to_owned(),
            source,
        })?
        .collect();
    let tcp = TcpStream::connect(candidates.as_slice())
        .await
        .map_err(|source| {
            let address = address.to_owned();
            match source.kind() {
                io::ErrorKind::ConnectionRefused => ConnectError::Refused { address, source },
                _ => ConnectError::Connect { address, source },
            }
        })?;
    // Small requests must not wait for the acknowledgement of earlier ones.
    tcp.set_nodelay(true)
        .map_err(|source| ConnectError::Connect {
            address: address.to_owned(),
            source,
        })?;
    Ok(tcp)
}

async fn secure(
    address: &str,
    name: ServerName<'static>,
    tcp: TcpStream,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let expected = name.to_str().into_owned();
    let stream = TlsConnector::from(config)
        .connect(name, tcp)
        .await
        .map_err(|source| explain(address, &expected, source))?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN_H2) {
        return Err(ConnectError::NotHttp2 {
            address: address.to_owned(),
        });
    }
    Ok(stream)
}

/// A name of a certificate without the verifier's wrapping: `DnsName("a")`, `IpAddress(::1)`.
fn bare_name(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    escape(inner.trim_end_matches(')').trim_matches('"')).into_owned()
}

/// What a failed handshake means.
fn explain(address: &str, expected: &str, source: io::Error) -> ConnectError {
    let address = address.to_owned();
    let inner = source.get_ref().and_then(|e| e.downcast_ref());
    let Some(inner) = inner else {
        return match source.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => ConnectError::Closed { address, source },
            _ => ConnectError::Handshake { address, source },
        };
    };
    match inner {
        rustls::Error::InvalidCertificate(problem) => {
            let problem = problem.clone();
            refused_certificate(address, expected, &problem, source)
        }
        rustls::Error::InvalidMessage(_) => ConnectError::NotTls { address, source },
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure,
        ) => ConnectError::TlsVersion { address, source },
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            ConnectError::NotHttp2 { address }
        }
        _ => ConnectError::Handshake { address, source },
    }
}

fn refused_certificate(
    address: String,
    expected: &str,
    problem: &CertificateError,
    source: io::Error,
) -> ConnectError {
    match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            ConnectError::UnknownCa { address, source }
        }
        CertificateError::NotValidForName => ConnectError::WrongName {
            address,
            expected: expected.to_owned(),
            presented: Vec::new(),
            source,
        },
        CertificateError::NotValidForNameContext { presented, .. } => ConnectError::WrongName {
            address,
            expected: expected.to_owned(),
            presented: presented.iter().map(|name| bare_name(name)).collect(),
            source,
        },
        CertificateError::Expired => ConnectError::ExpiredCertificate {
            address,
            at: None,
            source,
        },
        CertificateError::ExpiredContext { not_after, .. } => ConnectError::ExpiredCertificate {
            address,
            at: Some(stamp_of(Duration::from_secs(not_after.as_secs()))),
            source,
        },
        CertificateError::NotValidYet => ConnectError::NotYetValidCertificate {
            address,
            from: None,
            source,
        },
        CertificateError::NotValidYetContext { not_before, .. } => {
            ConnectError::NotYetValidCertificate {
                address,
                from: Some(stamp_of(Duration::from_secs(not_before.as_secs()))),
                source,
            }
        }
        _ => ConnectError::Handshake { address, source },
    }
}
