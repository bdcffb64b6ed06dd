//! A bounded channel that may drop hints, but never the fact that it did.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::Stream;
use mcp_model::ContainerId;
use tokio::sync::mpsc;

/// Somewhere to look.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hint {
    /// Something may have happened to this container.
    Container(ContainerId),
    /// Something may have happened, to whom is not known.
    Changed,
}

/// A channel that holds up to `capacity` hints.
pub fn channel(capacity: usize) -> (HintSender, HintReceiver) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let overflow = Arc::new(AtomicBool::new(false));
    (
        HintSender {
            sender,
            overflow: Arc::clone(&overflow),
        },
        HintReceiver { receiver, overflow },
    )
}

/// The sending end. Sending never waits and never fails.
#[derive(Debug, Clone)]
pub struct HintSender {
    sender: mpsc::Sender<Hint>,
    overflow: Arc<AtomicBool>,
}

impl HintSender {
    /// Passes a hint on. Where the channel is full, it becomes one [`Hint::Changed`] that is
    /// delivered once there is room.
    pub fn send(&self, hint: Hint) {
        if self.sender.try_send(hint).is_ok() {
            return;
        }
        self.overflow.store(true, Ordering::Release);
        // The receiver may have drained everything between the two, and would now sleep on a
        // raised flag. If this fails too, there is something left to wake it.
        let _ = self.sender.try_send(Hint::Changed);
    }
}

/// The receiving end; a [`Stream`] as well.
#[derive(Debug)]
pub struct HintReceiver {
    receiver: mpsc::Receiver<Hint>,
    overflow: Arc<AtomicBool>,
}

impl HintReceiver {
    /// The next hint; `None` once every sender is gone.
    pub async fn recv(&mut self) -> Option<Hint> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Hint>> {
        if self.overflow.swap(false, Ordering::AcqRel) {
            return Poll::Ready(Some(Hint::Changed));
        }
        self.receiver.poll_recv(cx)
    }
}

impl Stream for HintReceiver {
    type Item = Hint;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Hint>> {
        self.poll_recv(cx)
    }
}
