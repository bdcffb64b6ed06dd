//! One RPC's line in the audit log.

use std::sync::Arc;

use mcp_identity::{Account, Caller};
use mcp_model::text::{escape, shorten};
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http;
use tracing::{info, warn};

use super::Refusals;
use super::door::Refusal;
use crate::serve::Peer;

/// The target of the audit log; the log's level never filters it out.
pub const TARGET: &str = "audit";

/// Longest method that is logged, in characters: unknown methods are the caller's own words.
const MAX_METHOD: usize = 200;

/// What is known of an RPC so far. Dropped without an outcome, it tells that the caller left.
pub(super) struct Record {
    method: String,
    peer: Peer,
    refusals: Arc<Refusals>,
    caller: Option<String>,
    provider: Option<&'static str>,
    account: Option<&'static str>,
    told: bool,
}

impl Record {
    pub(super) fn new(path: &str, peer: Peer, refusals: &Arc<Refusals>) -> Self {
        Self {
            method: escape(&shorten(path, MAX_METHOD)).into_owned(),
            peer,
            refusals: Arc::clone(refusals),
            caller: None,
            provider: None,
            account: None,
            told: false,
        }
    }

    pub(super) fn admitted(&mut self, caller: &Caller) {
        self.caller = Some(caller.subject.to_string());
        // A name says little by itself: each provider has its own bob.
        self.provider = Some(caller.provider.as_str());
        self.account = caller.account.map(Account::as_str);
    }

    pub(super) fn refused(&mut self, refusal: &Refusal) {
        if let Some(caller) = &refusal.caller {
            self.admitted(caller);
        }
        let outcome = format!("{:?}", refusal.status.code());
        self.tell_refusal(&outcome, refusal.cause.as_deref());
    }

    /// One line, or a count that a later one tells: strangers must not be able to fill the log.
    fn tell_refusal(&mut self, outcome: &str, cause: Option<&str>) {
        self.told = true;
        let Some(told) = self.refusals.refused(self.peer, self.caller.is_some()) else {
            return;
        };
        if let Some(error) = cause {
            warn!(error, "cannot check tokens");
        }
        info!(
            target: TARGET,
            method = %self.method,
            caller = self.caller(),
            provider = self.provider,
            account = self.account,
            peer = %self.peer,
            outcome,
            refusals = told.refusals,
            suppressed = told.suppressed,
            "rpc refused"
        );
    }

    fn caller(&self) -> &str {
        self.caller.as_deref().unwrap_or_default()
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
        self.tell(&format!("{outcome:?}"), None);
    }

    fn tell(&mut self, outcome: &str, suppressed: Option<u64>) {
        self.told = true;
        info!(
            target: TARGET,
            method = %self.method,
            caller = self.caller(),
            provider = self.provider,
            account = self.account,
            peer = %self.peer,
            outcome,
            suppressed,
            "rpc"
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        const LEFT: &str = "CallerLeft";
        if self.told {
            return;
        }
        if self.caller.is_some() {
            self.tell(LEFT, None);
        } else if let Some(told) = self.refusals.left(self.peer) {
            // Nobody knows whether he would have been let in: no refusal, and no more lines either.
            self.tell(LEFT, Some(told.suppressed));
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;
    use crate::logging::captured::Written;
    use crate::serve::limits::Limits;

    #[tokio::test(start_paused = true)]
    async fn strangers_who_are_refused_or_leave_fill_no_log_and_are_counted() {
        let (log, _guard) = Written::of_this_thread();
        let refusals = Arc::new(Refusals::new(&Limits::default()));
        let peer = Peer::Net("10.0.0.1:1".parse().unwrap());
        let refusal = Refusal {
            cause: Some("the identity service is down".to_owned()),
            ..Status::unavailable("later").into()
        };
        for _ in 0..2048 {
            drop(Record::new("/x", peer, &refusals));
            Record::new("/x", peer, &refusals).refused(&refusal);
        }
        let audit = log.audit();
        // Twenty, then 32, 64, … 4,096.
        assert_eq!(audit.len(), 20 + 8);
        assert!(log.text().lines().count() <= 2 * audit.len());
        let suppressed = audit
            .iter()
            .map(|record| record["suppressed"].as_u64().unwrap());
        assert_eq!(suppressed.sum::<u64>() + 28, 4096);
        let said = |n: usize| (audit[n]["message"].as_str(), audit[n]["outcome"].as_str());
        assert_eq!(said(0), (Some("rpc"), Some("CallerLeft")));
        assert_eq!(said(1), (Some("rpc refused"), Some("Unavailable")));
        assert_eq!(audit[27]["refusals"], 2048, "who left was not refused");
    }

    #[tokio::test(start_paused = true)]
    async fn the_refusal_of_a_known_caller_is_one_line_that_names_him_whatever_strangers_do() {
        let (log, _guard) = Written::of_this_thread();
        let refusals = Arc::new(Refusals::new(&Limits::default()));
        for n in 0..5000_u32 {
            let stranger = Peer::Net((std::net::Ipv4Addr::from(n), 1).into());
            let refusal = Status::unauthenticated("no token").into();
            Record::new("/x", stranger, &refusals).refused(&refusal);
        }
        let before = log.audit().len();
        let peer = Peer::Net("0.0.0.9:1".parse().unwrap());
        for n in 0..100 {
            let mut refusal = Refusal::from(Status::permission_denied("not admin"));
            refusal.caller = Some(Caller {
                subject: "bob".parse().unwrap(),
                roles: std::collections::BTreeSet::new(),
                provider: mcp_identity::Provider::Local,
                account: None,
            });
            Record::new(&format!("/{n}"), peer, &refusals).refused(&refusal);
        }
        let audit = log.audit();
        assert_eq!(audit.len(), before + 100);
        for (n, line) in audit[before..].iter().enumerate() {
            assert_eq!(line["method"], format!("/{n}"));
            assert_eq!(
                (&line["caller"], &line["outcome"]),
                (&"bob".into(), &"PermissionDenied".into())
            );
        }
    }

    #[test]
    fn a_method_of_a_strangers_making_takes_little_of_the_log() {
        let peer = Peer::Local { uid: 0, pid: None };
        let refusals = Arc::new(Refusals::new(&Limits::default()));
        let mut record = Record::new(&"/x".repeat(8000), peer, &refusals);
        record.told = true;
        assert!(record.method.chars().count() <= MAX_METHOD + 1);
    }
}
