//! The one layer: every RPC that there is, and some that there are not, with every kind of caller.

use std::time::Duration;

use mcp_proto::descriptor::methods;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Channel;
use tower::{Service as _, ServiceExt as _};

use crate::support::{Node, deploy, hello};

/// Paths of every RPC of the protocol, of the infrastructure beside it, and of none.
fn paths() -> Vec<String> {
    let mut paths: Vec<String> = methods()
        .iter()
        .map(mcp_proto::descriptor::Method::path)
        .collect();
    assert!(paths.len() >= 18, "the descriptors were read");
    paths.extend(
        [
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            "/mcp.v1.LocalAdminService/IssueToken",
            "/mcp.v1.McpAgentService/NoSuchMethod",
            "/no.such.Service/Method",
            "/",
        ]
        .map(str::to_owned),
    );
    paths
}

struct Answer {
    code: Option<Code>,
    message: String,
    level: Option<String>,
}

/// Calls a method by its path, with these values of the authorization header, and an empty body.
async fn call(channel: &mut Channel, path: &str, authorization: &[&str]) -> Answer {
    let mut request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for value in authorization {
        request = request.header("authorization", *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    let header = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
    Answer {
        code: header("grpc-status").map(|code| Code::from_bytes(code.as_bytes())),
        message: header("grpc-message").unwrap_or_default(),
        level: header("mcp-api-level"),
    }
}

#[tokio::test]
async fn every_rpc_is_refused_to_every_caller_who_may_not() {
    let node = Node::start().await;
    let mut channel = node.channel().await;
    let hour = Duration::from_hours(1);
    let bearer = |token: &str| format!("Bearer {token}");
    let admin = bearer(&node.issue("root", "admin", hour).await);
    let viewer = bearer(&node.issue("eve", "viewer", hour).await);
    let expired = bearer(&node.issue("late", "admin", Duration::ZERO).await);
    let revoked = bearer(&node.issue("gone", "admin", hour).await);
    let selector = mcp_registry::TokenSelector::Id("gone".to_owned());
    let at = crate::support::now();
    node.running
        .registry()
        .revoke_tokens(selector, at)
        .await
        .unwrap();
    let unknown = bearer(mcp_identity::Token::generate().secret());

    let callers: [(&str, &[&str], Code, &str); 9] = [
        ("missing", &[], Code::Unauthenticated, "no%20token"),
        (
            "another scheme",
            &["Basic YWxpY2U6cHc="],
            Code::Unauthenticated,
            "Bearer",
        ),
        (
            "no token",
            &["Bearer "],
            Code::Unauthenticated,
            "no%20token",
        ),
        (
            "no token's form",
            &["Bearer abc"],
            Code::Unauthenticated,
            "not%20a%20token",
        ),
        (
            "two headers",
            &[&admin, &admin],
            Code::Unauthenticated,
            "more%20than%20one",
        ),
        (
            "unknown",
            &[&unknown],
            Code::Unauthenticated,
            "does%20not%20know",
        ),
        ("expired", &[&expired], Code::Unauthenticated, "expired"),
        ("revoked", &[&revoked], Code::Unauthenticated, "revoked"),
        ("not admin", &[&viewer], Code::PermissionDenied, "admin"),
    ];
    for path in paths() {
        for (what, authorization, code, word) in callers {
            let answer = call(&mut channel, &path, authorization).await;
            assert_eq!(answer.code, Some(code), "{path} with {what}");
            let message = answer.message.replace(' ', "%20");
            assert!(message.contains(word), "{path} with {what}: {message}");
            assert_eq!(answer.level.as_deref(), Some("1"), "{path} with {what}");
        }
        // The gate is what refused them, and not the lack of a proper request.
        let answer = call(&mut channel, &path, &[&admin]).await;
        let refused = matches!(
            answer.code,
            Some(Code::Unauthenticated | Code::PermissionDenied)
        );
        assert!(!refused, "{path}: {:?}", answer.code);
        assert_eq!(answer.level.as_deref(), Some("1"), "{path}");
    }
    assert!(node.fake.mutations().is_empty());
    assert!(node.running.registry().services().await.unwrap().is_empty());
    assert_eq!(node.running.registry().audits(10).await.unwrap(), []);
}

#[tokio::test]
async fn a_revocation_counts_from_the_next_call_on() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let selector = mcp_registry::TokenSelector::Subject("alice".to_owned());
    let at = crate::support::now();
    node.running
        .registry()
        .revoke_tokens(selector, at)
        .await
        .unwrap();
    let refused = client.deploy(deploy(hello())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn what_a_later_release_brings_says_so() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let refused = client
        .push_file(mcp_proto::v1::PushFileRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("later release"), "{refused}");
}

#[tokio::test]
async fn four_mebibytes_of_content_fit_and_more_does_not() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let push = |bytes: usize| mcp_proto::v1::PushFileRequest {
        content: vec![7; bytes],
        ..Default::default()
    };
    let fits = client
        .push_file(push(mcp_proto::MAX_FILE_BYTES))
        .await
        .unwrap_err();
    assert_eq!(fits.code(), Code::Unimplemented, "it was read");
    let more = client
        .push_file(push(mcp_proto::MAX_MESSAGE_BYTES + 1))
        .await
        .unwrap_err();
    assert_eq!(more.code(), Code::OutOfRange);
}
