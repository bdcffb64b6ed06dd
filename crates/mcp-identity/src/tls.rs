//! What both sides' TLS settings have in common.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// gRPC is HTTP/2 and nothing else.
pub(crate) const ALPN_H2: &[u8] = b"h2";

/// The one provider of cryptography, named explicitly: what a process installed as its default
/// plays no part.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A time since the epoch as a stamp.
pub(crate) fn stamp_of(since_epoch: std::time::Duration) -> mcp_model::Stamp {
    mcp_model::Stamp::from_millis(0).plus(since_epoch)
}
