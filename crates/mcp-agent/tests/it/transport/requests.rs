//! Requests: how many, how large, how long, and who takes the answer.

use mcp_identity::double::{Behaviour, IdentityService};
use mcp_proto::v1;
use tonic::Code;
use tonic::codegen::{Bytes, http};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::raw::connect;
use super::{FOREVER, SHORT, assert_serves, node, within};
use crate::support::{Bearer, Node};

/// The head of a call by hand.
pub(super) fn head(path: &str, token: Option<&str>) -> http::Request<()> {
    let mut request = http::Request::post(format!("https://agent{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(()).unwrap()
}

fn code(headers: &http::HeaderMap) -> Option<Code> {
    let code = headers.get("grpc-status")?;
    Some(Code::from_bytes(code.as_bytes()))
}

/// Makes a call with this body, ended or left open; the code that it is answered with.
async fn answer(node: &Node, path: &str, encoding: Option<&str>, body: Vec<u8>, end: bool) -> Code {
    let stream = connect(node, "127.0.0.1").await.unwrap();
    let (mut calls, connection) = h2::client::handshake(stream).await.unwrap();
    let mut request = head(path, Some(&node.token));
    if let Some(encoding) = encoding {
        let value = encoding.parse().unwrap();
        request.headers_mut().insert("grpc-encoding", value);
    }
    let (response, mut sending) = calls.send_request(request, false).unwrap();
    sending.send_data(body.into(), end).unwrap();
    let answered = async move {
        let response = response.await.unwrap();
        let at_once = code(response.headers());
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            data.unwrap();
        }
        let trailers = body.trailers().await.unwrap();
        at_once.or_else(|| code(&trailers?)).expect("a code")
    };
    tokio::select! {
        code = within("an answer", answered) => code,
        ended = connection => panic!("{ended:?}"),
    }
}

#[tokio::test]
async fn requests_beyond_the_32nd_of_a_connection_are_turned_away_and_streams_count() {
    let node = node(|_| {}).await;
    let channel = node.channel().await;
    let bearer = Bearer(node.token.clone());
    let mut health = HealthClient::with_interceptor(channel.clone(), bearer.clone());
    let mut watching = Vec::new();
    for _ in 0..32 {
        let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
        watching.push(watch.into_inner());
    }
    let mut client =
        v1::mcp_agent_service_client::McpAgentServiceClient::with_interceptor(channel, bearer);
    let list = || v1::ListServicesRequest {};
    let refused = client.list_services(list()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    // One connection's requests are nobody else's affair.
    assert_serves(&node).await;
    watching.pop();
    within("a place is free again", async {
        while client.list_services(list()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_never_arrives_is_given_up_and_a_stream_is_not() {
    let node = node(|limits| limits.call = SHORT).await;
    let mut health =
        HealthClient::with_interceptor(node.channel().await, Bearer(node.token.clone()));
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watching = watch.into_inner();
    assert!(watching.message().await.unwrap().is_some());
    for method in ["ListServices", "Deploy"] {
        let path = format!("/mcp.v1.McpAgentService/{method}");
        let code = answer(&node, &path, None, Vec::new(), false).await;
        assert_eq!(code, Code::DeadlineExceeded, "{method}");
    }
    assert!(futures::poll!(std::pin::pin!(watching.message())).is_pending());
}

#[tokio::test]
async fn a_caller_that_takes_no_answer_loses_the_connection() {
    let node = node(|limits| limits.call = SHORT).await;
    let stream = connect(&node, "127.0.0.1").await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let (mut calls, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let request = head("/mcp.v1.McpAgentService/ListServices", Some(&node.token));
    let (response, mut sending) = calls.send_request(request, false).unwrap();
    sending.send_data(vec![0; 5].into(), true).unwrap();
    let unread = async {
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        // Held, and nothing of its body is taken.
        (response, calls)
    };
    within("the agent ends the connection", async {
        let (_held, _) = tokio::join!(unread, connection);
    })
    .await;
    assert_serves(&node).await;
}

#[tokio::test]
async fn a_stream_that_nobody_takes_loses_the_connection_and_one_that_is_quiet_does_not() {
    let node = node(|limits| limits.call = SHORT).await;
    let mut health =
        HealthClient::with_interceptor(node.channel().await, Bearer(node.token.clone()));
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut quiet = watch.into_inner();
    assert!(quiet.message().await.unwrap().is_some());
    for path in [
        "/grpc.health.v1.Health/Watch",
        "/mcp.v1.McpAgentService/Watch",
    ] {
        let stream = connect(&node, "127.0.0.1").await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0);
        let (mut calls, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
        let (response, mut sending) = calls
            .send_request(head(path, Some(&node.token)), false)
            .unwrap();
        sending.send_data(vec![0; 5].into(), true).unwrap();
        let unread = async { (response.await.unwrap(), calls) };
        within("the agent ends the connection", async {
            let (_held, _) = tokio::join!(unread, connection);
        })
        .await;
    }
    assert!(futures::poll!(std::pin::pin!(quiet.message())).is_pending());
}

#[tokio::test]
async fn made_up_tokens_of_one_connection_are_asked_about_one_at_a_time() {
    let service = IdentityService::start();
    let node = Node::start_with(|config| {
        config.auth.provider = mcp_config::agent::Provider::Mcias;
        config.mcias.server_url = Some(service.url());
        config.mcias.ca_cert = Some(service.ca_cert());
    })
    .await;
    let admin = service.issue("root", &["admin"], FOREVER);
    service.behave(Behaviour::Silent);
    let stream = connect(&node, "127.0.0.1").await.unwrap();
    let (mut calls, connection) = h2::client::handshake(stream).await.unwrap();
    let list = "/mcp.v1.McpAgentService/ListServices";
    let flood = async {
        let mut answers = Vec::new();
        for n in 0..33 {
            let request = head(list, Some(&format!("made-up-{n}")));
            answers.push(calls.send_request(request, true).unwrap().0);
            std::future::poll_fn(|cx| calls.poll_ready(cx))
                .await
                .unwrap();
        }
        // All places are taken: everybody is at the gate.
        let refused = answers.pop().unwrap().await.unwrap();
        assert_eq!(code(refused.headers()), Some(Code::ResourceExhausted));
        answers
    };
    let honest = async {
        let answers = flood.await;
        let mut client = v1::mcp_agent_service_client::McpAgentServiceClient::with_interceptor(
            node.channel().await,
            Bearer(admin.secret().to_owned()),
        );
        let meanwhile = async {
            service.came(|counts| counts.validations >= 2).await;
            assert_eq!(service.counts().validations, 2, "one of each connection");
            service.behave(Behaviour::Honest);
        };
        let (listed, ()) =
            tokio::join!(client.list_services(v1::ListServicesRequest {}), meanwhile);
        listed.unwrap();
        for answer in answers {
            let refused = answer.await.unwrap();
            assert_eq!(code(refused.headers()), Some(Code::Unauthenticated));
        }
        assert_eq!(service.counts().validations, 33);
    };
    tokio::select! {
        () = within("everybody is answered", honest) => {}
        ended = connection => panic!("{ended:?}"),
    }
}

#[tokio::test]
async fn giant_and_compressed_messages_are_refused_before_they_are_read() {
    let node = node(|_| {}).await;
    let push = "/mcp.v1.McpAgentService/PushFile";
    // Five bytes that promise four gigabytes.
    let giant = vec![0, 255, 255, 255, 255];
    assert_eq!(
        answer(&node, push, None, giant, false).await,
        Code::OutOfRange
    );
    // A compressed message, whatever it would become.
    let bomb = vec![1, 0, 0, 0, 1, 0];
    let code = answer(&node, push, Some("gzip"), bomb, true).await;
    assert_eq!(code, Code::Unimplemented);
    assert_serves(&node).await;
}
