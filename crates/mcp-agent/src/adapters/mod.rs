//! The world as the controller's ports want it.

pub mod alert;
pub mod clock;
pub mod database;
pub mod hints;
pub mod runtime;
pub mod store;
pub mod tokens;
