//! The work queue: which keys are to be looked at, and when.
//!
//! A synchronous state machine; time is passed in. A key is in it at most once. A key that is
//! triggered while it runs is marked and runs once more. A key that failed has a `not_before`
//! that hints do not defeat: only intent does.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use mcp_model::ComponentKey;
use tokio::time::Instant;

use crate::explain::Schedule;
use crate::handle::Trigger;

/// Longest delay that is believed; anything later is looked at by the resync long before.
pub const MAX_DELAY: Duration = Duration::from_hours(1);

/// First delay after a failure.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Longest delay between two failures, jitter aside.
const BACKOFF_MAX: Duration = Duration::from_mins(2);

/// How a run of a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// It did what it could; look again after that time, where there is one.
    Done(Option<Duration>),
    /// It could not do what it had to: back off.
    Failed,
    /// It found that it has an operation to carry out, which runs in the other lane.
    HasOperation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Idle,
    Ready(Trigger),
    Delayed(Instant),
    Running { again: Option<Trigger> },
}

#[derive(Debug)]
struct Entry {
    place: Place,
    /// Tells a valid place in a lane or in the delayed set from one that was left behind.
    ticket: u64,
    not_before: Option<Instant>,
    backoff: Option<ExponentialBackoff>,
}

/// The queue. Operations have a lane of their own, so that ten slow pulls hold up no look.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<ComponentKey, Entry>,
    hints: VecDeque<(ComponentKey, u64)>,
    operations: VecDeque<(ComponentKey, u64)>,
    delayed: BTreeSet<(Instant, u64, ComponentKey)>,
    tickets: u64,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a run of `key`. An intent is served as soon as a worker is free; a hint waits out
    /// a back-off.
    pub fn add(&mut self, key: &ComponentKey, trigger: Trigger, now: Instant) {
        if !self.entries.contains_key(key) {
            let entry = Entry {
                place: Place::Idle,
                ticket: 0,
                not_before: None,
                backoff: None,
            };
            self.entries.insert(key.clone(), entry);
        }
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if trigger == Trigger::Intent {
            entry.not_before = None;
            entry.backoff = None;
        }
        match entry.place {
            Place::Running { again } => {
                entry.place = Place::Running {
                    again: again.max(Some(trigger)),
                };
            }
            Place::Ready(queued) if queued >= trigger => {}
            Place::Idle | Place::Ready(_) | Place::Delayed(_) => {
                match entry.not_before.filter(|due| *due > now) {
                    Some(due) => self.delay(key, due),
                    None => self.ready(key, trigger),
                }
            }
        }
    }

    /// Takes the next key that is due in a lane, and marks it as running.
    pub fn take(&mut self, lane: Trigger, now: Instant) -> Option<ComponentKey> {
        self.promote(now);
        let queue = match lane {
            Trigger::Hint => &mut self.hints,
            Trigger::Intent => &mut self.operations,
        };
        while let Some((key, ticket)) = queue.pop_front() {
            if let Some(entry) = self.entries.get_mut(&key)
                && entry.ticket == ticket
                && entry.place == Place::Ready(lane)
            {
                entry.place = Place::Running { again: None };
                return Some(key);
            }
        }
        None
    }

    /// Says how the run of a key ended.
    pub fn done(&mut self, key: &ComponentKey, end: RunEnd, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let Place::Running { again } = entry.place else {
            return;
        };
        entry.place = Place::Idle;
        let requeue = match end {
            RunEnd::Failed => {
                let backoff = entry.backoff.get_or_insert_with(|| backoff().build());
                let delay = backoff.next().unwrap_or(BACKOFF_MAX);
                entry.not_before = Some(now + delay);
                Some(delay)
            }
            RunEnd::Done(requeue) => {
                entry.backoff = None;
                entry.not_before = None;
                requeue
            }
            RunEnd::HasOperation => None,
        };
        if end == RunEnd::HasOperation {
            self.ready(key, Trigger::Intent);
        } else if let Some(trigger) = again {
            self.add(key, trigger, now);
        } else if let Some(delay) = requeue {
            self.delay(key, now + delay.min(MAX_DELAY));
        } else {
            self.entries.remove(key);
        }
    }

    /// When the next delayed key is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.delayed.first().map(|(due, ..)| *due)
    }

    /// Whether a key runs, or will as soon as a worker is free.
    pub fn is_due(&self, key: &ComponentKey, now: Instant) -> bool {
        match self.entries.get(key).map(|entry| entry.place) {
            Some(Place::Ready(_) | Place::Running { .. }) => true,
            Some(Place::Delayed(due)) => due <= now,
            Some(Place::Idle) | None => false,
        }
    }

    /// When a key is looked at next, if nothing happens before; `resync` at the latest.
    pub fn schedule(&self, key: &ComponentKey, resync: Instant, now: Instant) -> Schedule {
        let entry = self.entries.get(key);
        let due = match entry.map(|entry| entry.place) {
            Some(Place::Ready(_)) => now,
            Some(Place::Delayed(due)) => due.min(resync),
            Some(Place::Running { .. } | Place::Idle) | None => resync,
        };
        let not_before = entry
            .and_then(|entry| entry.not_before)
            .filter(|at| *at > now);
        Schedule {
            running: matches!(entry.map(|e| e.place), Some(Place::Running { .. })),
            next: not_before.map_or(due, |at| at.max(due)) - now,
            backing_off: not_before.map(|at| at - now),
        }
    }

    /// Whether a key is to be looked at as soon as a worker is free, or is at work.
    pub fn is_due_for_a_look(&self, key: &ComponentKey, now: Instant) -> bool {
        let place = self.entries.get(key).map(|entry| entry.place);
        place != Some(Place::Ready(Trigger::Intent)) && self.is_due(key, now)
    }

    /// Ends the back-off of a key: what it waited for is no longer in its way.
    pub fn forgive(&mut self, key: &ComponentKey) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.not_before = None;
            entry.backoff = None;
        }
    }

    /// How many keys are waiting or running.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn next_ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Leaves the delayed set, where the key is in it.
    fn leave(&mut self, key: &ComponentKey) {
        if let Some(Entry {
            place: Place::Delayed(due),
            ticket,
            ..
        }) = self.entries.get(key)
        {
            self.delayed.remove(&(*due, *ticket, key.clone()));
        }
    }

    fn ready(&mut self, key: &ComponentKey, lane: Trigger) {
        self.leave(key);
        let ticket = self.next_ticket();
        if let Some(entry) = self.entries.get_mut(key) {
            entry.place = Place::Ready(lane);
            entry.ticket = ticket;
            match lane {
                Trigger::Hint => self.hints.push_back((key.clone(), ticket)),
                Trigger::Intent => self.operations.push_back((key.clone(), ticket)),
            }
        }
    }

    fn delay(&mut self, key: &ComponentKey, due: Instant) {
        if matches!(self.entries.get(key), Some(Entry { place: Place::Delayed(at), .. }) if *at <= due)
        {
            return;
        }
        self.leave(key);
        let ticket = self.next_ticket();
        if let Some(entry) = self.entries.get_mut(key) {
            entry.place = Place::Delayed(due);
            entry.ticket = ticket;
            self.delayed.insert((due, ticket, key.clone()));
        }
    }

    /// Makes ready what is due. What stays delayed lies in the future: [`Self::next_due`] is never
    /// a moment that has passed, however long no worker is free.
    pub fn promote(&mut self, now: Instant) {
        while self.delayed.first().is_some_and(|(due, ..)| *due <= now) {
            if let Some((.., key)) = self.delayed.pop_first() {
                self.ready(&key, Trigger::Hint);
            }
        }
    }
}

fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn key(n: u8) -> ComponentKey {
        format!("s/c{n}").parse().unwrap()
    }

    #[test]
    fn a_key_that_is_triggered_while_it_runs_runs_once_more() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        queue.add(&key(1), Trigger::Hint, now);
        assert_eq!(queue.take(Trigger::Hint, now), Some(key(1)));
        for _ in 0..3 {
            queue.add(&key(1), Trigger::Hint, now);
        }
        assert_eq!(queue.take(Trigger::Hint, now), None);
        queue.done(&key(1), RunEnd::Done(None), now);
        assert_eq!(queue.take(Trigger::Hint, now), Some(key(1)));
        queue.done(&key(1), RunEnd::Done(None), now);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_hint_does_not_defeat_a_back_off_and_intent_does() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        queue.add(&key(1), Trigger::Hint, now);
        queue.take(Trigger::Hint, now).unwrap();
        queue.done(&key(1), RunEnd::Failed, now);
        queue.add(&key(1), Trigger::Hint, now);
        assert_eq!(queue.take(Trigger::Hint, now), None);
        let due = queue.next_due().unwrap();
        assert!(due >= now + BACKOFF_MIN);
        assert_eq!(queue.take(Trigger::Hint, due), Some(key(1)));
        queue.done(&key(1), RunEnd::Failed, due);
        queue.add(&key(1), Trigger::Intent, due);
        assert_eq!(queue.take(Trigger::Intent, due), Some(key(1)));
    }

    #[test]
    fn a_hint_that_comes_during_a_failing_run_waits_out_the_back_off() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        queue.add(&key(1), Trigger::Hint, now);
        queue.take(Trigger::Hint, now).unwrap();
        queue.add(&key(1), Trigger::Hint, now);
        queue.done(&key(1), RunEnd::Failed, now);
        assert_eq!(queue.take(Trigger::Hint, now), None);
        assert!(queue.next_due().unwrap() > now);
    }

    #[test]
    fn failures_back_off_further_and_further_up_to_a_cap() {
        let (mut queue, mut now) = (Queue::new(), Instant::now());
        let mut delays = Vec::new();
        queue.add(&key(1), Trigger::Hint, now);
        for _ in 0..12 {
            queue.take(Trigger::Hint, now).unwrap();
            queue.done(&key(1), RunEnd::Failed, now);
            let due = queue.next_due().unwrap();
            delays.push(due - now);
            now = due;
        }
        assert!(delays[0] >= BACKOFF_MIN && delays[0] <= BACKOFF_MIN * 2);
        assert!(delays.iter().all(|d| *d <= BACKOFF_MAX * 2));
        assert!(delays[11] >= BACKOFF_MAX);
    }

    #[test]
    fn a_far_future_delay_is_clamped() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        queue.add(&key(1), Trigger::Hint, now);
        queue.take(Trigger::Hint, now).unwrap();
        queue.done(&key(1), RunEnd::Done(Some(Duration::MAX)), now);
        assert_eq!(queue.next_due(), Some(now + MAX_DELAY));
    }

    #[test]
    fn operations_and_looks_have_lanes_of_their_own() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        queue.add(&key(1), Trigger::Hint, now);
        queue.add(&key(2), Trigger::Intent, now);
        queue.add(&key(1), Trigger::Intent, now);
        assert_eq!(queue.take(Trigger::Hint, now), None);
        assert_eq!(queue.take(Trigger::Intent, now), Some(key(2)));
        assert_eq!(queue.take(Trigger::Intent, now), Some(key(1)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u8, Trigger),
        Take(Trigger),
        End(u8, RunEnd),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let trigger = || prop_oneof![Just(Trigger::Hint), Just(Trigger::Intent)];
        let end = prop_oneof![
            Just(RunEnd::Done(None)),
            (0u64..90).prop_map(|s| RunEnd::Done(Some(Duration::from_secs(s)))),
            Just(RunEnd::Failed),
            Just(RunEnd::HasOperation),
        ];
        prop::collection::vec(
            prop_oneof![
                4 => (0u8..5, trigger()).prop_map(|(k, t)| Step::Add(k, t)),
                4 => trigger().prop_map(Step::Take),
                3 => (0u8..5, end).prop_map(|(k, e)| Step::End(k, e)),
                1 => (0u64..200).prop_map(Step::Pass),
            ],
            1..120,
        )
    }

    proptest! {
        /// Whatever happens: a key never runs twice at once, and a key that was asked for is run
        /// after it was asked for.
        #[test]
        fn the_queue_never_holds_a_key_twice_and_never_loses_one(steps in steps()) {
            let (mut queue, mut now) = (Queue::new(), Instant::now());
            let mut running: HashMap<ComponentKey, bool> = HashMap::new();
            let mut owed: HashMap<ComponentKey, bool> = HashMap::new();
            for step in steps {
                match step {
                    Step::Add(k, trigger) => {
                        queue.add(&key(k), trigger, now);
                        owed.insert(key(k), true);
                    }
                    Step::Take(lane) => {
                        if let Some(k) = queue.take(lane, now) {
                            prop_assert!(running.insert(k.clone(), true).is_none(), "{} runs twice", k);
                            owed.remove(&k);
                        }
                    }
                    Step::End(k, end) => {
                        if running.remove(&key(k)).is_some() {
                            queue.done(&key(k), end, now);
                        }
                    }
                    Step::Pass(seconds) => now += Duration::from_secs(seconds),
                }
            }
            for (k, _) in running.drain() {
                queue.done(&k, RunEnd::Done(None), now);
            }
            now += MAX_DELAY;
            while let Some(k) = queue.take(Trigger::Intent, now).or_else(|| queue.take(Trigger::Hint, now)) {
                owed.remove(&k);
                queue.done(&k, RunEnd::Done(None), now);
            }
            prop_assert!(owed.is_empty(), "lost {:?}", owed.keys());
            prop_assert!(queue.is_empty());
        }
    }
}
