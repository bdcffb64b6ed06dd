//! TLS settings for connecting: to an agent (HTTP/2 only, and only the authority that was given),
//! and to the identity service. Version 1.3 only, both.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};

use crate::tls::{ALPN_H2, provider};

/// Where the authority that an agent's certificate must come from is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaSource {
    /// In a PEM file.
    File(PathBuf),
    /// Here, as PEM.
    Pem(Vec<u8>),
}

impl fmt::Display for CaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Pem(_) => f.write_str("the given text"),
        }
    }
}

/// Why there are no TLS settings.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// Nobody said which authority to trust. The system's own are no substitute: they vouch for
    /// the web, not for nodes.
    #[error(
        "no CA certificate is configured: set ca_cert for the node, or add the node from its bundle with mcp node add --bundle"
    )]
    NoCa,
    /// The file could not be read.
    #[error("cannot read the CA certificate {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is damaged.
    #[error("{ca} is not a well-formed PEM file")]
    Pem {
        /// Where it was read.
        ca: CaSource,
        /// Where it breaks.
        #[source]
        source: pem::Error,
    },
    /// It holds no certificate.
    #[error("{ca} holds no certificate in PEM form")]
    NoCertificate {
        /// Where it was read.
        ca: CaSource,
    },
    /// None was given, and the system trusts none either.
    #[error("the system has no CA certificates: install them, or set ca_cert")]
    NoSystemCa,
    /// TLS cannot use it.
    #[error("the CA certificate in {ca} cannot be used")]
    Unusable {
        /// Where it was read.
        ca: CaSource,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Makes the settings for connecting to agents whose certificates come from `ca`.
pub fn client_config(ca: Option<&CaSource>) -> Result<Arc<ClientConfig>, ClientTlsError> {
    let ca = ca.ok_or(ClientTlsError::NoCa)?;
    let mut config = trusting(read_roots(ca)?);
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    Ok(Arc::new(config))
}

/// Makes the settings for connecting to a web service: without a `ca`, the system's are trusted.
pub(crate) fn web_config(ca: Option<&CaSource>) -> Result<ClientConfig, ClientTlsError> {
    let roots = match ca {
        Some(ca) => read_roots(ca)?,
        None => system_roots()?,
    };
    Ok(trusting(roots))
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn system_roots() -> Result<RootCertStore, ClientTlsError> {
    let mut roots = RootCertStore::empty();
    // Systems carry some that cannot be used; the others serve.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(ClientTlsError::NoSystemCa);
    }
    Ok(roots)
}

fn read_roots(ca: &CaSource) -> Result<RootCertStore, ClientTlsError> {
    let text = match ca {
        CaSource::Pem(text) => text.clone(),
        CaSource::File(path) => std::fs::read(path).map_err(|source| ClientTlsError::Read {
            path: path.clone(),
            source,
        })?,
    };
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(&text) {
        let cert = cert.map_err(|source| ClientTlsError::Pem {
            ca: ca.clone(),
            source,
        })?;
        roots.add(cert).map_err(|source| ClientTlsError::Unusable {
            ca: ca.clone(),
            source,
        })?;
    }
    if roots.is_empty() {
        return Err(ClientTlsError::NoCertificate { ca: ca.clone() });
    }
    Ok(roots)
}
