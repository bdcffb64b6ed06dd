//! The stream of what happens. It ends when the caller goes, when the agent stops, and when the
//! caller would not be let in any more.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use mcp_model::ServiceName;
use mcp_proto::convert::field;
use mcp_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::Streaming;
use crate::gate::Admission;
use crate::watch::{Cursor, Journal, Reader};

/// Streams at a time on the node, whoever holds them.
const STREAMS: usize = 128;

/// How often the caller of a stream passes the gate again: a revoked token keeps its streams no
/// longer than that.
const RENEWAL: Duration = Duration::from_secs(30);

/// What watching needs.
pub struct Watching {
    journal: Journal,
    closing: CancellationToken,
    streams: Arc<Semaphore>,
}

impl Watching {
    /// Tells what `journal` says. Streams end when `closing` is cancelled: they would hold up the
    /// end of the server.
    pub fn new(journal: Journal, closing: CancellationToken) -> Self {
        Self {
            journal,
            closing,
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    pub(super) fn watch(
        &self,
        request: &Request<v1::WatchRequest>,
    ) -> Result<Streaming<v1::WatchResponse>, Status> {
        // Absent only where a service was mounted without the gate, which must never go unnoticed.
        let admission = request
            .extensions()
            .get::<Admission>()
            .cloned()
            .ok_or_else(|| Status::internal("the call did not pass the gate"))?;
        let wire = request.get_ref();
        let service: Option<ServiceName> = field::optional("service", &wire.service)?;
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{STREAMS} streams are open on this node already"))
        })?;
        let stream = Stream {
            reader: self.journal.read(Cursor::from_wire(wire.cursor), service),
            closing: self.closing.clone(),
            admission,
            renewal: Instant::now() + RENEWAL,
            _permit: permit,
        };
        Ok(Box::pin(stream::unfold(Some(stream), |stream| async {
            let mut stream = stream?;
            let item = stream.next().await;
            let go_on = item.is_ok().then_some(stream);
            Some((item, go_on))
        })))
    }
}

/// One caller's stream.
struct Stream {
    reader: Reader,
    closing: CancellationToken,
    admission: Admission,
    renewal: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    /// The next message, or why there is none any more.
    async fn next(&mut self) -> Result<v1::WatchResponse, Status> {
        let closing = self.closing.clone();
        tokio::select! {
            biased;
            () = closing.cancelled() => Err(Status::unavailable("the agent is stopping")),
            item = self.admitted() => item,
        }
    }

    async fn admitted(&mut self) -> Result<v1::WatchResponse, Status> {
        loop {
            tokio::select! {
                // First: one who always has something to read is asked all the same.
                biased;
                () = tokio::time::sleep_until(self.renewal) => {
                    self.admission.renew().await?;
                    self.renewal = Instant::now() + RENEWAL;
                }
                message = self.reader.next() => return Ok(message),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::StreamExt as _;
    use mcp_identity::{Caller, Provider, Role, Verifier, VerifyError};
    use mcp_proto::v1::watch_response::Change;
    use tonic::Code;

    use super::*;
    use crate::gate::{Door, Refusals};
    use crate::logging::captured::Written;
    use crate::watch::Limits;

    /// Knows one token until it is revoked.
    #[derive(Default)]
    struct Tokens(AtomicBool);

    #[async_trait::async_trait]
    impl Verifier for Tokens {
        async fn verify(&self, _: &str) -> Result<Caller, VerifyError> {
            if self.0.load(Ordering::Relaxed) {
                return Err(VerifyError::Revoked);
            }
            Ok(alice())
        }
    }

    fn alice() -> Caller {
        Caller {
            subject: "alice".parse().expect("a subject"),
            roles: [Role::admin()].into(),
            provider: Provider::Local,
            account: None,
        }
    }

    fn request(tokens: &Arc<Tokens>) -> Request<v1::WatchRequest> {
        let mut request = Request::new(v1::WatchRequest::default());
        let door = Door::Network(Arc::clone(tokens) as Arc<dyn Verifier>);
        let refusals = Refusals::new(&crate::serve::limits::Limits::default());
        let admission = Admission::shown_to(door, Arc::new(refusals), alice(), "Bearer abc");
        request.extensions_mut().insert(admission);
        request
    }

    fn watching() -> Watching {
        let (journal, writer) = Journal::new(Limits::default());
        writer.start_empty();
        Watching::new(journal, CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_stream_whose_token_was_revoked_is_one_line_of_the_audit_log() {
        let (log, _guard) = Written::of_this_thread();
        let (watching, tokens) = (watching(), Arc::new(Tokens::default()));
        let stream = watching.watch(&request(&tokens)).unwrap();
        tokens.0.store(true, Ordering::Relaxed);
        let told: Vec<_> = tokio::time::timeout(RENEWAL * 2, stream.collect())
            .await
            .expect("it ends");
        assert!(told.last().unwrap().is_err());
        let audit = log.audit();
        assert_eq!(audit.len(), 1, "{audit:?}");
        assert_eq!(audit[0]["message"], "rpc refused");
        assert_eq!(audit[0]["method"], "/test");
        assert_eq!(audit[0]["caller"], "alice");
        assert_eq!(audit[0]["peer"], "local:uid=0");
        assert_eq!(audit[0]["outcome"], "Unauthenticated");
        assert_eq!(audit[0]["refusals"], 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_revoked_token_keeps_its_stream_no_longer_than_half_a_minute() {
        let (watching, tokens) = (watching(), Arc::new(Tokens::default()));
        let mut stream = watching.watch(&request(&tokens)).unwrap();
        for expected in [Change::Resync(true), Change::Complete(true)] {
            let message = stream.next().await.unwrap().unwrap();
            assert_eq!(message.change, Some(expected));
        }
        let begun = Instant::now();
        let quiet = tokio::time::timeout(RENEWAL * 10, stream.next()).await;
        assert!(quiet.is_err(), "a good token keeps it");
        tokens.0.store(true, Ordering::Relaxed);
        let revoked = Instant::now();
        let refused = tokio::time::timeout(RENEWAL * 2, stream.next()).await;
        let refused = refused.expect("it ends").unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(revoked.elapsed() <= RENEWAL && revoked > begun);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn more_streams_than_the_node_has_room_for_are_refused_until_one_ends() {
        let (watching, tokens) = (watching(), Arc::new(Tokens::default()));
        let open = || watching.watch(&request(&tokens));
        let mut streams: Vec<_> = (0..STREAMS).map(|_| open().unwrap()).collect();
        let refused = open().err().unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        streams.pop();
        assert!(open().is_ok());
    }
}
