//! The container runtime.
//!
//! A request becomes an argument vector (`argv`, pure), the vector becomes a process with a
//! deadline (`process`), and what it printed becomes containers of the model (`parse`, pure).
//! [`Podman`] strings the three together behind [`ContainerRuntime`]; [`fake::Fake`] implements
//! the same trait in memory, for simulations under a paused clock. [`hints`] says where to look
//! before the next resync does; it is never believed.
//!
//! ```text
//! RunRequest ──argv──► Command ──process──► Finished ──parse──► Container
//!               ▲                                │
//!             mount (S48)                      words ──► RuntimeError
//! ```

pub mod argv;
mod batch;
pub mod children;
mod core_limit;
pub mod error;
pub mod fake;
mod fd;
pub mod hints;
pub mod mount;
pub mod parse;
pub mod podman;
pub mod process;
pub mod runtime;
pub mod shell;
mod words;

pub use argv::{Command, PodmanArgs};
pub use children::{Children, ChildrenError};
pub use core_limit::CoreLimit;
pub use error::{Call, RuntimeError};
pub use mount::{MountPolicy, MountRefused};
pub use podman::{Deadlines, Podman, Settings};
pub use runtime::{ContainerRuntime, Listing, RunRequest};
pub use shell::shell_line;
