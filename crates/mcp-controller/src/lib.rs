//! The reconciliation controller.

pub mod port;
