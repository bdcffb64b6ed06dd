//! HTTP/2 by hand, for what a well-behaved client cannot be made to do.

use std::net::SocketAddr;
use std::sync::Arc;

use mcp_identity::{CaSource, client_config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::Node;

pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_HEADERS: u8 = 4;

pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame (RFC 9113, 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    pub(super) fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.to_vec(),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The error that a `RST_STREAM` or `GOAWAY` frame carries.
    pub(super) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// Header fields as literals that enter no table (RFC 7541, 6.2.2).
pub(super) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let length = u8::try_from(text.len()).unwrap();
            assert!(length < 127, "one byte says the length");
            block.push(length);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The head of a call.
pub(super) fn call(path: &str) -> Vec<u8> {
    fields(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "agent"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

/// A TLS connection to the node, without a word of HTTP/2 on it.
pub(super) async fn connect(node: &Node, from: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let authority = CaSource::Pem(node.authority.clone().into_bytes());
    connect_to(node.running.address(), &authority, from).await
}

pub(super) async fn connect_to(
    address: SocketAddr,
    authority: &CaSource,
    from: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{from}:0").parse().unwrap())?;
    let stream = socket.connect(address).await?;
    let config = client_config(Some(authority)).unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    TlsConnector::from(Arc::clone(&config))
        .connect(name, stream)
        .await
}

/// A connection on which the preface was sent.
pub(super) struct Raw {
    pub(super) stream: TlsStream<TcpStream>,
}

impl Raw {
    pub(super) async fn open(node: &Node) -> Self {
        Self::begin(connect(node, "127.0.0.1").await.unwrap()).await
    }

    pub(super) async fn begin(mut stream: TlsStream<TcpStream>) -> Self {
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(Frame::new(SETTINGS, 0, 0, &[]).bytes());
        stream.write_all(&hello).await.unwrap();
        Self { stream }
    }

    /// Sends frames; whether the other end still took them.
    pub(super) async fn send(&mut self, frames: &[Frame]) -> bool {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        self.stream.write_all(&bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// The next frame; `None` where the connection has ended.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
            payload,
        })
    }

    /// The next frame of one of these kinds; `None` where the connection has ended.
    pub(super) async fn await_one(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }
}
