//! Children that may change something, on record before they can (S15).
//!
//! A killed agent leaves its children behind, and an orphaned `podman stop` finishes its work.
//! So such a child starts behind a gate: a shell that waits for a line before it becomes the
//! program. The agent writes the child's record in between; killed before that, the line never
//! comes and the shell ends.
//!
//! ```text
//!  spawn ──► record ──► open the gate ──► … ──► reaped ──► record removed
//!                                          agent killed ──► the next one ends it by its record
//! ```
//!
//! What only looks is not recorded: it changes nothing, and ends by itself. The event follower ends
//! with its next line, which nobody reads.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::argv::Command;
use crate::core_limit::CoreLimit;
use crate::fd::wait_on;

/// Why a child could not be recorded or ended.
#[derive(Debug, thiserror::Error)]
pub enum ChildrenError {
    /// The folder of records is not usable.
    #[error("cannot use the folder of children {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another agent keeps its records there.
    #[error("another mcp-agent keeps its children in {}: give each its own [agent] run_dir", path.display())]
    Held {
        /// The folder.
        path: PathBuf,
    },
    /// A record could not be written: the child never acted.
    #[error("cannot record a child in {}", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A survivor could not be ended or waited for.
    #[error("cannot end process {pid}, which an agent that was killed has left behind")]
    End {
        /// The survivor.
        pid: i32,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A survivor was killed and is still there.
    #[error(
        "process {pid}, which an agent that was killed has left behind, did not end within {patience:?} of SIGKILL"
    )]
    Stays {
        /// The survivor.
        pid: i32,
        /// How long it was waited for.
        patience: Duration,
    },
}

/// Told of each point that a child passes.
#[cfg(feature = "failpoints")]
pub type Probe = Arc<dyn Fn(&'static str) + Send + Sync>;

/// The folder of records, held by one agent as long as this or a clone of it lives.
#[derive(Clone)]
pub struct Children {
    folder: Arc<Folder>,
    core: Option<CoreLimit>,
}

struct Folder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
    boot: String,
    /// Children that were killed and not waited for.
    left: Mutex<Vec<Process>>,
    #[cfg(feature = "failpoints")]
    probe: Mutex<Option<Probe>>,
}

/// A process that cannot be mistaken for another one: pids are used again, start times differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: Pid,
    /// In clock ticks since boot.
    started: u64,
}

/// What `/proc/<pid>/stat` says.
struct Stat {
    started: u64,
    group: i32,
    /// It has ended, and is only waited for.
    is_over: bool,
}

impl Children {
    /// Keeps records in `folder`, which is made where it is missing.
    pub fn open(folder: &Path) -> Result<Self, ChildrenError> {
        let path = folder.to_owned();
        let failed = |source| ChildrenError::Folder {
            path: folder.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let lock = File::open(folder).map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(ChildrenError::Held { path }),
            Err(errno) => return Err(failed(errno.into())),
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(failed)?;
        let folder = Folder {
            path,
            _lock: lock,
            boot: boot.trim().to_owned(),
            left: Mutex::default(),
            #[cfg(feature = "failpoints")]
            probe: Mutex::default(),
        };
        Ok(Self {
            folder: Arc::new(folder),
            core: None,
        })
    }

    /// Gives children back the limit on core files that the agent had before it lowered its own.
    #[must_use]
    pub fn with_core_limit(self, limit: CoreLimit) -> Self {
        Self {
            core: Some(limit),
            ..self
        }
    }

    /// Has `probe` told of each point that a child passes from now on.
    #[cfg(feature = "failpoints")]
    pub fn probe(&self, probe: Probe) {
        let mut place = self
            .folder
            .probe
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some(probe);
    }

    /// Ends what an agent before this one has left behind, with its whole group, and waits for each
    /// up to `patience`. Says how many there were. A record of a process that is not there any more,
    /// or of another boot, is only removed.
    pub async fn end_survivors(&self, patience: Duration) -> Result<usize, ChildrenError> {
        let failed = |source| ChildrenError::Folder {
            path: self.folder.path.clone(),
            source,
        };
        let mut ended = 0;
        for entry in fs::read_dir(&self.folder.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if let Some(survivor) = self.read(&path).filter(|process| process.is_there()) {
                let pid = survivor.pid.as_raw_nonzero().get();
                match tokio::time::timeout(patience, survivor.end()).await {
                    Ok(Ok(())) => ended += 1,
                    Ok(Err(source)) => return Err(ChildrenError::End { pid, source }),
                    Err(_) => return Err(ChildrenError::Stays { pid, patience }),
                }
            }
            fs::remove_file(&path).map_err(failed)?;
        }
        Ok(ended)
    }

    /// A record as it was written whole, on this boot.
    fn read(&self, path: &Path) -> Option<Process> {
        let text = fs::read_to_string(path).ok()?;
        // One that was cut short belongs to a child whose gate was never opened.
        let mut words = text.strip_suffix('\n')?.split(' ');
        let pid = Pid::from_raw(words.next()?.parse().ok()?)?;
        let started = words.next()?.parse().ok()?;
        // No child of ours is the first process, and a signal to its group goes to everybody.
        let is_ours = !pid.is_init() && words.next()? == self.folder.boot;
        is_ours.then_some(Process { pid, started })
    }

    /// Records a child that waits behind its gate, with the limit that it is to have beyond it.
    pub(crate) fn admit(&self, pid: Pid) -> io::Result<Record> {
        if let Some(limit) = self.core {
            limit.give_back(pid)?;
        }
        self.record(pid).map_err(io::Error::other)
    }

    /// Writes the record of a child.
    fn record(&self, pid: Pid) -> Result<Record, ChildrenError> {
        self.pass("after:child.spawn");
        self.forget_the_dead();
        let path = self.folder.path.join(pid.as_raw_nonzero().to_string());
        let failed = |source| ChildrenError::Record {
            path: path.clone(),
            source,
        };
        let started = stat(pid).map_err(failed)?.started;
        let line = format!("{} {started} {}\n", pid.as_raw_nonzero(), self.folder.boot);
        // No sync: what a crash of the machine would lose, it ends, too.
        fs::write(&path, line).map_err(failed)?;
        self.pass("after:child.record");
        Ok(Record {
            children: self.clone(),
            process: Process { pid, started },
            reaped: false,
        })
    }

    /// Removes the records of killed children that have gone meanwhile.
    fn forget_the_dead(&self) {
        let mut left = self
            .folder
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        left.retain(|process| {
            let stays = process.lives();
            if !stays {
                self.remove(*process);
            }
            stays
        });
    }

    fn remove(&self, process: Process) {
        let name = process.pid.as_raw_nonzero().to_string();
        if let Err(error) = fs::remove_file(self.folder.path.join(name)) {
            tracing::warn!(pid = %process.pid.as_raw_nonzero(), %error, "cannot remove the record of a child");
        }
    }

    #[cfg(feature = "failpoints")]
    pub(crate) fn pass(&self, point: &'static str) {
        let probe = self
            .folder
            .probe
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(probe) = probe.as_ref() {
            probe(point);
        }
    }

    #[cfg(not(feature = "failpoints"))]
    #[expect(clippy::unused_self, reason = "there is nobody to tell")]
    pub(crate) fn pass(&self, _point: &'static str) {}
}

impl std::fmt::Debug for Children {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Children").field(&self.folder.path).finish()
    }
}

/// A child on record.
pub(crate) struct Record {
    children: Children,
    process: Process,
    reaped: bool,
}

impl Record {
    /// The child was waited for: nobody need end it any more.
    pub(crate) fn reaped(mut self) {
        self.children.pass("before:child.forget");
        self.reaped = true;
        self.children.remove(self.process);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.reaped {
            // It is about to end, but not known to have: its record stays until it has.
            let left = &self.children.folder.left;
            let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
            left.push(self.process);
        }
    }
}

/// The command behind a gate: it becomes the program, under the same pid, once it reads a line.
/// The end of its input ends it.
pub(crate) fn gate(command: &Command) -> Command {
    const GATE: &str = r#"read -r line && exec "$@" </dev/null"#;
    let mut args: Vec<String> = vec!["-c".into(), GATE.into(), "sh".into()];
    args.push(command.program.clone());
    args.extend(command.args.iter().cloned());
    Command {
        program: "/bin/sh".into(),
        args,
        env: command.env.clone(),
    }
}

impl Process {
    /// Whether it is there, be it only to be waited for.
    fn is_there(self) -> bool {
        stat(self.pid).is_ok_and(|stat| stat.started == self.started)
    }

    fn lives(self) -> bool {
        stat(self.pid).is_ok_and(|stat| stat.started == self.started && !stat.is_over)
    }

    /// Kills its whole group until nobody of it lives.
    async fn end(self) -> io::Result<()> {
        loop {
            // Opened before the group is killed: their ends cannot be missed. While one of them
            // lives, the group's number cannot become somebody else's.
            let members = members(self.pid)?;
            if members.is_empty() {
                return Ok(());
            }
            match kill_process_group(self.pid, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno.into()),
            }
            for member in members {
                // Readable from its end on, whether anybody waits for it or not.
                wait_on(member)?.readable().await?.retain_ready();
            }
        }
    }
}

/// Those of a group who live.
fn members(group: Pid) -> io::Result<Vec<std::os::fd::OwnedFd>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        let is_member = || {
            stat(pid).is_ok_and(|stat| stat.group == group.as_raw_nonzero().get() && !stat.is_over)
        };
        if !is_member() {
            continue;
        }
        match pidfd_open(pid, PidfdFlags::empty()) {
            // Once more: the number may have become somebody else's before it was opened.
            Ok(fd) if is_member() => found.push(fd),
            Ok(_) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(found)
}

fn stat(pid: Pid) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    parse_stat(&text).ok_or_else(|| io::Error::other("the kernel's answer is not understood"))
}

/// See proc(5).
fn parse_stat(text: &str) -> Option<Stat> {
    // The name, in parentheses, may hold anything: fields are counted after it.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        is_over: matches!(*fields.first()?, "Z" | "X" | "x"),
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
#[path = "children_tests.rs"]
mod tests;
