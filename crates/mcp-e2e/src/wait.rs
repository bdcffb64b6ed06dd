//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// How long anything may take before a test is given up. Far beyond what a slow and busy machine
/// needs: it tells "never" from "later", and nothing about speed.
const PATIENCE: Duration = Duration::from_mins(5);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `condition` gives something, and returns it.
///
/// Panics with `what` when that never happens.
#[track_caller]
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "other processes give no signal to wait for"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}
