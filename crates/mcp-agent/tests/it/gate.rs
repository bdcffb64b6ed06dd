//! What the gate lets in and what it does not. Who is refused is in `authentication`.

use std::time::Duration;

use mcp_proto::v1::ListServicesRequest;
use mcp_proto::v1::mcp_agent_service_client::McpAgentServiceClient;
use tonic::Code;

use crate::support::{Bearer, Node};

#[tokio::test]
async fn a_revocation_counts_from_the_next_call_on() {
    let node = Node::start().await;
    let channel = node.channel().await;
    for n in 0..50 {
        let subject = format!("bob-{n}");
        let token = node.issue(&subject, "admin", Duration::from_hours(1)).await;
        let mut client = McpAgentServiceClient::with_interceptor(channel.clone(), Bearer(token));
        let list = ListServicesRequest {};
        client.list_services(list).await.unwrap();
        let selector = mcp_registry::TokenSelector::Subject(subject);
        let at = crate::support::now();
        node.running
            .registry()
            .revoke_tokens(selector, at)
            .await
            .unwrap();
        let refused = client.list_services(list).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
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
