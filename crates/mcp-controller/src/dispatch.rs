//! Sending messages: stored first, sent then, marked last (S31). At least once, four at a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use mcp_model::Alert;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::port::{AlertSink, Store};
use crate::reconcile::Reconciler;

/// Most messages that are being sent at once.
const AT_ONCE: usize = 4;

/// When to look for messages again after the registry failed.
const RETRY: Duration = Duration::from_secs(5);

/// Sends what is stored and not known to be delivered, until `stop` is cancelled.
pub(crate) async fn run(core: Arc<Reconciler>, stop: CancellationToken) {
    let mut sending: JoinSet<i64> = JoinSet::new();
    let mut in_flight: HashSet<i64> = HashSet::new();
    loop {
        let room = AT_ONCE - sending.len();
        let mut failed = false;
        if room > 0 {
            let most = u32::try_from(AT_ONCE + in_flight.len()).unwrap_or(u32::MAX);
            match core.ports.store.undelivered(most).await {
                Ok(alerts) => {
                    let new = alerts.into_iter().filter(|(id, _)| !in_flight.contains(id));
                    let new: Vec<(i64, Alert)> = new.take(room).collect();
                    for (id, alert) in new {
                        in_flight.insert(id);
                        let (store, sink) = (core.ports.store.clone(), core.ports.alerts.clone());
                        sending.spawn(send(store, sink, id, alert, stop.clone()));
                    }
                }
                Err(error) => {
                    failed = true;
                    warn!(error = %error, "cannot read the messages to send");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = core.messages.notified() => {}
            Some(done) = sending.join_next() => {
                if let Ok(id) = done {
                    in_flight.remove(&id);
                }
            }
            () = tokio::time::sleep(RETRY), if failed => {}
        }
    }
    // What is being sent is bounded by the sink's own deadline.
    while sending.join_next().await.is_some() {}
}

async fn send(
    store: Arc<dyn Store>,
    sink: Arc<dyn AlertSink>,
    id: i64,
    alert: Alert,
    stop: CancellationToken,
) -> i64 {
    let outcome = match sink.deliver(&alert).await {
        Ok(()) => {
            info!(scope = %alert.scope, incident = %alert.incident, event = %alert.event, "alert sent");
            "sent".to_owned()
        }
        Err(failure) => {
            warn!(
                scope = %alert.scope, incident = %alert.incident, event = %alert.event,
                error = %failure, "alert failed"
            );
            failure.to_string()
        }
    };
    // Until it is marked, the place stays taken: a registry that cannot write must not turn one
    // message into hundreds.
    while let Err(error) = store.delivered(id, outcome.clone()).await {
        warn!(error = %error, "cannot store that an alert was sent");
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    id
}
