//! The reconciliation controller.
//!
//! ```text
//!  RPC writes ──┐
//!  hints ───────┼─ keys ─► queue ─► runner ─► reconcile ─► plan() ─► runtime
//!  resync ──────┘                               │  │
//!                                    store ◄────┘  └────► view
//! ```
//!
//! A trigger only names a key. The reconciler looks at the runtime and at what is stored, lets
//! `mcp-plan` decide, executes under an open operation, stores what changed, and publishes.

mod controller;
mod dispatch;
mod explain;
mod handle;
mod looks;
mod message;
mod node;
pub mod port;
pub mod queue;
mod reconcile;
mod settings;
mod view;

use std::sync::Arc;

pub use controller::Controller;
pub use explain::{Explanation, Schedule};
pub use handle::{Handle, Trigger};
pub use settings::Settings;
pub use view::{Delivery, MAX_FOREIGN, Standing, Status, Verdict, View};

use port::{AlertSink, Clock, Runtime, Store};

/// The world as the controller sees it.
#[derive(Clone)]
pub struct Ports {
    /// Runs containers.
    pub runtime: Arc<dyn Runtime>,
    /// Remembers.
    pub store: Arc<dyn Store>,
    /// Tells somebody.
    pub alerts: Arc<dyn AlertSink>,
    /// Knows the time.
    pub clock: Arc<dyn Clock>,
}
