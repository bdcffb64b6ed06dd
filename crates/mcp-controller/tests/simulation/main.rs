//! The whole controller on a runtime in memory, a real registry file and a paused clock.

mod alerts;
mod auto;
mod faults;
mod hints;
mod node;
mod operations;
mod replacement;
mod storm;
mod why;
mod world;
