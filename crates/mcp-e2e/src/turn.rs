//! One test with a podman at a time.
//!
//! Private podmans share the machine's packet filter. The network helper of one removes the chains
//! that publish ports with its last container, while that of another appends to them: deploys of
//! tests that ran side by side then failed, about once in ten runs. A test may have several podmans,
//! and uses them one after the other.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};

static HELD: Mutex<Option<(ThreadId, usize)>> = Mutex::new(None);
static FREE: Condvar = Condvar::new();

/// A test's turn, held by each of its podmans.
#[derive(Debug)]
pub(crate) struct Turn(());

impl Turn {
    /// Waits until no other test has a podman.
    pub(crate) fn take() -> Self {
        let me = thread::current().id();
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = FREE
            .wait_while(held, |held| held.is_some_and(|(holder, _)| holder != me))
            .unwrap_or_else(PoisonError::into_inner);
        let others = held.map_or(0, |(_, count)| count);
        *held = Some((me, others + 1));
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        *held = match *held {
            Some((holder, count)) if count > 1 => Some((holder, count - 1)),
            _ => None,
        };
        FREE.notify_all();
    }
}
