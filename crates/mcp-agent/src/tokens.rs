//! The node's own tokens: issued, listed and revoked, each act audited before it has an effect
//! (S40, S42). The same code works for a running agent, behind its socket, and without one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mcp_controller::port::Clock;
use mcp_identity::{Role, Subject, Token};
use mcp_model::Origin;
use mcp_registry::{NewAudit, NewToken, Options, Registry, TokenRecord, TokenSelector};

use crate::adapters::clock::SystemClock;
use crate::lock::Lock;

/// Longest time that a token may be valid: ten years.
const MAX_VALID: Duration = Duration::from_hours(24 * 3653);

/// The tokens of one registry.
#[derive(Clone)]
pub struct Tokens {
    registry: Registry,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// The tokens in `registry`.
    pub fn new(registry: Registry, clock: Arc<dyn Clock>) -> Self {
        Self { registry, clock }
    }

    /// Makes a token. Its text is in the answer and nowhere else.
    pub async fn issue(
        &self,
        subject: &Subject,
        roles: &BTreeSet<Role>,
        valid: Duration,
        origin: Origin,
    ) -> anyhow::Result<(Token, TokenRecord)> {
        if valid.is_zero() || valid > MAX_VALID {
            bail!("a token is valid for more than nothing and at most ten years");
        }
        let token = Token::generate();
        let now = self.clock.now().wall;
        let record = TokenRecord {
            id: format!("{:010x}", rand::random::<u64>() >> 24),
            subject: subject.to_string(),
            roles: roles.iter().map(ToString::to_string).collect(),
            created: now,
            expires: now.plus(valid),
            revoked: None,
        };
        let new = NewToken {
            hash: *token.hash().as_bytes(),
            id: record.id.clone(),
            subject: record.subject.clone(),
            roles: record.roles.clone(),
            created: record.created,
            expires: record.expires,
        };
        let object = format!("token {} of {subject}", record.id);
        self.audited(origin, object, self.registry.insert_token(new))
            .await?;
        Ok((token, record))
    }

    /// Every token, in order of issue.
    pub async fn list(&self) -> anyhow::Result<Vec<TokenRecord>> {
        Ok(self.registry.tokens().await?)
    }

    /// Revokes the token of this id or, where there is none, all of this subject. Says how many
    /// it were; counts from the next call that carries one of them.
    pub async fn revoke(&self, id_or_subject: &str, origin: Origin) -> anyhow::Result<usize> {
        let is_id = self
            .list()
            .await?
            .iter()
            .any(|token| token.id == id_or_subject);
        let (which, object) = if is_id {
            (
                TokenSelector::Id(id_or_subject.to_owned()),
                format!("token {id_or_subject}"),
            )
        } else {
            (
                TokenSelector::Subject(id_or_subject.to_owned()),
                format!("tokens of {id_or_subject}"),
            )
        };
        let revoking = self.registry.revoke_tokens(which, self.clock.now().wall);
        Ok(self.audited(origin, object, revoking).await?.len())
    }

    /// Records the call, does it, records what became of it.
    async fn audited<T, E>(
        &self,
        origin: Origin,
        object: String,
        act: impl Future<Output = Result<T, E>>,
    ) -> anyhow::Result<T>
    where
        E: Into<anyhow::Error>,
    {
        let call = NewAudit {
            at: self.clock.now().wall,
            origin,
            operation: None,
            object,
            message: String::new(),
        };
        let id = self
            .registry
            .audit(call)
            .await
            .context("the call cannot be audited")?;
        let done = act.await;
        let outcome = if done.is_ok() { "succeeded" } else { "failed" };
        let recorded = self
            .registry
            .audit_outcome(id, outcome.to_owned(), self.clock.now().wall)
            .await;
        if let Err(error) = recorded {
            tracing::warn!(%error, "cannot record the outcome of a call");
        }
        done.map_err(Into::into)
    }
}

/// A registry that is opened while no agent runs.
pub struct Offline {
    tokens: Tokens,
    registry: Registry,
    _lock: Lock,
}

impl Offline {
    /// Takes the lock beside the database and opens it.
    pub fn open(database: &Path) -> anyhow::Result<Self> {
        Self::with(Lock::take(database)?, database)
    }

    /// Opens the database whose lock is held.
    pub fn with(lock: Lock, database: &Path) -> anyhow::Result<Self> {
        let registry = Registry::open(database, &Options::default())?;
        let tokens = Tokens::new(registry.clone(), Arc::new(SystemClock::new()));
        Ok(Self {
            tokens,
            registry,
            _lock: lock,
        })
    }

    /// Its tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Who acts where no agent stands between: the process's own user.
    pub fn origin(method: &str) -> Origin {
        let uid = rustix::process::getuid().as_raw();
        Origin {
            caller: Subject::local_user(uid).to_string(),
            peer: format!("offline:pid={}", std::process::id()),
            method: method.to_owned(),
            host: String::new(),
        }
    }

    /// Closes the registry, then lets go of the lock.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.registry.close().await?)
    }
}
