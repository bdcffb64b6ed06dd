//! What happens on the node, remembered for a while, for those who follow it.
//!
//! ```text
//!  view (states, drift) ──┐
//!                         ├─► journal ─► picture (what is so) ──► whoever begins
//!  registry (operations, ─┘      └─────► ring (what happened) ──► whoever goes on
//!            incidents)
//! ```
//!
//! One task writes. A reader pulls at its own pace and is nothing but a place in the ring: whoever
//! is too slow for it, or comes from an earlier life of the agent, is told everything anew. So what
//! is held in memory depends neither on how many follow nor on how slowly.

mod journal;
mod picture;
mod reader;
mod ring;
#[cfg(test)]
mod tests;

pub use journal::{Journal, Writer};
pub use reader::Reader;
pub use ring::{Cursor, Limits};

use mcp_model::ServiceName;

/// What one message says.
pub(crate) use mcp_proto::v1::watch_response::Change;

/// A change, and whom it concerns: without a service, everybody.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    service: Option<ServiceName>,
    change: Change,
}

impl Told {
    fn concerns(&self, service: Option<&ServiceName>) -> bool {
        concerns(self.service.as_ref(), service)
    }
}

/// Whether what is told of one service, or of everything, concerns who follows one, or everything.
fn concerns(of: Option<&ServiceName>, wanted: Option<&ServiceName>) -> bool {
    match (wanted, of) {
        (Some(wanted), Some(of)) => wanted == of,
        _ => true,
    }
}
