//! Times and sizes as people read them.

use std::time::Duration;

use jiff::Timestamp;

/// What the two clocks of a wire timestamp are turned into; nonsense counts as absent.
pub(crate) fn timestamp(wire: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let wire = wire?;
    Timestamp::new(wire.seconds, wire.nanos).ok()
}

/// Time from `earlier` to `now`; zero where `earlier` lies in the future, as under a clock that
/// was set back.
pub(crate) fn age(now: Timestamp, earlier: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// The two largest units: `850ms`, `3s`, `4m 10s`, `2h 5m`, `3d 1h`, `12d`.
pub(crate) fn duration(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, lesser: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{lesser}"),
    };
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => two(seconds / MINUTE, "m", seconds % MINUTE, "s"),
        HOUR..DAY => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "m"),
        _ if seconds < 10 * DAY => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
        _ => format!("{}d", seconds / DAY),
    }
}

/// `3s ago`, or `-` where it is not known.
pub(crate) fn ago(now: Timestamp, then: Option<Timestamp>) -> String {
    then.map_or_else(
        || "-".to_owned(),
        |then| format!("{} ago", duration(age(now, then))),
    )
}

/// `1 node`, `3 nodes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// One argument as a POSIX shell would have to be given it.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        for (millis, text) in [
            (0, "0ms"),
            (850, "850ms"),
            (1_000, "1s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (250_000, "4m 10s"),
            (3_600_000, "1h"),
            (7_500_000, "2h 5m"),
            (86_400_000, "1d"),
            (262_800_000, "3d 1h"),
            (1_040_400_000, "12d"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text, "{millis}");
        }
    }

    #[test]
    fn a_time_from_the_future_is_now() {
        let now = Timestamp::from_second(100).unwrap();
        let later = Timestamp::from_second(160).unwrap();
        assert_eq!(ago(now, Some(later)), "0ms ago");
        assert_eq!(ago(later, Some(now)), "1m ago");
        assert_eq!(ago(now, None), "-");
    }

    #[test]
    fn a_nonsense_timestamp_counts_as_absent() {
        for (seconds, nanos) in [(i64::MAX, 0), (0, i32::MAX), (i64::MIN, -1)] {
            assert_eq!(
                timestamp(Some(&prost_types::Timestamp { seconds, nanos })),
                None
            );
        }
        assert_eq!(timestamp(None), None);
    }

    #[test]
    fn a_printed_command_can_be_pasted() {
        assert_eq!(shell_word("--name=web"), "--name=web");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("$(id)"), "'$(id)'");
    }
}
