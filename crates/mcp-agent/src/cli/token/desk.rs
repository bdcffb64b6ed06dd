//! Where tokens are dealt with: the running agent's socket, or the registry itself.

use std::time::Duration;

use anyhow::{Context as _, bail};
use mcp_config::agent::AgentConfig;
use mcp_identity::{Role, Subject, Token};
use mcp_proto::convert::time::duration_from_wire;
use mcp_proto::v1;
use mcp_proto::v1::local_admin_service_client::LocalAdminServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::api::token_info;
use crate::lock::{Lock, LockError};
use crate::serve::UnixFront;
use crate::tokens::Offline;

/// How long an agent that holds the lock is waited for: longer than it takes to start or to end.
const PATIENCE: Duration = Duration::from_secs(40);

/// How often it is tried meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// One of the two, whichever is there.
pub(super) enum Desk {
    Agent(LocalAdminServiceClient<Channel>),
    Registry(Offline),
}

impl Desk {
    /// The lock tells which: who holds it is the one to ask.
    pub(super) async fn open(config: &AgentConfig) -> anyhow::Result<Self> {
        let database = &config.database.path;
        if !database.exists() {
            bail!(
                "there is no registry at {}: mcp-agent init makes a node",
                database.display()
            );
        }
        // An agent that starts or ends holds the lock for a moment and has no socket.
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let held = match Lock::take(database) {
                Ok(lock) => return Ok(Self::Registry(Offline::with(lock, database)?)),
                Err(held @ LockError::Held { .. }) => held,
                Err(other) => return Err(other.into()),
            };
            let path = UnixFront::path_in(&config.agent.run_dir);
            let agent = Endpoint::from_shared(format!("unix://{}", path.display()))?;
            match agent.connect().await {
                Ok(channel) => return Ok(Self::Agent(LocalAdminServiceClient::new(channel))),
                Err(_) if tokio::time::Instant::now() < patience => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(_) => bail!("{held}, but its socket {} does not answer", path.display()),
            }
        }
    }

    pub(super) async fn issue(
        self,
        order: v1::IssueTokenRequest,
    ) -> anyhow::Result<(Token, v1::TokenInfo)> {
        match self {
            Self::Agent(mut agent) => {
                let issued = agent.issue_token(order).await.map_err(said)?.into_inner();
                let info = issued
                    .info
                    .context("the agent did not say what it issued")?;
                Ok((issued.token.parse()?, info))
            }
            Self::Registry(offline) => {
                let subject: Subject = order.subject.parse()?;
                let roles: Vec<Role> = order
                    .roles
                    .iter()
                    .map(|role| role.parse())
                    .collect::<Result<_, _>>()?;
                let valid = duration_from_wire("valid", order.valid.unwrap_or_default())?;
                let origin = Offline::origin("token issue");
                let roles = roles.into_iter().collect();
                let issued = offline
                    .tokens()
                    .issue(&subject, &roles, valid, origin)
                    .await;
                offline.close().await?;
                let (token, record) = issued?;
                Ok((token, token_info(&record)))
            }
        }
    }

    pub(super) async fn list(self) -> anyhow::Result<Vec<v1::TokenInfo>> {
        match self {
            Self::Agent(mut agent) => {
                let listed = agent
                    .list_tokens(v1::ListTokensRequest {})
                    .await
                    .map_err(said)?;
                Ok(listed.into_inner().tokens)
            }
            Self::Registry(offline) => {
                let tokens = offline.tokens().list().await;
                offline.close().await?;
                Ok(tokens?.iter().map(token_info).collect())
            }
        }
    }

    pub(super) async fn revoke(self, which: &str) -> anyhow::Result<usize> {
        match self {
            Self::Agent(mut agent) => {
                let order = v1::RevokeTokensRequest {
                    id_or_subject: which.to_owned(),
                };
                let revoked = agent.revoke_tokens(order).await.map_err(said)?;
                Ok(usize::try_from(revoked.into_inner().revoked)?)
            }
            Self::Registry(offline) => {
                let origin = Offline::origin("token revoke");
                let revoked = offline.tokens().revoke(which, origin).await;
                offline.close().await?;
                revoked
            }
        }
    }
}

/// What the agent said, without the wrapping of a status.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn said(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("the agent refused: {}", status.message())
}
