//! Frames: peers who break the rules of HTTP/2, or follow them to the letter.

use super::raw::{
    CONTINUATION, END_HEADERS, ENHANCE_YOUR_CALM, Frame, GOAWAY, HEADERS, PING, REFUSED_STREAM,
    RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, call, fields,
};
use super::{assert_serves, node, within};

const LIST: &str = "/mcp.v1.McpAgentService/ListServices";

/// The `n`th stream of a client.
fn stream(n: u32) -> u32 {
    2 * n + 1
}

#[tokio::test]
async fn the_agent_says_its_limits_at_once() {
    let node = node(|_| {}).await;
    let mut raw = Raw::open(&node).await;
    let settings = within("settings", raw.await_one(&[SETTINGS]))
        .await
        .unwrap();
    let said = |id: u16| {
        let mut pairs = settings.payload.chunks_exact(6);
        let value = pairs.find(|pair| pair[..2] == id.to_be_bytes())?;
        Some(u32::from_be_bytes(value[2..].try_into().unwrap()))
    };
    // Streams, bytes that are held of one, bytes of a list of headers (RFC 9113, 6.5.2).
    assert_eq!(said(3), Some(64));
    assert_eq!(said(4), Some(128 * 1024));
    assert_eq!(said(6), Some(16 * 1024));
    // The connection's window begins at 64 KiB - 1 by the RFC and is raised from there.
    let update = within("a window", raw.await_one(&[WINDOW_UPDATE])).await;
    let more = u32::from_be_bytes(update.unwrap().payload.try_into().unwrap());
    assert_eq!(more + 65_535, 256 * 1024);
}

#[tokio::test]
async fn streams_beyond_the_64th_are_refused() {
    let node = node(|_| {}).await;
    let mut raw = Raw::open(&node).await;
    // Calls without a token are answered at once; these never say enough to be answered.
    let begun = call(LIST);
    let frames: Vec<Frame> = (0..65)
        .map(|n| Frame::new(HEADERS, END_HEADERS, stream(n), &begun))
        .collect();
    // All of them are read before the first is answered: they come in one packet of the agent's
    // reading.
    assert!(raw.send(&frames).await);
    let refused = loop {
        let reset = within("a refusal", raw.await_one(&[RST_STREAM]))
            .await
            .unwrap();
        if reset.error() == REFUSED_STREAM {
            break reset;
        }
    };
    assert_eq!(refused.stream, stream(64));
    assert_serves(&node).await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection_that_sends_them_and_no_other() {
    let node = node(|_| {}).await;
    let mut raw = Raw::open(&node).await;
    let begun = call(LIST);
    let cancel = 8_u32.to_be_bytes();
    let mut frames = Vec::new();
    for n in 0..500 {
        frames.push(Frame::new(HEADERS, END_HEADERS, stream(n), &begun));
        frames.push(Frame::new(RST_STREAM, 0, stream(n), &cancel));
    }
    frames.push(Frame::new(PING, 0, 0, &[7; 8]));
    raw.send(&frames).await;
    let answer = within("an answer", raw.await_one(&[GOAWAY, PING])).await;
    let goaway = answer.expect("the agent says why");
    assert_eq!((goaway.kind, goaway.error()), (GOAWAY, ENHANCE_YOUR_CALM));
    assert_serves(&node).await;
}

#[tokio::test]
async fn a_peer_that_makes_the_agent_reset_streams_without_end_is_given_up() {
    let node = node(|_| {}).await;
    let mut raw = Raw::open(&node).await;
    let begun = call(LIST);
    let mut frames = Vec::new();
    for n in 0..500 {
        frames.push(Frame::new(HEADERS, END_HEADERS, stream(n), &begun));
        // A window that grows too large is a mistake of its stream (RFC 9113, 6.9.1).
        let most = 0x7fff_ffff_u32.to_be_bytes();
        frames.push(Frame::new(WINDOW_UPDATE, 0, stream(n), &most));
    }
    frames.push(Frame::new(PING, 0, 0, &[7; 8]));
    raw.send(&frames).await;
    let answer = within("an answer", raw.await_one(&[GOAWAY, PING])).await;
    let goaway = answer.expect("the agent says why");
    assert_eq!((goaway.kind, goaway.error()), (GOAWAY, ENHANCE_YOUR_CALM));
    assert_serves(&node).await;
}

#[tokio::test]
async fn a_continuation_flood_is_cut_short() {
    let node = node(|_| {}).await;
    let mut raw = Raw::open(&node).await;
    let mut begun = Frame::new(HEADERS, 0, 1, &call(LIST));
    let more = fields(&[("x", &"a".repeat(100))]).repeat(100);
    let mut sent = 0;
    while raw.send(&[begun]).await {
        sent += 1;
        assert!(sent < 100_000, "a gigabyte of headers was taken");
        begun = Frame::new(CONTINUATION, 0, 1, &more);
    }
    let end = within("the end", raw.await_one(&[HEADERS])).await;
    assert_eq!(end, None, "it was no call that is answered");
    assert_serves(&node).await;
}

#[tokio::test]
async fn a_list_of_headers_over_16_kib_is_refused() {
    let node = node(|_| {}).await;
    // Names, values, and 32 bytes for each field count (RFC 9113, 6.5.2).
    let each = fields(&[("x", &"a".repeat(67))]);
    for (count, status) in [(150, "200"), (170, "431")] {
        let mut raw = Raw::open(&node).await;
        let mut block = call(LIST);
        block.extend(each.repeat(count));
        let end_stream = 1;
        raw.send(&[Frame::new(HEADERS, END_HEADERS | end_stream, 1, &block)])
            .await;
        let answer = within("an answer", raw.await_one(&[HEADERS])).await;
        // Index 8 of the static table is `:status 200`; others follow as an indexed name.
        let block = answer.unwrap().payload;
        let is_200 = block[0] == 0x88;
        assert_eq!(is_200, status == "200", "{count} fields: {block:?}");
    }
    assert_serves(&node).await;
}
