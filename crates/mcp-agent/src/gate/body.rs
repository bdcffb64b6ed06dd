//! Bodies that know what they hold and how long they may take.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

use crate::serve::Visit;

/// An answer's body; the call's place is taken until the caller has taken all of it, within `limit`.
pub(super) fn answer(inner: Body, visit: Visit, limit: Duration) -> Body {
    visit.answered(Instant::now() + limit);
    Body::new(Answer {
        inner,
        stream: None,
        visit,
    })
}

/// A stream's body. There is no end to what it says, so `limit` is for each word of it: one who takes
/// nothing is not asked again who they are, and would keep their place for ever.
pub(super) fn stream(inner: Body, visit: Visit, limit: Duration) -> Body {
    visit.answered(Instant::now() + limit);
    Body::new(Answer {
        inner,
        stream: Some(limit),
        visit,
    })
}

struct Answer {
    inner: Body,
    /// Of a stream: how long each word of it may lie there.
    stream: Option<Duration>,
    visit: Visit,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Some(limit) = self.stream {
            // More is asked for only when the word before has been taken, but for its very end.
            if polled.is_pending() {
                self.visit.listens();
            } else {
                self.visit.answered(Instant::now() + limit);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A request's body that has to arrive in time: an operation may take long, its question may not.
pub(super) fn question(inner: Body, by: Instant) -> Body {
    Body::new(Question {
        inner,
        late: Box::pin(tokio::time::sleep_until(by)),
    })
}

struct Question {
    inner: Body,
    late: Pin<Box<Sleep>>,
}

impl http_body::Body for Question {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let ready @ Poll::Ready(_) = Pin::new(&mut self.inner).poll_frame(cx) {
            return ready;
        }
        self.late.as_mut().poll(cx).map(|()| {
            let status = Status::deadline_exceeded("the request did not arrive in time");
            Some(Err(status))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
