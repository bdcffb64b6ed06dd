//! The registry as the verifier's token store.

use async_trait::async_trait;
use mcp_identity::verifier::BoxError;
use mcp_identity::{TokenHash, TokenRecord, TokenStore};
use mcp_registry::Registry;

/// The tokens of a registry behind the verifier's port.
#[derive(Clone)]
pub struct RegisteredTokens(pub Registry);

#[async_trait]
impl TokenStore for RegisteredTokens {
    async fn find(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, BoxError> {
        let Some(found) = self.0.find_token(*hash.as_bytes()).await? else {
            return Ok(None);
        };
        let roles = found.roles.iter().map(|role| role.parse());
        Ok(Some(TokenRecord {
            id: found.id,
            hash: *hash,
            subject: found.subject.parse()?,
            roles: roles.collect::<Result<_, _>>()?,
            created: found.created,
            expires: found.expires,
            revoked: found.revoked,
        }))
    }
}
