//! Waiting for a descriptor that is neither socket nor pipe.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the reactor, for reading.
#[expect(
    deprecated,
    reason = "its replacement is unsafe; an `OwnedFd` keeps what that asks for: one open descriptor, \
              always the same, until it is dropped"
)]
pub(crate) fn wait_on(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
