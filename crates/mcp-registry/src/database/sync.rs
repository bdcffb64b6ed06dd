//! Storing a sync: intent and audit in one transaction (S8, S42).

use super::audit::{self, NewAudit};
use super::{Database, intent, services};
use crate::decide::{ServiceChange, SyncOutcome, SyncRequest, check_overwrites, decide_sync};
use crate::error::{AcceptError, RegistryError};

const OPERATION: &str = "store the desired state";

impl Database {
    /// Stores the intent of every service of the request, or of none. Where nothing changes, only
    /// the audit record is written.
    pub fn sync(&mut self, request: &SyncRequest) -> Result<SyncOutcome, AcceptError> {
        let sql = |source| RegistryError::sql(OPERATION, source);
        self.try_write(OPERATION, |tx| {
            let known = services::services(tx).map_err(sql)?;
            let (changes, outcome) = decide_sync(&request.services, &known)?;
            if !request.force {
                let old = |change: &ServiceChange| known.iter().find(|s| s.name == change.service);
                let all = changes.iter().map(|change| (change, old(change)));
                check_overwrites(all, &request.origin, request.at)?;
            }
            let store = || {
                for change in &changes {
                    intent::apply(tx, change, &request.origin, &request.at)?;
                }
                let names: Vec<_> = request.services.iter().map(|s| s.name.as_str()).collect();
                let record = NewAudit {
                    at: request.at.wall,
                    origin: request.origin.clone(),
                    operation: None,
                    object: names.join(" "),
                    message: request.message.clone(),
                };
                let id = audit::insert(tx, &record)?;
                audit::finish(tx, id, "succeeded", request.at.wall)
            };
            store().map_err(sql)?;
            Ok(outcome)
        })
    }
}
