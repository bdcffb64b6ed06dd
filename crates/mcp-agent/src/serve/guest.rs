//! One connection as door and gate see it: a stranger until a call on it was admitted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Peer;
use super::limits::{Limits, REQUESTS};

/// A connection's standing. Every request carries a handle on it as an extension.
#[derive(Debug, Clone)]
pub struct Guest(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    peer: Peer,
    requests: Arc<Semaphore>,
    /// Whose turn it is to be asked who they are, while nobody on it is known.
    introduction: Arc<Semaphore>,
    idle: Duration,
    call: Duration,
    first_call: Duration,
    turned_out: CancellationToken,
    standing: Mutex<Standing>,
}

#[derive(Debug)]
struct Standing {
    /// Whether a call on it was admitted, ever.
    known: bool,
    /// When it has been there for too long without a call.
    until: Instant,
    /// Admitted calls under way, and by when each one's answer must have been taken.
    calls: BTreeMap<u64, Option<Instant>>,
    next: u64,
    /// How many of them are streams.
    streams: usize,
}

impl Guest {
    pub(super) fn new(peer: Peer, limits: &Limits) -> Self {
        Self(Arc::new(Inner {
            peer,
            requests: Arc::new(Semaphore::new(REQUESTS)),
            introduction: Arc::new(Semaphore::new(1)),
            idle: limits.idle,
            call: limits.call,
            first_call: limits.first_call,
            turned_out: CancellationToken::new(),
            standing: Mutex::new(Standing {
                known: false,
                until: Instant::now() + limits.handshake,
                calls: BTreeMap::new(),
                next: 0,
                streams: 0,
            }),
        }))
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.0.peer
    }

    /// A place for one more call; `None` where the connection has as many as it may.
    pub fn visit(&self) -> Option<Visit> {
        let place = Arc::clone(&self.0.requests).try_acquire_owned().ok()?;
        Some(Visit {
            guest: self.clone(),
            call: None,
            streams: false,
            _place: place,
        })
    }

    /// A turn to say who calls. Strangers have one at a time on each connection, or a few of them with
    /// many made-up tokens each would keep the verifier busy and everybody else waiting.
    pub async fn introduction(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_stranger() {
            Arc::clone(&self.0.introduction).acquire_owned().await.ok()
        } else {
            None
        }
    }

    /// Its handshake is done: now it may call.
    pub(super) fn arrived(&self) {
        self.standing().until = Instant::now() + self.0.first_call;
    }

    /// Whether a stream is open on it.
    pub(super) fn has_streams(&self) -> bool {
        self.standing().streams > 0
    }

    pub(super) fn is_stranger(&self) -> bool {
        !self.standing().known
    }

    /// Ends the connection.
    pub(super) fn turn_out(&self) {
        self.0.turned_out.cancel();
    }

    pub(super) fn turned_out(&self) -> &CancellationToken {
        &self.0.turned_out
    }

    /// Whether this connection has to end, or when that is to be asked again. Calls come and go
    /// meanwhile, so it is asked often enough to notice an answer that nobody takes.
    pub(super) fn due(&self, now: Instant) -> Due {
        let standing = self.standing();
        let earliest = standing.calls.values().flatten().min().copied();
        let until = match (earliest, standing.calls.is_empty()) {
            (Some(answer), _) => answer,
            (None, true) => standing.until,
            (None, false) => now + self.0.idle,
        };
        if until <= now {
            Due::Over
        } else {
            Due::Ask(until.min(now + self.0.call))
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        let standing = self.0.standing.lock();
        standing.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a connection may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It has been there for too long.
    Over,
    /// It may be over then.
    Ask(Instant),
}

/// One call under way. Its place is free again when it is dropped.
#[derive(Debug)]
pub struct Visit {
    guest: Guest,
    call: Option<u64>,
    streams: bool,
    _place: OwnedSemaphorePermit,
}

impl Visit {
    /// Its caller may call: no stranger any more.
    pub fn admitted(&mut self) {
        let mut standing = self.guest.standing();
        let call = standing.next;
        standing.next += 1;
        standing.known = true;
        standing.calls.insert(call, None);
        drop(standing);
        self.call = Some(call);
    }

    /// It was answered, and the answer must have been taken by `until`, or the connection ends.
    pub fn answered(&self, until: Instant) {
        self.taken_by(Some(until));
    }

    /// Its caller has taken all that there is so far, and may wait for more as long as it likes.
    pub fn listens(&self) {
        self.taken_by(None);
    }

    fn taken_by(&self, until: Option<Instant>) {
        if let Some(call) = self.call {
            self.guest.standing().calls.insert(call, until);
        }
    }

    /// Its answer is a stream, which goes on for as long as both sides like.
    pub fn streams(&mut self) {
        if !std::mem::replace(&mut self.streams, true) {
            self.guest.standing().streams += 1;
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some(call) = self.call else { return };
        let idle = self.guest.0.idle;
        let mut standing = self.guest.standing();
        standing.calls.remove(&call);
        standing.streams -= usize::from(self.streams);
        standing.until = Instant::now() + idle;
    }
}
