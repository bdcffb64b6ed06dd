//! Connections: how many, how long, whose.

use mcp_proto::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::raw::connect;
use super::{SHORT, assert_serves, node, within};

/// Whether the other end has closed it, at last.
async fn ends(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut rest = Vec::new();
    // However it ends: what counts is that it does.
    let _ = within(
        "the agent ends the connection",
        stream.read_to_end(&mut rest),
    )
    .await;
}

#[tokio::test]
async fn a_flood_of_idle_connections_gives_way_to_honest_clients() {
    let node = node(|limits| limits.connections = 8).await;
    let mut known = node.client().await;
    let list = || v1::ListServicesRequest {};
    known.list_services(list()).await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(connect(&node, "127.0.0.1").await.unwrap());
    }
    assert_serves(&node).await;
    // Those who were longest there had to go, and nobody who had shown a token.
    ends(crowd.remove(0)).await;
    known.list_services(list()).await.unwrap();
}

#[tokio::test]
async fn stalled_handshakes_give_way_to_honest_clients() {
    let node = node(|limits| limits.connections = 8).await;
    let mut crowd = Vec::new();
    for round in 0..40 {
        let mut silent = TcpStream::connect(node.running.address()).await.unwrap();
        if round % 2 == 0 {
            // The head of a TLS record that never comes.
            silent.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        }
        crowd.push(silent);
    }
    assert_serves(&node).await;
    ends(crowd.remove(0)).await;
}

#[tokio::test]
async fn a_handshake_that_stalls_is_ended() {
    let node = node(|limits| limits.handshake = SHORT).await;
    ends(TcpStream::connect(node.running.address()).await.unwrap()).await;
}

#[tokio::test]
async fn a_connection_without_a_call_is_ended() {
    let node = node(|limits| limits.first_call = SHORT).await;
    ends(connect(&node, "127.0.0.1").await.unwrap()).await;
}

#[tokio::test]
async fn calls_that_are_refused_do_not_make_a_connection_last() {
    let node = node(|limits| limits.first_call = SHORT).await;
    let stream = connect(&node, "127.0.0.1").await.unwrap();
    let (mut calls, connection) = h2::client::handshake(stream).await.unwrap();
    let refused = async move {
        loop {
            let request = super::requests::head("/mcp.v1.McpAgentService/ListServices", None);
            let Ok((answer, _)) = calls.send_request(request, true) else {
                break;
            };
            if answer.await.is_err() {
                break;
            }
        }
    };
    within("the agent ends the connection", async {
        let _ = tokio::join!(refused, connection);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_idle_for_long_is_ended() {
    let node = node(|limits| {
        limits.idle = SHORT;
        // A connection is looked at this often.
        limits.call = SHORT;
    })
    .await;
    let stream = connect(&node, "127.0.0.1").await.unwrap();
    let (mut calls, connection) = h2::client::handshake(stream).await.unwrap();
    let request = super::requests::head("/mcp.v1.McpAgentService/ListServices", Some(&node.token));
    let (answer, mut body) = calls.send_request(request, false).unwrap();
    body.send_data(vec![0; 5].into(), true).unwrap();
    let answered = async {
        answer.await.unwrap();
        // Kept open by us: the agent is the one who ends it.
        calls
    };
    within("the agent ends the connection", async {
        let (_calls, _) = tokio::join!(answered, connection);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_given_up() {
    let node = node(|limits| {
        limits.keepalive_interval = SHORT;
        limits.keepalive_timeout = SHORT;
    })
    .await;
    let mut raw = super::raw::Raw::open(&node).await;
    let ping = within("a ping", raw.await_one(&[super::raw::PING])).await;
    assert!(ping.is_some());
    ends(raw.stream).await;
}
