//! What the fake is told to do, and what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Call, RuntimeError};
use crate::hints::{Hint, HintSender};

/// What a call meets with.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It fails and does nothing.
    Fail(RuntimeError),
    /// It does what was asked and fails all the same, as a call does that is killed too late.
    DoThenFail(RuntimeError),
    /// It waits for `Fake::release` or its deadline.
    Hang,
}

/// One call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Which.
    pub call: Call,
    /// On what: a name, an image or a short id.
    pub object: String,
    /// Whether it can change something.
    pub mutating: bool,
    /// When it began.
    pub at: Instant,
}

/// What becomes of hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintPolicy {
    /// How many times each is delivered; 0 loses them.
    pub copies: usize,
    /// How much later.
    pub delay: Duration,
}

impl Default for HintPolicy {
    /// Once, at once.
    fn default() -> Self {
        Self {
            copies: 1,
            delay: Duration::ZERO,
        }
    }
}

impl HintPolicy {
    pub(super) fn deliver(self, sender: &HintSender, hint: &Hint) {
        for _ in 0..self.copies {
            sender.send(hint.clone());
        }
    }
}

#[derive(Default)]
pub(super) struct Script {
    pub(super) latencies: BTreeMap<Call, Duration>,
    pub(super) calls: Vec<Recorded>,
    faults: BTreeMap<Call, VecDeque<Fault>>,
}

impl Script {
    pub(super) fn add(&mut self, call: Call, times: usize, fault: &Fault) {
        let queue = self.faults.entry(call).or_default();
        queue.extend(std::iter::repeat_n(fault.clone(), times));
    }

    pub(super) fn forget(&mut self) {
        self.faults.clear();
    }

    pub(super) fn begin(
        &mut self,
        call: Call,
        object: &str,
        now: Instant,
    ) -> (Option<Fault>, Duration) {
        self.calls.push(Recorded {
            call,
            object: object.to_owned(),
            mutating: call.is_mutating(),
            at: now,
        });
        let fault = self.faults.get_mut(&call).and_then(VecDeque::pop_front);
        let latency = self.latencies.get(&call).copied().unwrap_or_default();
        (fault, latency)
    }
}
