//! Changes of the runtime's event log and exit directory.
//!
//! An exit file is named after its container, so that one says who; the event log only says that
//! something happened. One read of the queue is at most one hint of that kind.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use mcp_model::ContainerId;
use rustix::fs::inotify::{CreateFlags, Event, ReadFlags, Reader, WatchFlags, add_watch, init};
use tokio::io::unix::AsyncFd;

use super::channel::{Hint, HintSender};
use super::health::{Reporter, SourceName};
use crate::fd::wait_on;

/// How long to wait before a directory that is not there is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Watches the directories for ever; at once returns where there are none.
pub(crate) async fn run(directories: &[PathBuf], hints: &HintSender, reporter: &Reporter) {
    if directories.is_empty() {
        return;
    }
    let mut missed = false;
    loop {
        let error = match watch(directories) {
            Ok(queue) => {
                reporter.set(SourceName::Inotify, true, &names(directories));
                if missed {
                    hints.send(Hint::Changed);
                }
                follow(&queue, hints, reporter).await
            }
            Err(error) => error,
        };
        missed = true;
        tracing::debug!(error = %error, "cannot watch the runtime's files");
        let detail = format!("cannot watch {}: {error}", names(directories));
        reporter.set(SourceName::Inotify, false, &detail);
        tokio::time::sleep(RETRY).await;
    }
}

fn names(directories: &[PathBuf]) -> String {
    let names: Vec<_> = directories.iter().map(|d| d.to_string_lossy()).collect();
    names.join(", ")
}

fn watch(directories: &[PathBuf]) -> io::Result<AsyncFd<OwnedFd>> {
    let queue = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let flags = WatchFlags::CREATE
        | WatchFlags::MODIFY
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    for directory in directories {
        add_watch(&queue, directory, flags)?;
    }
    wait_on(queue)
}

/// Follows until a directory goes away or the queue fails; says which.
async fn follow(queue: &AsyncFd<OwnedFd>, hints: &HintSender, reporter: &Reporter) -> io::Error {
    loop {
        let mut ready = match queue.readable().await {
            Ok(ready) => ready,
            Err(error) => return error,
        };
        let burst = match drain(queue.get_ref()) {
            Ok(burst) => burst,
            Err(error) => return error,
        };
        ready.clear_ready();
        reporter.seen(SourceName::Inotify);
        for id in burst.exited {
            hints.send(Hint::Container(id));
        }
        if burst.changed {
            hints.send(Hint::Changed);
        }
        if burst.gone {
            return io::Error::other("the directory went away");
        }
    }
}

/// What one emptying of the queue said.
#[derive(Default)]
struct Burst {
    exited: BTreeSet<ContainerId>,
    changed: bool,
    gone: bool,
}

impl Burst {
    fn take(&mut self, event: &Event<'_>) {
        let gone = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED;
        self.gone |= event.events().intersects(gone);
        // conmon writes to `<id>.<random>` and renames it to `<id>`.
        let name = event.file_name().and_then(|name| name.to_str().ok());
        let stem = name.and_then(|name| name.split('.').next());
        match stem.map(str::parse) {
            Some(Ok(id)) => {
                self.exited.insert(id);
            }
            _ => self.changed = true,
        }
    }
}

fn drain(queue: &OwnedFd) -> io::Result<Burst> {
    let mut buffer = [MaybeUninit::uninit(); 8 * 1024];
    let mut reader = Reader::new(queue, &mut buffer);
    let mut burst = Burst::default();
    loop {
        match reader.next() {
            Ok(event) => burst.take(&event),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(burst),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
