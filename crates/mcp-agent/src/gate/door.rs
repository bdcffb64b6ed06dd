//! Who is let in: by token from the network, by the kernel's word on the node itself.

use std::sync::Arc;

use mcp_identity::{Caller, Provider, Role, Subject, Verifier, VerifyError, bearer};
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use crate::serve::Peer;

/// What a caller must show.
#[derive(Clone)]
pub enum Door {
    /// A bearer token that this verifier knows.
    Network(Arc<dyn Verifier>),
    /// Peer credentials of this user, or of root (S41).
    Node {
        /// The agent's own user.
        uid: u32,
    },
}

/// Nobody is let in, and why.
pub(super) struct Refusal {
    /// What the caller is told.
    pub(super) status: Status,
    /// Who it was, where that is known.
    pub(super) caller: Option<Caller>,
    /// Why it could not be found out who it was; for the log, since it is not the caller's to know.
    pub(super) cause: Option<String>,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self {
            status,
            caller: None,
            cause: None,
        }
    }
}

impl Door {
    pub(super) async fn admit(&self, peer: Peer, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let caller = match self {
            Self::Network(verifier) => by_token(verifier.as_ref(), headers).await?,
            Self::Node { uid } => by_credentials(*uid, peer)?,
        };
        if caller.is_admin() {
            return Ok(caller);
        }
        let status = Status::permission_denied(format!(
            "{} does not have the role admin, and every call to MCP needs it",
            caller.subject
        ));
        Err(Refusal {
            caller: Some(caller),
            ..status.into()
        })
    }
}

async fn by_token(verifier: &dyn Verifier, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let mut values = headers.get_all("authorization").iter();
    let value = values.next().ok_or_else(|| {
        Status::unauthenticated("no token: send the header `authorization: Bearer <token>`")
    })?;
    // Two headers are two callers; which one is meant is not for us to guess.
    if values.next().is_some() {
        let twice = Status::unauthenticated("more than one authorization header");
        return Err(twice.into());
    }
    let token = bearer(value.as_bytes()).map_err(|e| Status::unauthenticated(e.to_string()))?;
    verifier.verify(token).await.map_err(|error| match error {
        VerifyError::Unavailable(source) => Refusal {
            cause: Some(crate::api::chain(source.as_ref())),
            ..Status::unavailable(
                "the token cannot be checked now: try again, or use the node's socket",
            )
            .into()
        },
        known => Status::unauthenticated(known.to_string()).into(),
    })
}

fn by_credentials(own: u32, peer: Peer) -> Result<Caller, Status> {
    let Peer::Local { uid, .. } = peer else {
        return Err(Status::unauthenticated(
            "the kernel does not say who is calling",
        ));
    };
    if uid != own && uid != 0 {
        return Err(Status::permission_denied(format!(
            "uid {uid} may not use this socket: only uid {own} and root may"
        )));
    }
    Ok(Caller {
        subject: Subject::local_user(uid),
        roles: [Role::admin()].into(),
        provider: Provider::Socket,
        account: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(uid: u32) -> Peer {
        Peer::Local { uid, pid: None }
    }

    #[test]
    fn only_the_agents_user_and_root_may_use_the_socket() {
        assert!(by_credentials(1000, local(1000)).is_ok());
        assert!(by_credentials(1000, local(0)).is_ok());
        let refused = |peer| by_credentials(1000, peer).unwrap_err().code();
        assert_eq!(refused(local(1001)), tonic::Code::PermissionDenied);
        let elsewhere = Peer::Net("127.0.0.1:1".parse().unwrap());
        assert_eq!(refused(elsewhere), tonic::Code::Unauthenticated);
    }
}
