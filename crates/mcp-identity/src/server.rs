//! The agent's TLS settings: version 1.3 only, HTTP/2 only, no client certificates.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mcp_model::Stamp;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use zeroize::Zeroizing;

use crate::tls::{ALPN_H2, provider, stamp_of};

/// Why a certificate and its key cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate's file holds none.
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key's file holds none.
    #[error("{} holds no private key in PEM form", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A file that is damaged.
    #[error("{} is not a well-formed PEM file", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Where it breaks.
        #[source]
        source: pem::Error,
    },
    /// The two do not belong together.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// TLS cannot use them.
    #[error("cannot serve TLS with {} and {}", cert.display(), key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Reads a certificate chain and its key and makes the settings for serving them.
///
/// An expired certificate is served: clients refuse it by themselves and say so, and an agent that
/// does not start watches nothing. [`check_certificate`] tells beforehand.
pub fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, ServerTlsError> {
    let chain = read_chain(cert)?;
    let private = read_key(key)?;
    let unusable = |source| match source {
        rustls::Error::InconsistentKeys(_) => ServerTlsError::Mismatch {
            cert: cert.to_owned(),
            key: key.to_owned(),
        },
        source => ServerTlsError::Unusable {
            cert: cert.to_owned(),
            key: key.to_owned(),
            source,
        },
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    Ok(Arc::new(config))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServerTlsError> {
    let text = std::fs::read(path).map_err(|source| ServerTlsError::Read {
        path: path.to_owned(),
        source,
    })?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|source| ServerTlsError::Pem {
            path: path.to_owned(),
            source,
        })?;
    if chain.is_empty() {
        return Err(ServerTlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, ServerTlsError> {
    let text = std::fs::read(path).map_err(|source| ServerTlsError::Read {
        path: path.to_owned(),
        source,
    })?;
    let text = Zeroizing::new(text);
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| {
        let path = path.to_owned();
        match source {
            pem::Error::NoItemsFound => ServerTlsError::NoKey { path },
            source => ServerTlsError::Pem { path, source },
        }
    })
}

/// Why clients will refuse a certificate that can be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateProblem {
    /// It cannot even be read.
    #[error(transparent)]
    Unreadable(#[from] ServerTlsError),
    /// Its time is over.
    #[error("the certificate in {} expired at {at} UTC", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// When it did.
        at: Stamp,
    },
    /// Its time has not come.
    #[error("the certificate in {} is not valid before {from} UTC", path.display())]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// From when on it is.
        from: Stamp,
    },
    /// It is not a certificate for a server.
    #[error("the certificate in {} is not one for a server", path.display())]
    WrongPurpose {
        /// The file.
        path: PathBuf,
    },
    /// It is not a certificate that TLS understands.
    #[error("the certificate in {} cannot be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Whether the first certificate of a file is one for a server and valid at `at`. Who signed it is
/// not looked at. Asked with a time to come, it tells what will expire by then.
pub fn check_certificate(path: &Path, at: Stamp) -> Result<(), CertificateProblem> {
    let chain = read_chain(path)?;
    let unusable = |source| CertificateProblem::Unusable {
        path: path.to_owned(),
        source,
    };
    let parsed = ParsedCertificate::try_from(&chain[0]).map_err(unusable)?;
    let since_epoch = at.since(Stamp::from_millis(0));
    // Validity and purpose are examined before the issuer is looked for. There is none to be
    // found, so a certificate that is fine in itself ends as one of an unknown issuer.
    let verdict = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        UnixTime::since_unix_epoch(since_epoch),
        provider().signature_verification_algorithms.all,
    );
    let path = path.to_owned();
    match verdict {
        Ok(()) | Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Ok(()),
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) => {
            let at = stamp_of(Duration::from_secs(not_after.as_secs()));
            Err(CertificateProblem::Expired { path, at })
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before,
            ..
        })) => {
            let from = stamp_of(Duration::from_secs(not_before.as_secs()));
            Err(CertificateProblem::NotYetValid { path, from })
        }
        Err(rustls::Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        )) => Err(CertificateProblem::WrongPurpose { path }),
        Err(source) => Err(CertificateProblem::Unusable { path, source }),
    }
}
