//! The registry as the verifier's token store.

use std::collections::BTreeSet;

use async_trait::async_trait;
use mcp_identity::verifier::BoxError;
use mcp_identity::{Role, Subject, TokenHash, TokenRecord, TokenStore};
use mcp_registry::Registry;
use tracing::warn;

/// The tokens of a registry behind the verifier's port.
#[derive(Clone)]
pub struct RegisteredTokens(pub Registry);

#[async_trait]
impl TokenStore for RegisteredTokens {
    async fn find(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, BoxError> {
        let Some(found) = self.0.find_token(*hash.as_bytes()).await? else {
            return Ok(None);
        };
        let (subject, roles) = match holder(&found) {
            Ok(holder) => holder,
            // What an older agent let in and this one does not is nobody's token: no failure, and
            // trying again does not help.
            Err(error) => {
                let reason = crate::api::chain(error.as_ref());
                warn!(id = found.id, reason, "a stored token cannot be read");
                return Ok(None);
            }
        };
        Ok(Some(TokenRecord {
            id: found.id,
            hash: *hash,
            subject,
            roles,
            created: found.created,
            expires: found.expires,
            revoked: found.revoked,
        }))
    }
}

fn holder(found: &mcp_registry::TokenRecord) -> Result<(Subject, BTreeSet<Role>), BoxError> {
    let roles: Result<_, _> = found.roles.iter().map(|role| role.parse()).collect();
    Ok((found.subject.parse()?, roles?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mcp_identity::{LocalVerifier, Token, Verifier, VerifyError};
    use mcp_model::Stamp;
    use mcp_registry::{NewToken, Options};

    use super::*;
    use crate::logging::captured::Written;

    #[tokio::test]
    async fn a_stored_token_whose_holder_cannot_be_read_is_refused_and_the_log_says_why() {
        let (log, _guard) = Written::of_this_thread();
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(&dir.path().join("mcp.db"), &Options::default()).unwrap();
        let at = Stamp::from_millis;
        let tokens = RegisteredTokens(registry.clone());
        let verifier = LocalVerifier::new(Arc::new(tokens), Arc::new(move || at(1)));
        for (id, subject, role) in [("t1", "bob\n", "admin"), ("t2", "bob", "")] {
            let token = Token::generate();
            let new = NewToken {
                hash: *token.hash().as_bytes(),
                id: id.to_owned(),
                subject: subject.to_owned(),
                roles: vec![role.to_owned()],
                created: at(0),
                expires: at(2),
            };
            registry.insert_token(new).await.unwrap();
            let refused = verifier.verify(token.secret()).await.unwrap_err();
            assert!(matches!(refused, VerifyError::Unknown), "{refused}");
            let text = log.text();
            let told: serde_json::Value =
                serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(told["message"], "a stored token cannot be read");
            assert_eq!(told["id"], id);
            assert!(!told["reason"].as_str().unwrap().is_empty());
        }
    }
}
