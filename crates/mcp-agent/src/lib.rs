//! The agent: one node's registry, controller and gRPC api, wired together.
//!
//! ```text
//!  serve (doors) ─► gate (who, audit) ─► api ─► registry
//!                                         │        │
//!                                         └─► controller ◄─ adapters: runtime, hints, alerts, clock
//! ```
//!
//! [`node`] puts the parts together; [`cli`] is the binary's command line.

pub mod adapters;
pub mod api;
pub mod cli;
pub mod failpoints;
pub mod gate;
pub mod lock;
pub mod logging;
pub mod node;
pub mod serve;
pub mod tokens;
pub mod watch;
