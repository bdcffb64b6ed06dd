//! Who calls: tokens, verifiers, certificates and TLS settings (S37–S41).
//!
//! A call carries a bearer token; [`bearer::bearer`] takes it out of the header, a
//! [`verifier::Verifier`] turns it into a [`caller::Caller`] with roles. What tokens exist is
//! behind the [`verifier::TokenStore`] port: this crate knows no database. The feature `server`
//! issues certificates and makes the agent's TLS settings, `client` connects to agents, saying in
//! plain words why a connection did not come about, and logs in. [`mcias`] speaks to the platform's
//! identity service; `double` is such a service for tests. A [`bundle::Bundle`] carries what a
//! workstation needs from a node that was just set up.
//!
//! Secrets are zeroed when they are dropped, and no type's `Debug` or `Display` shows one.

pub mod bearer;
pub mod bundle;
pub mod caller;
pub mod client;
#[cfg(feature = "client")]
pub mod connect;
#[cfg(feature = "double")]
pub mod double;
#[cfg(feature = "server")]
pub mod issue;
#[cfg(any(feature = "client", feature = "server"))]
pub mod mcias;
pub mod private_file;
#[cfg(feature = "server")]
pub mod server;
mod tls;
pub mod token;
pub mod verifier;

pub use bearer::{BearerError, bearer};
pub use bundle::{Bundle, BundleError};
pub use caller::{Account, Caller, Provider, Role, Subject};
pub use client::{CaSource, ClientTlsError, client_config};
#[cfg(feature = "client")]
pub use connect::{ConnectError, connect};
#[cfg(feature = "server")]
pub use issue::{CertPaths, IssueError, Pems, SanName, Validity, issue_ca_and_cert};
#[cfg(feature = "server")]
pub use mcias::MciasVerifier;
#[cfg(any(feature = "client", feature = "server"))]
pub use mcias::{Issued, Login, LoginError, Mcias, ServiceError};
#[cfg(feature = "server")]
pub use server::{CertificateProblem, ServerTlsError, check_certificate, server_config};
pub use token::{Token, TokenError, TokenFileError, TokenHash, read_token_file, write_token_file};
pub use verifier::{LocalVerifier, TokenRecord, TokenStore, Verifier, VerifyError};
