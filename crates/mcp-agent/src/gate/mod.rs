//! The one layer that every RPC passes, health, reflection and unknown methods included (S42).
//!
//! ```text
//!  peer ─► authorization header ─► verifier ─► caller ─► admin? ─► api
//!     └──────────────── one line in the audit log, whatever comes of it ┘
//! ```

mod admission;
mod deadline;
mod door;
mod record;
mod refusals;

use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{BoxFuture, http};
use tower::{Layer, Service};

pub use admission::Admission;
pub use deadline::Deadline;
pub use door::Door;
pub use record::TARGET as AUDIT_TARGET;
pub use refusals::Refusals;

use crate::serve::Peer;
use record::Record;

/// The response header that says what this agent can do (S44).
pub const API_LEVEL_HEADER: &str = "mcp-api-level";

/// The layer: cheap to clone, one per connection.
#[derive(Clone)]
pub struct Gate {
    door: Door,
    refusals: Arc<Refusals>,
}

impl Gate {
    /// A gate that lets in whom `door` admits.
    pub fn new(door: Door, refusals: Arc<Refusals>) -> Self {
        Self { door, refusals }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            inner,
            gate: self.clone(),
        }
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S> Service<http::Request<Body>> for Gated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // The clone may not be ready; the one that was polled is.
        let spare = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, spare);
        let gate = self.gate.clone();
        Box::pin(async move {
            let mut response = gate.pass(request, |request| inner.call(request)).await?;
            let level = http::HeaderValue::from(mcp_proto::API_LEVEL);
            response.headers_mut().insert(API_LEVEL_HEADER, level);
            Ok(response)
        })
    }
}

impl Gate {
    async fn pass<E, F>(
        &self,
        mut request: http::Request<Body>,
        call: impl FnOnce(http::Request<Body>) -> F,
    ) -> Result<http::Response<Body>, E>
    where
        F: Future<Output = Result<http::Response<Body>, E>>,
    {
        let peer = request.extensions().get::<Peer>().copied();
        let mut record = Record::new(request.uri().path(), peer);
        let caller = match self.door.admit(peer, request.headers()).await {
            Ok(caller) => caller,
            Err(refusal) => {
                let count = self.refusals.count(peer);
                record.refused(refusal.caller.as_ref(), refusal.status.code(), count);
                return Ok(refusal.status.into_http());
            }
        };
        record.admitted(&caller);
        if let Some(deadline) = Deadline::of(request.headers()) {
            request.extensions_mut().insert(deadline);
        }
        request.extensions_mut().insert(caller);
        let admission = Admission {
            door: self.door.clone(),
            refusals: Arc::clone(&self.refusals),
            peer,
            method: request.uri().path().to_owned(),
            shown: admission::shown(request.headers()),
        };
        request.extensions_mut().insert(admission);
        let response = call(request).await;
        record.answered(response.as_ref().ok());
        response
    }
}
