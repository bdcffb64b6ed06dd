//! How long the caller will wait.

use std::time::Duration;

use tokio::time::Instant;
use tonic::codegen::http::HeaderMap;

/// When the caller stops waiting, less the time that an answer needs to reach it. Carried by the
/// request: it ends the waiting for an operation, never the operation (S18).
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// Reads the `grpc-timeout` header. What cannot be read means that there is no deadline.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let timeout = parse(headers.get("grpc-timeout")?.to_str().ok()?)?;
        let margin = (timeout / 10).min(Duration::from_millis(500));
        Instant::now()
            .checked_add(timeout.saturating_sub(margin))
            .map(Self)
    }
}

/// At most eight digits and a unit, as the gRPC protocol over HTTP/2 has it.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (text, want) in [
            ("30S", Some(Duration::from_secs(30))),
            ("1500m", Some(Duration::from_millis(1500))),
            ("2M", Some(Duration::from_mins(2))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("", None),
            ("S", None),
            ("123456789S", None),
            ("-1S", None),
            ("10", None),
            ("10ä", None),
        ] {
            assert_eq!(parse(text), want, "{text:?}");
        }
    }
}
