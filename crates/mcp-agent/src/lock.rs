//! One agent per registry (S40).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::time::{Instant, sleep};

/// How long the lock of a dead agent may stay held.
const LINGERS: Duration = Duration::from_secs(10);

/// How often it is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(20);

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("{} is held by another mcp-agent{}", path.display(), holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who, where the file says so.
        holder: Option<u32>,
    },
    /// The file cannot be opened, locked or written.
    #[error("cannot take the lock {}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Held as long as this lives. The file stays: removing it would let two agents hold two files of
/// one name.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// The lock file beside a database.
    pub fn path_beside(database: &Path) -> PathBuf {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        name.into()
    }

    /// Takes the lock beside `database`, for which it waits where its holder is dead: a child that an
    /// agent was starting when it was killed shares all its files until it becomes another program
    /// (measured under load).
    pub async fn take_over(database: &Path) -> Result<Self, LockError> {
        let until = Instant::now() + LINGERS;
        loop {
            match Self::take(database) {
                Err(LockError::Held {
                    holder: Some(pid), ..
                }) if is_dead(pid) && Instant::now() < until => sleep(AGAIN).await,
                taken => return taken,
            }
        }
    }

    /// Takes the lock beside `database`, or says who has it.
    pub fn take(database: &Path) -> Result<Self, LockError> {
        let path = Self::path_beside(database);
        let io = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = (&file).take(32).read_to_string(&mut text);
                return Err(LockError::Held {
                    path,
                    holder: text.trim().parse().ok(),
                });
            }
            Err(errno) => return Err(io(errno.into())),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// Whether a process is gone, or only waits to be waited for. Where that cannot be told, it lives.
fn is_dead(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // See proc(5): the name, in parentheses, may hold anything.
        Ok(stat) => stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X'])),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// More than the kernel ever gives: an id that was somebody's may be somebody else's by now.
    const DEAD: u32 = (1 << 22) + 1;

    #[tokio::test(start_paused = true)]
    async fn the_lock_of_an_agent_that_was_killed_is_waited_for_while_its_child_still_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("mcp.db");
        let held = Lock::take(&database).unwrap();
        let holder = |pid: u32| std::fs::write(Lock::path_beside(&database), pid.to_string());

        let living = Lock::take_over(&database).await;
        assert!(matches!(living, Err(LockError::Held { .. })));

        holder(DEAD).unwrap();
        let mut taking = pin!(Lock::take_over(&database));
        tokio::select! {
            biased;
            taken = &mut taking => panic!("two have it: {taken:?}"),
            () = sleep(AGAIN * 2) => {}
        }
        drop(held);
        let taken = taking.await.unwrap();

        holder(DEAD).unwrap();
        let for_ever = Lock::take_over(&database).await;
        assert!(matches!(for_ever, Err(LockError::Held { .. })));
        drop(taken);
    }

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("mcp.db");
        let first = Lock::take(&database).unwrap();
        let error = Lock::take(&database).unwrap_err().to_string();
        assert!(
            error.contains(&format!("(pid {})", std::process::id())),
            "{error}"
        );
        drop(first);
        assert!(Lock::take(&database).is_ok());
    }
}
