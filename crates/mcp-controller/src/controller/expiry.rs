//! Ending in time what did not begin in time, also behind an operation that takes long (S13).

use std::time::Duration;

use mcp_model::Expiry;
use mcp_model::operation::START_BY;
use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Loop;
use crate::port::Failure;

/// When it is tried again where the registry failed.
const AGAIN: Duration = Duration::from_mins(1);

impl Loop {
    pub(super) fn expire(&mut self) {
        let core = self.core.clone();
        self.expiring.spawn(async move {
            let now = core.ports.clock.now();
            core.ports.store.expire(now).await
        });
    }

    pub(super) fn expired(&mut self, ended: Result<Result<Expiry, Failure>, JoinError>) {
        let wait = match ended {
            Ok(Ok(expiry)) => {
                if !expiry.keys.is_empty() {
                    info!(steps = expiry.keys.len(), "steps expired before they began");
                    self.core.progress.send_modify(|count| *count += 1);
                }
                // What is accepted from now on is due after that.
                expiry.next.unwrap_or(START_BY).min(START_BY)
            }
            Ok(Err(error)) => {
                warn!(error = %error, "cannot expire operations");
                AGAIN
            }
            Err(panic) => {
                warn!(panic = %panic, "expiring operations panicked");
                AGAIN
            }
        };
        // A timer may be early by its own grain, and it is due only once it is due.
        self.expiry = Instant::now() + wait + Duration::from_millis(1);
    }
}
