//! The whole controller on a runtime in memory, a real registry file and a paused clock.

mod alerts;
mod auto;
mod fate;
mod faults;
mod hints;
mod kills;
mod node;
mod operations;
mod ports;
mod replacement;
mod resumed;
mod storm;
mod way_back;
mod why;
mod world;
