//! Bodies that know what they hold and how long they may take.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

use crate::serve::Visit;

/// An answer's body; the call's place is taken until the caller has taken all of it.
pub(super) fn answer(inner: Body, visit: Visit) -> Body {
    Body::new(Answer {
        inner,
        _visit: visit,
    })
}

struct Answer {
    inner: Body,
    _visit: Visit,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
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
