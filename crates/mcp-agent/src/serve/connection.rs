//! An accepted connection and who is at its other end.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::guest::{Due, Guest};
use super::guests::Entry;

/// Who is at the other end of a connection. Every admitted request carries it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody on the network.
    Net(SocketAddr),
    /// A process of this node, as the kernel vouches for it.
    Local {
        /// Its effective user.
        uid: u32,
        /// The process.
        pid: Option<i32>,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(address) => address.fmt(f),
            Self::Local {
                uid,
                pid: Some(pid),
            } => write!(f, "local:uid={uid},pid={pid}"),
            Self::Local { uid, pid: None } => write!(f, "local:uid={uid}"),
        }
    }
}

/// A connection that is ready for requests. It counts against the limit until it is dropped.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    entry: Entry,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    asked: Pin<Box<Sleep>>,
}

impl<S> Connection<S> {
    pub(super) fn new(stream: S, entry: Entry) -> Self {
        entry.guest().arrived();
        let ended = Box::pin(entry.guest().turned_out().clone().cancelled_owned());
        Self {
            stream,
            entry,
            ended,
            asked: Box::pin(tokio::time::sleep_until(Instant::now())),
        }
    }

    /// Fails once the connection has to end. Reading and writing both ask, since a peer who takes
    /// nothing is not read from either.
    fn may_go_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.ended.as_mut().poll(cx).is_ready() {
            let text = "it gave way to another connection";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, text));
        }
        while self.asked.as_mut().poll(cx).is_ready() {
            match self.entry.guest().due(Instant::now()) {
                Due::Ask(at) => self.asked.as_mut().reset(at),
                Due::Over => {
                    // Also for whoever asks next.
                    self.entry.guest().turn_out();
                    let text = "no call was made on it, or no answer taken, for too long";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                }
            }
        }
        Ok(())
    }
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = Guest;

    fn connect_info(&self) -> Guest {
        self.entry.guest().clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.may_go_on(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.may_go_on(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.may_go_on(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.may_go_on(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
