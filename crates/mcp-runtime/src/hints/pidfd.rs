//! The end of a container's process, half a millisecond after it.
//!
//! One task holds one pidfd per running container. The pid comes from a look at the runtime and
//! may belong to somebody else by the time it is opened. The process's control group names the
//! container that it belongs to; where it does not, the container is looked at once more.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use futures::future::{AbortHandle, Abortable, Aborted, BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use mcp_model::{ContainerId, Instance};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::channel::{Hint, HintSender};
use super::health::{Reporter, SourceName};
use crate::fd::wait_on;

/// The lives to watch.
pub(crate) type Wanted = BTreeMap<ContainerId, Instance>;

pub(crate) fn wanted() -> (ProcessWatch, watch::Receiver<Wanted>) {
    let (sender, receiver) = watch::channel(Wanted::new());
    (ProcessWatch(sender), receiver)
}

/// Says which processes to watch. Cheap; never waits.
#[derive(Debug)]
pub struct ProcessWatch(watch::Sender<Wanted>);

impl ProcessWatch {
    /// Watches a life to its end. Each life fires once: to say the same again changes nothing,
    /// so that a runtime that goes on listing a dead process is not asked in a loop; another
    /// life of the container replaces the watch. One without a process ends it.
    pub fn watch(&self, instance: &Instance) {
        if instance.pid.is_none() {
            self.unwatch(&instance.id);
            return;
        }
        self.0.send_if_modified(|wanted| {
            let known = wanted.get(&instance.id);
            let is_news = known.is_none_or(|known| !known.is_same_life(instance));
            if is_news {
                wanted.insert(instance.id.clone(), instance.clone());
            }
            is_news
        });
    }

    /// Forgets a container.
    pub fn unwatch(&self, id: &ContainerId) {
        self.0
            .send_if_modified(|wanted| wanted.remove(id).is_some());
    }

    /// How many containers are known, whether their process still runs or not.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A life that is watched, or was.
struct Watched {
    instance: Instance,
    /// Ends the watch; nothing where the process was gone from the beginning.
    stop: Option<AbortHandle>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            stop.abort();
        }
    }
}

/// Watches until every [`ProcessWatch`] is gone.
pub(crate) async fn run(
    mut wanted: watch::Receiver<Wanted>,
    hints: &HintSender,
    reporter: &Reporter,
) {
    let mut watcher = Watcher {
        watched: BTreeMap::new(),
        ends: FuturesUnordered::new(),
        hints,
        reporter,
    };
    loop {
        let lives = wanted.borrow_and_update().clone();
        watcher.follow(lives);
        loop {
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                Some(end) = watcher.ends.next() => watcher.settle(end),
            }
        }
    }
}

struct Watcher<'a> {
    watched: BTreeMap<ContainerId, Watched>,
    ends: FuturesUnordered<Abortable<BoxFuture<'static, ContainerId>>>,
    hints: &'a HintSender,
    reporter: &'a Reporter,
}

impl Watcher<'_> {
    /// Brings the watches in line with what is wanted.
    fn follow(&mut self, lives: Wanted) {
        self.watched.retain(|id, _| lives.contains_key(id));
        let mut trouble = None;
        for (id, instance) in lives {
            let is_known = |watched: &Watched| watched.instance == instance;
            if self.watched.get(&id).is_some_and(is_known) {
                continue;
            }
            // What cannot be watched is not remembered, and tried again with the next change.
            if let Err(errno) = self.arm(id.clone(), instance) {
                tracing::warn!(container = id.short(), error = %errno, "cannot watch a process");
                trouble = Some(format!("cannot watch {}: {errno}", id.short()));
            }
        }
        let detail = trouble.as_deref().unwrap_or("container processes");
        self.reporter
            .set(SourceName::Pidfd, trouble.is_none(), detail);
    }

    fn arm(&mut self, id: ContainerId, instance: Instance) -> io::Result<()> {
        let stop = if let Some(process) = open(&instance)? {
            if !is_confirmed(&instance) {
                self.fire(&id);
            }
            let (stop, registration) = AbortHandle::new_pair();
            let end = ended(process, id.clone()).boxed();
            self.ends.push(Abortable::new(end, registration));
            Some(stop)
        } else {
            self.fire(&id);
            None
        };
        // Dropping the watch of an older life silences it, even if it has fired meanwhile.
        let life = Watched { instance, stop };
        self.watched.insert(id, life);
        Ok(())
    }

    fn settle(&mut self, end: Result<ContainerId, Aborted>) {
        if let Ok(id) = end {
            self.fire(&id);
        }
    }

    fn fire(&self, id: &ContainerId) {
        self.hints.send(Hint::Container(id.clone()));
        self.reporter.seen(SourceName::Pidfd);
    }
}

/// Opens the process; `None` where it is gone already.
fn open(instance: &Instance) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    let pid = instance.pid.and_then(|pid| i32::try_from(pid).ok());
    let Some(pid) = pid.and_then(Pid::from_raw) else {
        return Ok(None);
    };
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(process) => wait_on(process).map(Some),
        Err(Errno::SRCH) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the process, held by its pidfd by now, is known to be the container's.
fn is_confirmed(instance: &Instance) -> bool {
    let cgroups = instance
        .pid
        .map(|pid| std::fs::read_to_string(format!("/proc/{pid}/cgroup")));
    matches!(cgroups, Some(Ok(cgroups)) if names(&cgroups, &instance.id))
}

/// Whether a process's control groups name a container, as podman's do: `…/libpod-<id>.scope`.
fn names(cgroups: &str, id: &ContainerId) -> bool {
    cgroups.contains(id.as_str())
}

async fn ended(process: AsyncFd<OwnedFd>, id: ContainerId) -> ContainerId {
    // An error here means that nothing more will be heard: a reason to look as good as any.
    let _ = process.readable().await;
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_tells_whose_process_it_is() {
        let id: ContainerId = "ab".repeat(32).parse().unwrap();
        for (cgroups, ours) in [
            (
                format!("0::/user.slice/user-1.slice/libpod-{id}.scope/container\n"),
                true,
            ),
            (
                format!("9:name=systemd:/\n4:memory:/libpod_parent/libpod-{id}\n0::/\n"),
                true,
            ),
            ("0::/init.scope\n".to_owned(), false),
            (format!("0::/libpod-{}.scope\n", "cd".repeat(32)), false),
        ] {
            assert_eq!(names(&cgroups, &id), ours, "{cgroups}");
        }
    }
}
