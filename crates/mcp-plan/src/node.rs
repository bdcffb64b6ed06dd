//! What concerns the node as a whole, and is told once for all of its components (S31).
//!
//! While the runtime does not answer, everything is unknown, and nothing is told of any component:
//! that is an *outage*, one incident of the node. After a *reboot*, what comes back by itself within
//! a settling time is not told at all; what does not is one incident of the node, which stands for
//! the drift of each of them until the last of them is as wanted.

use std::time::Duration;

use mcp_model::{ComponentKey, ComponentRecord, DesiredState, Drift, DriftKind, Incident, Moment};

use crate::alert::Standing;

/// Most components that a message names; the others are counted.
const NAMED: usize = 5;

/// Whether there is an outage to tell of. `failing` is when the first look began that failed, and
/// when the last one did fail; `None` is a runtime that answers. One failure, however old it is by
/// now, is no outage: it takes another one, or one that took so long.
pub fn outage(failing: Option<(Moment, Moment)>, settle: Duration) -> Standing {
    match failing {
        None => Standing::Gone,
        Some((since, last)) if last.has_reached(&since.plus(settle)) => {
            Standing::Stands { since, due: since }
        }
        Some(_) => Standing::Hold,
    }
}

/// Why, in plain words.
pub fn outage_words(why: &str) -> String {
    format!("the runtime does not answer: {why}")
}

/// Which components did not come back, in plain words.
pub fn reboot_words(missing: &[ComponentKey]) -> String {
    let count = match missing.len() {
        1 => "1 component".to_owned(),
        many => format!("{many} components"),
    };
    let named: Vec<String> = missing
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let more = match missing.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "the node was rebooted and {count} did not come back: {}{more}",
        named.join(", ")
    )
}

/// Whether a reboot took a component down: it is meant to run, does not, and has not since this
/// boot began. What was down before has an incident of its own.
pub fn is_taken_down(record: &ComponentRecord, drift: &[Drift], now: &Moment) -> bool {
    let down = drift
        .iter()
        .any(|drift| drift.kind == DriftKind::State && drift.desired == DesiredState::Running);
    let in_this_boot = record
        .observed_since
        .is_some_and(|since| since.boot_id == now.boot_id);
    down && in_this_boot
}

/// Whether intent has changed since an incident opened. What was told with the node's incident is
/// the component's own affair from then on.
pub fn is_overtaken(incident: &Incident, record: &ComponentRecord) -> bool {
    !incident.opened.has_reached(&record.intent_at)
}
