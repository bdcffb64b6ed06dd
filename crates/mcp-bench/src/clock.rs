//! A clock that two processes share, and waiting.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the machine started, the same for every process on it.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Waits.
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement looks at the machine at times of its own"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
