//! The registry on real files: what is stored survives, what is refused changes nothing.

mod handle;
mod incidents;
mod invariants;
mod news;
mod observation;
mod opening;
mod operations;
mod overwrite;
mod pruning;
mod refusals;
mod steps;
mod support;
mod sync;
mod tokens;
