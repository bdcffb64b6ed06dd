//! The work queue: 100,000 keys, each enqueued ten times.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use anyhow::{Result, bail};
use mcp_controller::Trigger;
use mcp_controller::queue::{Queue, RunEnd};
use mcp_model::ComponentKey;

use crate::report::{Row, say};
use crate::samples::Samples;

const KEYS: usize = 100_000;
const TIMES: usize = 10;
const ROUNDS: usize = 5;
/// Enqueues per second.
const TARGET: f64 = 1e6;

/// Measures it.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let keys: Vec<ComponentKey> = (0..KEYS)
        .map(|n| format!("s{}/c{}", n / 100, n % 100).parse())
        .collect::<Result<_, _>>()?;
    let (mut ours, mut plain) = (Samples::default(), Samples::default());
    for round in 1..=ROUNDS {
        let started = Instant::now();
        let runs = fill_and_drain(&keys);
        ours.push(started.elapsed());
        check(&runs)?;

        let started = Instant::now();
        let taken = fill_and_drain_plain(&keys);
        plain.push(started.elapsed());
        if taken != KEYS {
            bail!("the plain set gave {taken} keys");
        }
        say(&format!(
            "round {round} of {ROUNDS}: {:.2} M enqueues/s",
            rate(ours.last()) / 1e6
        ));
    }
    let rate_of = |samples: &Samples| rate(samples.median());
    let row = Row::new(
        "queue: 100k keys enqueued 10 times, then run",
        format!("{:.2} M/s", rate_of(&ours) / 1e6),
    )
    .beside(
        format!("{:.2} M/s set + deque", rate_of(&plain) / 1e6),
        plain.by(&ours).median(),
    );
    Ok(vec![row.at_least(rate_of(&ours), TARGET, "1 M/s")])
}

/// Enqueues per second, from milliseconds for all of them.
fn rate(millis: f64) -> f64 {
    let enqueues: f64 = (0..KEYS * TIMES).map(|_| 1.0).sum();
    enqueues / millis * 1e3
}

/// Every other key is running while it is enqueued for the last time. Then all are run to their
/// end; the time of that counts.
fn fill_and_drain(keys: &[ComponentKey]) -> Vec<ComponentKey> {
    let (mut queue, now) = (Queue::new(), tokio::time::Instant::now());
    for _ in 1..TIMES {
        for key in keys {
            queue.add(key, Trigger::Hint, now);
        }
    }
    let mut runs = Vec::with_capacity(keys.len() * 2);
    for pair in keys.chunks(2) {
        let taken = queue.take(Trigger::Hint, now);
        for key in pair {
            queue.add(key, Trigger::Hint, now);
        }
        if let Some(key) = taken {
            queue.done(&key, RunEnd::Done(None), now);
            runs.push(key);
        }
    }
    while let Some(key) = queue.take(Trigger::Hint, now) {
        queue.done(&key, RunEnd::Done(None), now);
        runs.push(key);
    }
    runs
}

/// No key is lost, and none runs more often than once for all that came before its run and once
/// for all that came during it.
fn check(runs: &[ComponentKey]) -> Result<()> {
    let mut counts: HashMap<&ComponentKey, usize> = HashMap::new();
    for key in runs {
        *counts.entry(key).or_default() += 1;
    }
    let wrong = counts.values().filter(|count| !(1..=2).contains(*count));
    let wrong = wrong.count() + KEYS - counts.len();
    if wrong > 0 {
        bail!("{wrong} keys did not run once or twice");
    }
    Ok(())
}

/// The least that keeps a key from waiting twice, without lanes, back-off and delays.
fn fill_and_drain_plain(keys: &[ComponentKey]) -> usize {
    let (mut waiting, mut order) = (HashSet::new(), VecDeque::new());
    for _ in 0..TIMES {
        for key in keys {
            if !waiting.contains(key) {
                waiting.insert(key.clone());
                order.push_back(key.clone());
            }
        }
    }
    let mut taken = 0;
    while let Some(key) = order.pop_front() {
        waiting.remove(&key);
        taken += 1;
    }
    taken
}
