//! One RPC's line in the audit log.

use mcp_identity::{Account, Caller};
use mcp_model::text::{escape, shorten};
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http;
use tracing::info;

use crate::serve::Peer;

/// The target of the audit log; the log's level never filters it out.
pub const TARGET: &str = "audit";

/// Longest method that is logged, in characters: unknown methods are the caller's own words.
const MAX_METHOD: usize = 200;

/// What is known of an RPC so far. Dropped without an outcome, it tells that the caller left.
pub(super) struct Record {
    method: String,
    peer: String,
    caller: String,
    provider: Option<&'static str>,
    account: Option<&'static str>,
    told: bool,
}

impl Record {
    pub(super) fn new(path: &str, peer: Peer) -> Self {
        Self {
            method: escape(&shorten(path, MAX_METHOD)).into_owned(),
            peer: peer.to_string(),
            caller: String::new(),
            provider: None,
            account: None,
            told: false,
        }
    }

    pub(super) fn admitted(&mut self, caller: &Caller) {
        self.caller = caller.subject.to_string();
        // A name says little by itself: each provider has its own bob.
        self.provider = Some(caller.provider.as_str());
        self.account = caller.account.map(Account::as_str);
    }

    pub(super) fn refused(&mut self, caller: Option<&Caller>, code: Code, refusals: u64) {
        if let Some(caller) = caller {
            self.admitted(caller);
        }
        self.told = true;
        info!(
            target: TARGET,
            method = %self.method,
            caller = %self.caller,
            provider = self.provider,
            account = self.account,
            peer = %self.peer,
            outcome = ?code,
            refusals,
            "rpc refused"
        );
    }

    /// Unary failures are in the headers; a stream's own end comes later and is not waited for.
    pub(super) fn answered(&mut self, response: Option<&http::Response<Body>>) {
        let outcome = match response {
            None => Code::Internal,
            Some(response) => response
                .headers()
                .get("grpc-status")
                .map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes())),
        };
        self.tell(&format!("{outcome:?}"));
    }

    fn tell(&mut self, outcome: &str) {
        self.told = true;
        info!(
            target: TARGET,
            method = %self.method,
            caller = %self.caller,
            provider = self.provider,
            account = self.account,
            peer = %self.peer,
            outcome,
            "rpc"
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.told {
            self.tell("CallerLeft");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_of_a_strangers_making_takes_little_of_the_log() {
        let peer = Peer::Local { uid: 0, pid: None };
        let mut record = Record::new(&"/x".repeat(8000), peer);
        record.told = true;
        assert!(record.method.chars().count() <= MAX_METHOD + 1);
    }
}
