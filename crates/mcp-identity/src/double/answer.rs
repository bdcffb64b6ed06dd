//! What is answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{AUTHORIZATION, LOCATION};
use hyper::{Method, Request, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Behaviour, Shared};

type Body = BoxBody<Bytes, Infallible>;

/// How long a token from a login is valid.
const VALID: Duration = Duration::from_hours(1);

pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let bearer = head.headers.get(AUTHORIZATION).cloned();
    // A client that leaves in the middle of its request gets no answer anyway.
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let body: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    if path == "/v1/auth/login" {
        shared.book().last_login = Some(body.clone());
    }
    shared.counts.send_modify(|counts| {
        counts.all += 1;
        counts.logins += usize::from(path == "/v1/auth/login");
        counts.validations += usize::from(path == "/v1/token/validate");
    });

    let mut behaviours = shared.behaviour.subscribe();
    let speaks = behaviours.wait_for(|now| *now != Behaviour::Silent).await;
    let behaviour = speaks.map_or(Behaviour::Status(500), |now| now.clone());
    Ok(match behaviour {
        Behaviour::Honest | Behaviour::Silent => {
            let (status, answer) = match (&head.method, path.as_str()) {
                (&Method::POST, "/v1/auth/login") => login(&shared, &body),
                (&Method::POST, "/v1/token/validate") => {
                    let header = bearer.as_ref().and_then(|value| value.to_str().ok());
                    validate(&shared, header)
                }
                _ => (404, json!({ "error": "no such thing" })),
            };
            response(status, answer.to_string())
        }
        Behaviour::Stalling => stalling(behaviours),
        Behaviour::Status(status) => response(status, String::new()),
        Behaviour::Saying(text) => response(200, text),
        Behaviour::Endless => Response::new(endless()),
        Behaviour::Redirecting(status, base) => {
            let mut response = response(status, String::new());
            let to = format!("{base}{path}").parse().expect("a header's value");
            response.headers_mut().insert(LOCATION, to);
            response
        }
    })
}

fn response(status: u16, text: String) -> Response<Body> {
    let mut response = Response::new(Full::from(text).boxed());
    *response.status_mut() = status.try_into().expect("an HTTP status");
    response
}

fn stalling(mut behaviours: tokio::sync::watch::Receiver<Behaviour>) -> Response<Body> {
    let begin = stream::iter([Ok(Frame::data(Bytes::from_static(b"{\"valid\":")))]);
    let end = stream::once(async move {
        let _ = behaviours.wait_for(|now| *now != Behaviour::Stalling).await;
        Ok(Frame::data(Bytes::from_static(b"false}")))
    });
    Response::new(BodyExt::boxed(StreamBody::new(begin.chain(end))))
}

fn endless() -> Body {
    let blanks = Bytes::from_static(&[b' '; 4096]);
    BodyExt::boxed(StreamBody::new(stream::repeat_with(move || {
        Ok(Frame::data(blanks.clone()))
    })))
}

fn login(shared: &Shared, body: &Value) -> (u16, Value) {
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    let username = text("username");
    let account = shared.book().accounts.get(&username).cloned();
    let Some(account) = account.filter(|account| account.password == text("password")) else {
        return (401, json!({ "error": "invalid credentials" }));
    };
    if !account.allowed {
        return (403, json!({ "error": "denied by policy" }));
    }
    let token = shared.issue(&username, account.roles, VALID);
    let expires = Timestamp::now() + VALID;
    let answer = json!({
        "token": token.secret(), "expires_at": expires.to_string(), "hint": "welcome",
    });
    (200, answer)
}

fn validate(shared: &Shared, header: Option<&str>) -> (u16, Value) {
    let token = header.and_then(|value| value.strip_prefix("Bearer "));
    let Some(token) = token else {
        return (401, json!({ "error": "no token" }));
    };
    let issue = shared.book().tokens.get(token).cloned();
    match issue.filter(|issue| Timestamp::now() < issue.expires) {
        None => (200, json!({ "valid": false })),
        Some(issue) => {
            let answer = json!({
                "valid": true,
                "subject": "5f0a3c1e-0000-4000-8000-000000000000",
                "username": issue.username,
                "account_type": "human",
                "roles": issue.roles,
                "expires_at": issue.expires.to_string(),
                "a_later_field": { "of": ["any", "type"] },
            });
            (200, answer)
        }
    }
}
