//! Pure decisions.
//!
//! Everything that MCP decides, it decides here: what a container's reported state means, what
//! differs from intent, which actions lead where an operation wants to go, when somebody is told.
//! No function reads a clock, a file or a random number; time is an argument, and the same inputs
//! always give the same answer. Acting is somebody else's job.

pub mod alert;
pub mod auto;
pub mod classify;
pub mod diff;
pub mod drift;
pub mod node;
mod plan;
pub mod words;

pub use plan::{Action, Decision, Goal, Situation, converge, plan};
