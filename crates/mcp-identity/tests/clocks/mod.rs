//! Both clocks, in the test's hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mcp_model::{BootId, Moment, Stamp};

pub(super) struct Clocks {
    boot: AtomicI64,
    wall: AtomicI64,
}

impl Clocks {
    /// The wall clock is the machine's: the service's tokens end by it.
    pub(super) fn of_today() -> Self {
        Self {
            boot: AtomicI64::new(1_000_000),
            wall: AtomicI64::new(jiff::Timestamp::now().as_millisecond()),
        }
    }

    pub(super) fn now(&self) -> Moment {
        let boot = u64::try_from(self.boot.load(Ordering::Relaxed)).unwrap();
        Moment {
            wall: Stamp::from_millis(self.wall.load(Ordering::Relaxed)),
            boot: Duration::from_millis(boot),
            boot_id: BootId(7),
        }
    }

    /// Both clocks go on, as they do.
    pub(super) fn pass(&self, millis: i64) {
        self.boot.fetch_add(millis, Ordering::Relaxed);
        self.jump(millis);
    }

    /// The wall clock alone is set.
    pub(super) fn jump(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::Relaxed);
    }
}
