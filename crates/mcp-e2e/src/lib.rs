//! End-to-end tests: the real binaries, real TLS, real podman, a real registry.
//!
//! This library is what the tests in `tests/` are made of:
//!
//! ```text
//!  Workstation ──mcp──► Agent ──podman──► Podman ──pull──► ImageRegistry
//!  (config,             (a node: init,    (a storage of    (docker-registry
//!   definitions)         server, log)      its own)         on loopback)
//!                          │                  ▲
//!                          ├──LyingPodman─────┘   (hangs, garbles, dies on command)
//!                          └──alert command──► Alerts
//! ```
//!
//! Everything is private to the test that makes it, and is gone when it is dropped: folders,
//! processes, containers, networks. Nothing here sleeps for a guessed time; [`until`] looks until
//! something holds. A part that cannot be made panics, since no test can go on without it.
//!
//! `tests/house.rs` needs no podman: it holds the rules about the sources themselves.

mod agent;
mod alerts;
mod binaries;
mod definition;
mod image_registry;
pub mod lying;
mod net;
mod oci;
mod podman;
mod process;
mod turn;
mod wait;
mod workstation;

pub use agent::{Agent, AgentOptions, FullDisk};
pub use alerts::Alerts;
pub use binaries::{lying_podman, mcp, mcp_agent, repository};
pub use definition::{Component, definition};
pub use image_registry::ImageRegistry;
pub use lying::{Lie, LyingPodman};
pub use net::{free_port, http_get};
pub use oci::{HeldRuntime, Side};
pub use podman::{Broken, Podman};
pub use process::{Daemon, Reply};
pub use wait::until;
pub use workstation::Workstation;
