//! Issues a node's own certificate authority and the agent's certificate (S38).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use mcp_model::{NodeName, Stamp};
use rand::TryRngCore;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::DnsName;
use zeroize::Zeroizing;

use crate::private_file::{self, WriteError};

const DAY: Duration = Duration::from_hours(24);

/// Certificates are valid from this long before they are made: the workstation's clock may lag.
const BACKDATED: Duration = DAY;

/// A name that a certificate proves: what a client must have dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SanName {
    /// A host name, without wildcards.
    Dns(DnsName<'static>),
    /// An address.
    Ip(IpAddr),
}

/// A text that is neither a host name nor an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a host name nor an IP address")]
pub struct SanNameError(String);

impl FromStr for SanName {
    type Err = SanNameError;

    fn from_str(text: &str) -> Result<Self, SanNameError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        DnsName::try_from(text)
            .map(|name| Self::Dns(name.to_owned()))
            .map_err(|_| SanNameError(text.chars().take(300).collect()))
    }
}

impl fmt::Display for SanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.pad(name.as_ref()),
            Self::Ip(address) => f.pad(&address.to_string()),
        }
    }
}

/// How long what is issued is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Of the authority.
    pub ca: Duration,
    /// Of the agent's certificate.
    pub cert: Duration,
}

impl Default for Validity {
    /// Ten years for the authority, 825 days for the certificate.
    fn default() -> Self {
        Self {
            ca: DAY * 3653,
            cert: DAY * 825,
        }
    }
}

/// A node's authority and certificate with their keys, as PEM. `Debug` shows none of the keys.
#[derive(Clone)]
pub struct Pems {
    /// The authority's certificate: what workstations trust.
    pub ca_cert: String,
    /// The authority's key.
    pub ca_key: Zeroizing<String>,
    /// The agent's certificate.
    pub cert: String,
    /// The agent's key.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for Pems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pems").finish_non_exhaustive()
    }
}

/// Where a node's certificates and keys lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertPaths {
    /// The authority's certificate.
    pub ca_cert: PathBuf,
    /// The authority's key.
    pub ca_key: PathBuf,
    /// The agent's certificate.
    pub cert: PathBuf,
    /// The agent's key.
    pub key: PathBuf,
}

impl CertPaths {
    /// The four files in one folder: `ca.pem`, `ca.key`, `cert.pem`, `key.pem`.
    pub fn within(folder: &Path) -> Self {
        Self {
            ca_cert: folder.join("ca.pem"),
            ca_key: folder.join("ca.key"),
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }
}

impl Pems {
    /// Writes the four files, keys with mode 0600. Nothing that is there is replaced.
    pub fn write(&self, paths: &CertPaths) -> Result<(), WriteError> {
        // All are looked at before any is written: half of a new identity beside half of an old
        // one would serve nobody.
        for path in [&paths.ca_key, &paths.ca_cert, &paths.key, &paths.cert] {
            if path.symlink_metadata().is_ok() {
                return Err(WriteError::Exists { path: path.clone() });
            }
        }
        private_file::create(&paths.ca_key, self.ca_key.as_bytes())?;
        private_file::create_public(&paths.ca_cert, self.ca_cert.as_bytes())?;
        private_file::create(&paths.key, self.key.as_bytes())?;
        private_file::create_public(&paths.cert, self.cert.as_bytes())
    }
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A certificate without names proves nothing to anybody.
    #[error("a certificate for node {node} needs at least one host name or address")]
    NoNames {
        /// The node.
        node: NodeName,
    },
    /// The certificate could not be made.
    #[error("cannot make the {what} of node {node}")]
    Make {
        /// Which one.
        what: &'static str,
        /// The node.
        node: NodeName,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

/// Makes an authority for one node and a certificate for its agent, valid from a day before `now`.
///
/// The authority signs end certificates only (path length 0), and both are good for nothing but
/// servers.
pub fn issue_ca_and_cert(
    node: &NodeName,
    names: &[SanName],
    validity: Validity,
    now: Stamp,
) -> Result<Pems, IssueError> {
    if names.is_empty() {
        return Err(IssueError::NoNames { node: node.clone() });
    }
    let failed = |what| {
        move |source| IssueError::Make {
            what,
            node: node.clone(),
            source,
        }
    };

    let ca_key = KeyPair::generate().map_err(failed("authority's key"))?;
    let ca_params = ca_params(node, now, validity.ca);
    let ca_cert = ca_params
        .self_signed(&ca_key)
        .map_err(failed("authority"))?;

    let key = KeyPair::generate().map_err(failed("certificate's key"))?;
    let cert = cert_params(node, names, now, validity.cert)
        .map_err(failed("certificate"))?
        .signed_by(&key, &Issuer::from_params(&ca_params, &ca_key))
        .map_err(failed("certificate"))?;

    Ok(Pems {
        ca_cert: ca_cert.pem(),
        ca_key: Zeroizing::new(ca_key.serialize_pem()),
        cert: cert.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

fn ca_params(node: &NodeName, now: Stamp, validity: Duration) -> CertificateParams {
    let mut params = base_params("MCP node authority", node, now, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn cert_params(
    node: &NodeName,
    names: &[SanName],
    now: Stamp,
    validity: Duration,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = base_params("MCP agent", node, now, validity);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    for name in names {
        params.subject_alt_names.push(match name {
            SanName::Dns(name) => SanType::DnsName(name.as_ref().try_into()?),
            SanName::Ip(address) => SanType::IpAddress(*address),
        });
    }
    Ok(params)
}

fn base_params(
    organization: &str,
    node: &NodeName,
    now: Stamp,
    validity: Duration,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    // The organization keeps the two subjects apart; the common name has no room for more than a
    // node's name (64 characters).
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, organization);
    subject.push(DnType::CommonName, node.as_str());
    params.distinguished_name = subject;
    params.serial_number = Some(random_serial());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // From the epoch, because this library's time type has no other constructor that is exported.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let start = now.since(Stamp::from_millis(0)).saturating_sub(BACKDATED);
    params.not_before = epoch + start;
    params.not_after = epoch + now.plus(validity).since(Stamp::from_millis(0));
    params
}

/// 126 random bits, positive and of full length in DER.
fn random_serial() -> SerialNumber {
    let mut bytes = [0u8; 16];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .expect("the kernel gives random bytes once it has booted");
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    SerialNumber::from_slice(&bytes)
}
