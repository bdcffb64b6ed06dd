//! Sending messages: stored first, sent then, marked last (S31). At least once, in order for each
//! incident, four at a time over all of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use mcp_model::Alert;
use mcp_plan::alert::{TRIES, retry_after};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::port::Failure;
use crate::reconcile::Reconciler;

/// Most messages that are being sent at once.
const AT_ONCE: usize = 4;
/// Most messages that are in hand: being sent, or waiting for another try.
const IN_HAND: usize = 64;

/// When to look for messages again after the registry failed.
const RETRY: Duration = Duration::from_secs(5);

/// Sends what is stored and not known to be delivered, until `stop` is cancelled.
pub(crate) async fn run(core: Arc<Reconciler>, stop: CancellationToken) {
    let mut sending: JoinSet<i64> = JoinSet::new();
    let mut in_hand: HashSet<i64> = HashSet::new();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let failed = match undelivered(&core).await {
            Ok(alerts) => {
                for (id, alert) in alerts {
                    if in_hand.len() < IN_HAND && in_hand.insert(id) {
                        let message = Message {
                            id,
                            alert,
                            core: core.clone(),
                        };
                        sending.spawn(message.send(slots.clone(), stop.clone()));
                    }
                }
                false
            }
            Err(error) => {
                warn!(error = %error, "cannot read the messages to send");
                true
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = core.messages.notified() => {}
            Some(done) = sending.join_next() => {
                if let Ok(id) = done {
                    in_hand.remove(&id);
                }
            }
            () = tokio::time::sleep(RETRY), if failed => {}
        }
    }
    // What is being sent is bounded by the sink's own deadline.
    while sending.join_next().await.is_some() {}
}

/// The registry hands out the oldest message of each incident only. So no message overtakes another
/// one of its incident, whatever becomes of that.
async fn undelivered(core: &Reconciler) -> Result<Vec<(i64, Alert)>, Failure> {
    let most = u32::try_from(2 * IN_HAND).unwrap_or(u32::MAX);
    Failure::or_panic(core.ports.store.undelivered(most)).await
}

/// A stored message.
struct Message {
    id: i64,
    alert: Alert,
    core: Arc<Reconciler>,
}

impl Message {
    /// Sends it, and stores what became of it. Left alone where `stop` comes first: the next agent
    /// takes it up.
    async fn send(self, slots: Arc<Semaphore>, stop: CancellationToken) -> i64 {
        let Some(outcome) = self.tries(&slots, &stop).await else {
            return self.id;
        };
        self.core
            .publisher
            .delivery(self.core.ports.clock.now(), outcome.clone().err());
        let outcome = match outcome {
            Ok(()) => "sent".to_owned(),
            Err(failure) => format!("given up after {TRIES} tries: {failure}"),
        };
        // Until it is marked, the place stays taken: a registry that cannot write must not turn one
        // message into hundreds.
        let store = &self.core.ports.store;
        while let Err(error) = Failure::or_panic(store.delivered(self.id, outcome.clone())).await {
            warn!(error = %error, "cannot store that an alert was sent");
            if !waited(RETRY, &stop).await {
                break;
            }
        }
        self.id
    }

    /// Tries until it was sent, or often enough. A message that waits for its next try takes no
    /// place from others.
    async fn tries(
        &self,
        slots: &Semaphore,
        stop: &CancellationToken,
    ) -> Option<Result<(), Failure>> {
        let mut tried = 0;
        loop {
            let outcome = {
                let _slot = tokio::select! {
                    () = stop.cancelled() => return None,
                    slot = slots.acquire() => slot.ok()?,
                };
                Failure::or_panic(self.core.ports.alerts.deliver(&self.alert)).await
            };
            tried += 1;
            self.log(&outcome, tried);
            match retry_after(tried).filter(|_| outcome.is_err()) {
                None => return Some(outcome),
                Some(wait) if waited(wait, stop).await => {}
                Some(_) => return None,
            }
        }
    }

    fn log(&self, outcome: &Result<(), Failure>, tried: u32) {
        let alert = &self.alert;
        match outcome {
            Ok(()) => {
                info!(scope = %alert.scope, incident = %alert.incident, event = %alert.event, tried, "alert sent");
            }
            Err(failure) => warn!(
                scope = %alert.scope, incident = %alert.incident, event = %alert.event, tried,
                error = %failure, "alert failed"
            ),
        }
    }
}

/// Whether the time has passed, and not the agent been told to stop.
async fn waited(time: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}
