//! The one layer that every RPC passes, health, reflection and unknown methods included (S42).
//!
//! ```text
//!  peer ─► place ─► authorization header ─► verifier ─► caller ─► admin? ─► api
//!     └─────────────── one line in the audit log, whatever comes of it ┘
//! ```

mod admission;
mod body;
mod deadline;
mod door;
mod kind;
mod record;
mod refusals;

use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_identity::Caller;
use mcp_model::NodeName;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::{BoxFuture, http};
use tower::{Layer, Service};

pub use admission::Admission;
pub use deadline::Deadline;
pub use door::Door;
pub use record::TARGET as AUDIT_TARGET;
pub use refusals::Refusals;

use crate::serve::limits::{self, Limits};
use crate::serve::{Guest, Visit};
use body::question;
use door::Refusal;
use kind::{Kind, Kinds};
use record::Record;

/// The response header that says what this agent can do (S44).
pub const API_LEVEL_HEADER: &str = "mcp-api-level";

/// The layer: cheap to clone, one per connection.
#[derive(Clone)]
pub struct Gate {
    door: Door,
    refusals: Arc<Refusals>,
    limits: Limits,
    kinds: Arc<Kinds>,
    node: http::HeaderValue,
}

impl Gate {
    /// The gate of `node` that lets in whom `door` admits.
    pub fn new(node: &NodeName, door: Door, refusals: Arc<Refusals>, limits: Limits) -> Self {
        let node = node.as_str().parse();
        Self {
            door,
            refusals,
            limits,
            kinds: Arc::new(Kinds::new()),
            node: node.expect("a name is plain ASCII"),
        }
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
        let Some(guest) = request.extensions_mut().remove::<Guest>() else {
            // Only where a service was mounted on connections that are not the agent's own.
            return Ok(Status::internal("the connection is not known").into_http());
        };
        let peer = guest.peer();
        let mut record = Record::new(request.uri().path(), peer, &self.refusals);
        let (mut visit, caller) = match self.enter(&guest, request.headers()).await {
            Ok(entered) => entered,
            Err(refusal) => {
                record.refused(&refusal);
                return Ok(refusal.status.into_http());
            }
        };
        visit.admitted();
        record.admitted(&caller);
        let kind = self.kinds.of(request.uri().path());
        let theirs = Deadline::of(request.headers());
        let extensions = request.extensions_mut();
        if let Some(deadline) = kind::deadline(kind, theirs, &self.limits) {
            extensions.insert(deadline);
        }
        extensions.insert(peer);
        extensions.insert(caller.clone());
        let admission = Admission {
            door: self.door.clone(),
            refusals: Arc::clone(&self.refusals),
            peer,
            caller,
            method: request.uri().path().to_owned(),
            shown: admission::shown(request.headers()),
        };
        request.extensions_mut().insert(admission);
        let response = self.timely(kind, request, call).await;
        record.answered(response.as_ref().ok());
        let mut response = response?;
        response
            .headers_mut()
            .insert(mcp_proto::NODE_KEY, self.node.clone());
        if kind == Kind::Stream {
            visit.streams();
        }
        let taken = match kind {
            Kind::Stream => body::stream,
            Kind::Call | Kind::Operation => body::answer,
        };
        Ok(response.map(|body| taken(body, visit, self.limits.call)))
    }

    /// Finds a place for the call, then out who calls: also calls without a token take places, or
    /// they could ask the verifier without end.
    async fn enter(&self, guest: &Guest, headers: &HeaderMap) -> Result<(Visit, Caller), Refusal> {
        let visit = guest.visit().ok_or_else(|| {
            Status::resource_exhausted(format!(
                "{} requests are under way on this connection: wait for one to end",
                limits::REQUESTS
            ))
        })?;
        let _turn = guest.introduction().await;
        let caller = self.door.admit(guest.peer(), headers).await?;
        Ok((visit, caller))
    }

    /// Makes the call with the time that its kind may take.
    async fn timely<E, F>(
        &self,
        kind: Kind,
        request: http::Request<Body>,
        call: impl FnOnce(http::Request<Body>) -> F,
    ) -> Result<http::Response<Body>, E>
    where
        F: Future<Output = Result<http::Response<Body>, E>>,
    {
        let by = Instant::now() + self.limits.call;
        match kind {
            Kind::Stream => call(request).await,
            Kind::Operation => call(request.map(|body| question(body, by))).await,
            Kind::Call => {
                let late = || Status::deadline_exceeded("the agent did not come to an answer");
                let answered = tokio::time::timeout_at(by, call(request)).await;
                answered.unwrap_or_else(|_| Ok(late().into_http()))
            }
        }
    }
}
