//! Whether a caller is still let in whose call lasts long.

use std::sync::Arc;

use mcp_identity::Caller;
use tonic::Status;
use tonic::codegen::http::{HeaderMap, header::AUTHORIZATION};

use super::{Door, Refusals, record::Record};
use crate::serve::Peer;

/// What a caller showed at the gate. Carried by the request, so that a stream can ask again: a
/// token that was revoked or has expired must not keep one for ever.
#[derive(Clone)]
pub struct Admission {
    pub(super) door: Door,
    pub(super) refusals: Arc<Refusals>,
    pub(super) peer: Peer,
    /// Whom the gate let in: who is refused later is still known.
    pub(super) caller: Caller,
    pub(super) method: String,
    pub(super) shown: HeaderMap,
}

impl Admission {
    /// Passes the gate again. A refusal is told in the audit log, as it is for a call.
    pub async fn renew(&self) -> Result<(), Status> {
        match self.door.admit(self.peer, &self.shown).await {
            Ok(_) => Ok(()),
            Err(refusal) => {
                let mut record = Record::new(&self.method, self.peer, &self.refusals);
                record.admitted(&self.caller);
                record.refused(&refusal);
                Err(refusal.status)
            }
        }
    }
}

#[cfg(test)]
impl Admission {
    /// Of `caller`, who showed this at this door.
    pub(crate) fn shown_to(
        door: Door,
        refusals: Arc<Refusals>,
        caller: Caller,
        authorization: &str,
    ) -> Self {
        let value = authorization.parse().expect("a header's value");
        Self {
            door,
            refusals,
            peer: Peer::Local { uid: 0, pid: None },
            caller,
            method: "/test".to_owned(),
            shown: [(AUTHORIZATION, value)].into_iter().collect(),
        }
    }
}

/// Of a request's headers, those that the door looks at.
pub(super) fn shown(headers: &HeaderMap) -> HeaderMap {
    let mut shown = HeaderMap::new();
    for value in headers.get_all(AUTHORIZATION) {
        shown.append(AUTHORIZATION, value.clone());
    }
    shown
}
