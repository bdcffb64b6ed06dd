//! Where an agent listens, as the CLI is told.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;
use std::str::FromStr;

/// Where an agent listens: `host:port`, where the host is a name, an IPv4 address or an IPv6
/// address in brackets; or the socket of an agent on this machine, which no file can name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeAddress(At);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum At {
    Net { host: Box<str>, port: u16 },
    Socket(Box<Path>),
}

/// A text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address: {why}")]
pub struct AddressError {
    text: String,
    why: &'static str,
}

impl NodeAddress {
    /// The agent of this machine behind the Unix socket at `path` (S41).
    pub fn socket(path: &Path) -> Self {
        Self(At::Socket(path.into()))
    }

    /// The socket's path, where it is one.
    pub fn as_socket(&self) -> Option<&Path> {
        match &self.0 {
            At::Socket(path) => Some(path),
            At::Net { .. } => None,
        }
    }

    /// The host without brackets: what a certificate must name.
    pub fn host(&self) -> &str {
        match &self.0 {
            At::Net { host, .. } => host,
            At::Socket(_) => "localhost",
        }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.0 {
            At::Net { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            At::Net { host, port } => format!("{host}:{port}"),
            At::Socket(path) => path.display().to_string(),
        };
        f.pad(&text)
    }
}

fn is_host(host: &str) -> bool {
    // All digits and dots is meant as an IPv4 address, and must be one.
    if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return host.parse::<std::net::Ipv4Addr>().is_ok();
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// A name or address as a certificate may carry it.
pub(super) struct ServerName(pub(super) String);

impl FromStr for ServerName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if is_host(text) || text.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(AddressError {
            text: text.chars().take(80).collect(),
            why: "write a host name, or an IP address without brackets and port",
        })
    }
}

impl FromStr for NodeAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = |why| AddressError {
            text: text.chars().take(80).collect(),
            why,
        };
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| refuse("write host:port"))?;
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port = match port.parse() {
            Ok(port) if digits && port != 0 => port,
            _ => return Err(refuse("its port must be a number from 1 to 65535")),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bare {
            Some(v6) if v6.parse::<Ipv6Addr>().is_ok() => v6,
            None if is_host(host) => host,
            None if host.parse::<Ipv6Addr>().is_ok() => {
                return Err(refuse("write an IPv6 address in brackets: [::1]:9444"));
            }
            _ => return Err(refuse("its host must be a name, an IPv4 address or [IPv6]")),
        };
        Ok(Self(At::Net {
            host: host.into(),
            port,
        }))
    }
}
