//! Points in time, on two clocks (S34).
//!
//! The wall clock is for people and for order across reboots; it jumps. The boot clock counts
//! from boot, includes suspend and never jumps, but means nothing after a reboot. A [`Moment`]
//! carries both, so that windows and cooldowns are right under either.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};

const FORMAT: &str = "%Y-%m-%d %H:%M:%S%.3f";

/// A wall-clock time in UTC with millisecond precision, stored and shown as
/// `YYYY-MM-DD HH:MM:SS.SSS` so that `SQLite`'s `datetime('now', …)` compares with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Stamp(Timestamp);

/// A text that is not a stamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time of the form YYYY-MM-DD HH:MM:SS.SSS")]
pub struct StampError(String);

impl Stamp {
    /// Rounds down to milliseconds.
    pub fn new(timestamp: Timestamp) -> Self {
        Self::from_millis(timestamp.as_millisecond())
    }

    /// From milliseconds since the Unix epoch, clamped to what can be represented.
    pub fn from_millis(millis: i64) -> Self {
        let clamped = millis.clamp(
            Timestamp::MIN.as_millisecond() + 1,
            Timestamp::MAX.as_millisecond() - 1,
        );
        Self(Timestamp::from_millisecond(clamped).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// The underlying timestamp.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }

    /// Time from `earlier` to `self`; zero where `earlier` lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.as_millis().saturating_sub(earlier.as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// This time plus `duration`, clamped to what can be represented.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_add(millis))
    }

    /// Cut to whole seconds, which is all that a runtime's listing knows.
    #[must_use]
    pub fn whole_seconds(self) -> Self {
        Self(
            self.0
                .round(
                    jiff::TimestampRound::new()
                        .smallest(Unit::Second)
                        .mode(jiff::RoundMode::Floor),
                )
                .unwrap_or(self.0),
        )
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.strftime(FORMAT).to_string())
    }
}

impl FromStr for Stamp {
    type Err = StampError;

    fn from_str(text: &str) -> Result<Self, StampError> {
        jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", text)
            .and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC))
            .map(|zoned| Self::new(zoned.timestamp()))
            .map_err(|_| StampError(text.to_owned()))
    }
}

impl TryFrom<String> for Stamp {
    type Error = StampError;

    fn try_from(text: String) -> Result<Self, StampError> {
        text.parse()
    }
}

impl From<Stamp> for String {
    fn from(stamp: Stamp) -> Self {
        stamp.to_string()
    }
}

/// One boot of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct BootId(pub u128);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for BootId {
    type Err = std::num::ParseIntError;

    /// Takes the form of `/proc/sys/kernel/random/boot_id`, with or without dashes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(&text.trim().replace('-', ""), 16).map(Self)
    }
}

/// One instant on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Moment {
    /// What the wall clock said.
    pub wall: Stamp,
    /// Time since boot, suspend included (`CLOCK_BOOTTIME`).
    pub boot: Duration,
    /// Which boot that was.
    pub boot_id: BootId,
}

impl Moment {
    /// Time from `earlier` to `self`: by the boot clock within one boot, else by the wall clock.
    /// Never negative; a moment from the future counts as now.
    pub fn since(&self, earlier: &Self) -> Duration {
        if self.boot_id == earlier.boot_id {
            self.boot.saturating_sub(earlier.boot)
        } else {
            self.wall.since(earlier.wall)
        }
    }

    /// Whether it can only be a stamp from a wall clock that was ahead: of another boot, and later
    /// than `now`.
    pub fn is_from_the_future(&self, now: &Self) -> bool {
        self.boot_id != now.boot_id && self.wall > now.wall
    }

    /// Whether `self` is at or after `due`: by the boot clock within one boot, else by the wall
    /// clock.
    pub fn has_reached(&self, due: &Self) -> bool {
        if self.boot_id == due.boot_id {
            self.boot >= due.boot
        } else {
            self.wall >= due.wall
        }
    }

    /// Time from `self` until `due`; zero where it was reached.
    pub fn until(&self, due: &Self) -> Duration {
        due.since(self)
    }

    /// This moment plus `duration`, on both clocks.
    #[must_use]
    pub fn plus(&self, duration: Duration) -> Self {
        Self {
            wall: self.wall.plus(duration),
            boot: self.boot.saturating_add(duration),
            boot_id: self.boot_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moment(wall: i64, boot: u64, boot_id: u128) -> Moment {
        Moment {
            wall: Stamp::from_millis(wall),
            boot: Duration::from_millis(boot),
            boot_id: BootId(boot_id),
        }
    }

    #[test]
    fn a_stamp_reads_like_sqlite_writes_it() {
        let stamp = Stamp::from_millis(1_795_163_353_007);
        assert_eq!(stamp.to_string(), "2026-11-20 08:29:13.007");
        assert_eq!("2026-11-20 08:29:13.007".parse::<Stamp>().unwrap(), stamp);
        assert_eq!(
            "2026-11-20 08:29:13".parse::<Stamp>().unwrap(),
            stamp.whole_seconds()
        );
        assert!("yesterday".parse::<Stamp>().is_err());
    }

    #[test]
    fn a_jump_of_the_wall_clock_does_not_move_a_window() {
        let before = moment(1_000_000_000_000, 5_000, 7);
        for wall in [0, 9_000_000_000_000] {
            assert_eq!(
                moment(wall, 8_000, 7).since(&before),
                Duration::from_secs(3)
            );
        }
    }

    #[test]
    fn a_stamp_from_the_future_of_another_boot_counts_as_now() {
        let future = moment(5_000, 1, 1);
        assert_eq!(moment(4_000, 9_999, 2).since(&future), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn stamps_survive_their_text(millis in -62_000_000_000_000i64..250_000_000_000_000) {
            let stamp = Stamp::from_millis(millis);
            prop_assert_eq!(stamp.to_string().parse::<Stamp>().unwrap(), stamp);
        }

        #[test]
        fn far_future_never_panics(millis in any::<i64>(), seconds in any::<u64>()) {
            let _ = Stamp::from_millis(millis).plus(Duration::from_secs(seconds)).to_string();
        }
    }
}
