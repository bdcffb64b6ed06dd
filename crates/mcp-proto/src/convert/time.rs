//! Times and spans.

use std::time::Duration;

use mcp_model::Stamp;

use super::InvalidField;

/// A stamp for the wire.
pub fn stamp_to_wire(stamp: Stamp) -> prost_types::Timestamp {
    let millis = stamp.as_millis();
    let fraction = i32::try_from(millis.rem_euclid(1000)).unwrap_or_default();
    prost_types::Timestamp {
        seconds: millis.div_euclid(1000),
        nanos: fraction * 1_000_000,
    }
}

/// A stamp from the wire, cut to milliseconds. Nanoseconds outside one second are refused; times
/// that a stamp cannot hold are clamped.
pub fn stamp_from_wire(field: &str, wire: prost_types::Timestamp) -> Result<Stamp, InvalidField> {
    if !(0..1_000_000_000).contains(&wire.nanos) {
        return Err(InvalidField::new(
            field,
            "its nanos are not within a second",
        ));
    }
    let millis = wire
        .seconds
        .saturating_mul(1000)
        .saturating_add(i64::from(wire.nanos / 1_000_000));
    Ok(Stamp::from_millis(millis))
}

/// A span for the wire, clamped to what it can hold.
pub fn duration_to_wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// A span from the wire, which must not be negative.
pub fn duration_from_wire(
    field: &str,
    wire: prost_types::Duration,
) -> Result<Duration, InvalidField> {
    match (u64::try_from(wire.seconds), u32::try_from(wire.nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(InvalidField::new(
            field,
            "it must not be negative, and its nanos must be within a second",
        )),
    }
}
