//! The system's clocks as the controller's.

use std::time::Duration;

use mcp_controller::port::Clock;
use mcp_model::{BootId, Moment, Stamp};

/// `CLOCK_BOOTTIME`, the wall clock and the boot id (S34).
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    boot_id: BootId,
}

impl SystemClock {
    /// Reads the boot id once: it cannot change while a process lives.
    pub fn new() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .ok()
            .and_then(|text| text.parse().ok())
            // Without it every start counts as another boot: windows then run on the wall clock.
            .unwrap_or_else(|| BootId(rand::random()));
        Self { boot_id }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Moment {
            wall: Stamp::new(jiff::Timestamp::now()),
            boot: Duration::new(
                u64::try_from(boot.tv_sec).unwrap_or(0),
                u32::try_from(boot.tv_nsec).unwrap_or(0),
            ),
            boot_id: self.boot_id,
        }
    }
}
