//! Turns a token into a caller.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mcp_model::Stamp;
use subtle::ConstantTimeEq;

use crate::caller::{Caller, Provider, Role, Subject};
use crate::token::{Token, TokenHash};

/// An error of somebody else's, kept as the source.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a token was not accepted. The token is not part of it.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It does not look like a token of this provider.
    #[error("this is not a token of this node")]
    Malformed,
    /// Nobody issued it.
    #[error("this node does not know the token")]
    Unknown,
    /// Its time is over.
    #[error("the token expired at {at} UTC")]
    Expired {
        /// When it did.
        at: Stamp,
    },
    /// It was taken back.
    #[error("the token was revoked")]
    Revoked,
    /// The identity service does not vouch for it, and does not say why.
    #[error(
        "the identity service does not accept the token: it is unknown, expired or revoked; run mcp login for another"
    )]
    Rejected,
    /// It is some node's own, and this node leaves callers to the identity service. Not sent there:
    /// it is nobody's business but that node's (S38).
    #[error(
        "this is a node's own token, and this node takes those of the identity service: run mcp login for one"
    )]
    NodeToken,
    /// Nothing can be said of it now. Refused all the same: it fails closed.
    #[error("the token cannot be checked now")]
    Unavailable(#[source] BoxError),
}

/// Knows who holds a token.
#[async_trait]
pub trait Verifier: Send + Sync {
    /// Who the caller with this token is.
    async fn verify(&self, token: &str) -> Result<Caller, VerifyError>;
}

/// A token as it is stored: all but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// What an operator calls it when revoking it; not a secret.
    pub id: String,
    /// The hash it was found by.
    pub hash: TokenHash,
    /// Whom it was issued to.
    pub subject: Subject,
    /// With which roles.
    pub roles: BTreeSet<Role>,
    /// When it was issued.
    pub created: Stamp,
    /// From when on it is refused.
    pub expires: Stamp,
    /// When it was taken back, if it was.
    pub revoked: Option<Stamp>,
}

/// Where the tokens of a node are kept. The agent implements it over its registry.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// The token with this hash, revoked and expired ones included.
    async fn find(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, BoxError>;
}

/// Tells the time, so that tests can.
pub type Now = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// Verifies the node's own tokens. Asks the store each time: a revocation counts from the next
/// call on (S40).
#[derive(Clone)]
pub struct LocalVerifier {
    store: Arc<dyn TokenStore>,
    now: Now,
}

impl LocalVerifier {
    /// A verifier over `store` that takes the time from `now`.
    pub fn new(store: Arc<dyn TokenStore>, now: Now) -> Self {
        Self { store, now }
    }
}

impl fmt::Debug for LocalVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalVerifier").finish_non_exhaustive()
    }
}

#[async_trait]
impl Verifier for LocalVerifier {
    async fn verify(&self, token: &str) -> Result<Caller, VerifyError> {
        if !Token::is_local_form(token) {
            return Err(VerifyError::Malformed);
        }
        let hash = TokenHash::of(token);
        let found = self.store.find(&hash).await;
        let record = found
            .map_err(VerifyError::Unavailable)?
            .ok_or(VerifyError::Unknown)?;
        judge(record, &hash, (self.now)())
    }
}

/// Whether a stored token proves its caller at `now`.
fn judge(record: TokenRecord, hash: &TokenHash, now: Stamp) -> Result<Caller, VerifyError> {
    // The store compared already, by a rule of its own (collations, prefixes); this one is exact.
    if !bool::from(record.hash.ct_eq(hash)) {
        return Err(VerifyError::Unknown);
    }
    // Whenever it was: a stamp of a revocation that lies in the future is a clock that jumped.
    if record.revoked.is_some() {
        return Err(VerifyError::Revoked);
    }
    if now >= record.expires {
        return Err(VerifyError::Expired { at: record.expires });
    }
    Ok(Caller {
        subject: record.subject,
        roles: record.roles,
        provider: Provider::Local,
        account: None,
    })
}
