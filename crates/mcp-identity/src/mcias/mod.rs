//! The platform's identity service, MCIAS.
//!
//! ```text
//!  mcp login ──────────► rest ──► http ──► POST /v1/auth/login
//!  verifier ──► verdicts  │
//!      └─── one flight ───┘  ──► http ──► POST /v1/token/validate
//! ```
//!
//! `rest` alone knows what the service's messages look like. It fails closed: whatever is not a
//! clear yes is a refusal, and whatever is no clear answer is "cannot tell now".

mod http;
mod rest;
#[cfg(feature = "server")]
mod verdicts;
#[cfg(feature = "server")]
mod verifier;

use std::time::Duration;

pub use rest::{Issued, Login, LoginError, Mcias};
#[cfg(feature = "server")]
pub use verifier::MciasVerifier;

use crate::verifier::BoxError;

/// How long the service may take for an answer, connecting included.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Why the service gave no answer that could be used. Holds neither token nor password, and nothing
/// of what the service said: that may hold them.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No connection, or it broke.
    #[error("cannot reach the identity service at {url}")]
    Unreachable {
        /// Its base URL.
        url: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// No answer in time.
    #[error("the identity service at {url} did not answer within {} s", limit.as_secs_f64())]
    Slow {
        /// Its base URL.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
    /// It points elsewhere. Not followed: what is sent there is a secret.
    #[error(
        "the identity service at {url} points elsewhere, which is not followed: correct server_url"
    )]
    Redirected {
        /// Its base URL.
        url: String,
    },
    /// It answers with a status that means nothing here.
    #[error("the identity service at {url} answers with status {status}")]
    Status {
        /// Its base URL.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Its answer is longer than any real one.
    #[error("the answer of the identity service at {url} is too long")]
    TooLong {
        /// Its base URL.
        url: String,
    },
    /// Its answer is not one.
    #[error("the answer of the identity service at {url} cannot be read: {why}")]
    Malformed {
        /// Its base URL.
        url: String,
        /// What is wrong, without any of the answer.
        why: &'static str,
    },
}
