//! The service of the node's own socket: what offline commands ask of a running agent (S40).

use std::collections::BTreeSet;
use std::sync::Arc;

use mcp_controller::port::Clock;
use mcp_identity::{Role, Subject};
use mcp_proto::convert::time::{duration_from_wire, stamp_to_wire};
use mcp_proto::convert::{InvalidField, field};
use mcp_proto::v1;
use mcp_proto::v1::local_admin_service_server::LocalAdminService;
use mcp_registry::{Registry, TokenRecord};
use tonic::{Request, Response, Status};

use super::origin;
use crate::tokens::Tokens;

/// Issues, lists and revokes the node's tokens.
pub struct LocalAdmin(Tokens);

impl LocalAdmin {
    /// Works on the tokens of `registry`.
    pub fn new(registry: Registry, clock: Arc<dyn Clock>) -> Self {
        Self(Tokens::new(registry, clock))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn failed(error: anyhow::Error) -> Status {
    Status::failed_precondition(format!("{error:#}"))
}

/// A token as it is told to others.
pub(crate) fn token_info(record: &TokenRecord) -> v1::TokenInfo {
    v1::TokenInfo {
        id: record.id.clone(),
        subject: record.subject.clone(),
        roles: record.roles.clone(),
        created: Some(stamp_to_wire(record.created)),
        expires: Some(stamp_to_wire(record.expires)),
        revoked: record.revoked.map(stamp_to_wire),
    }
}

#[tonic::async_trait]
impl LocalAdminService for LocalAdmin {
    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        let origin = origin(&request, "IssueToken")?;
        let wire = request.into_inner();
        let subject: Subject = field::required("subject", &wire.subject)?;
        let roles: BTreeSet<Role> = wire
            .roles
            .iter()
            .map(|role| field::required("roles", role))
            .collect::<Result<_, _>>()?;
        let valid = wire
            .valid
            .ok_or_else(|| InvalidField::new("valid", "it must be set"))?;
        let valid = duration_from_wire("valid", valid)?;
        let (token, record) = self
            .0
            .issue(&subject, &roles, valid, origin)
            .await
            .map_err(failed)?;
        Ok(Response::new(v1::IssueTokenResponse {
            token: token.secret().to_owned(),
            info: Some(token_info(&record)),
        }))
    }

    async fn list_tokens(
        &self,
        _: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let tokens = self.0.list().await.map_err(failed)?;
        Ok(Response::new(v1::ListTokensResponse {
            tokens: tokens.iter().map(token_info).collect(),
        }))
    }

    async fn revoke_tokens(
        &self,
        request: Request<v1::RevokeTokensRequest>,
    ) -> Result<Response<v1::RevokeTokensResponse>, Status> {
        let origin = origin(&request, "RevokeTokens")?;
        let wire = request.into_inner();
        if wire.id_or_subject.is_empty() {
            return Err(InvalidField::new("id_or_subject", "it must be set").into());
        }
        let revoked = self
            .0
            .revoke(&wire.id_or_subject, origin)
            .await
            .map_err(failed)?;
        Ok(Response::new(v1::RevokeTokensResponse {
            revoked: u32::try_from(revoked).unwrap_or(u32::MAX),
        }))
    }
}
