//! Children: a deadline, an own process group, a cap on what is read, a clean environment.
//!
//! A child that reaches its deadline, talks too much or is no longer waited for is killed with
//! its whole group. Pipes that a grandchild keeps open are not waited for: once the child has
//! ended, what it wrote is there to be read.
//!
//! What may change something is recorded before it can (see `children`).

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::Child;

use crate::argv::Command;
use crate::children::{self, Children, Record};

/// What a child inherits. Nothing else does: the agent's own environment may hold secrets, and a
/// `NOTIFY_SOCKET` in podman's hands would speak for the agent.
pub const INHERITED: [&str; 6] = [
    "PATH",
    "HOME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "LANG",
    "TMPDIR",
];

/// How long a pipe may stay open after the child has ended.
const PIPE_GRACE: Duration = Duration::from_millis(200);
/// How much of standard error is kept: its end.
const STDERR_KEPT: usize = 16 * 1024;

/// The bounds of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the child may run.
    pub deadline: Duration,
    /// How much it may write to standard output, in bytes.
    pub stdout: usize,
}

/// A child that ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// The end of what it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// Why there is no [`Finished`]. The child was killed, where there was one.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started or waited for.
    #[error("cannot run the program")]
    Spawn(#[source] io::Error),
    /// It reached its deadline.
    #[error("no end within {0:?}")]
    TimedOut(Duration),
    /// It wrote more than it may.
    #[error("more than {0} bytes of output")]
    TooMuch(usize),
}

/// Runs a command to its end, with both streams apart.
pub async fn run(command: &Command, limits: &Limits) -> Result<Finished, ProcessError> {
    let mut tokio_command = prepare(command);
    tokio_command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let spawned = Spawned::new(&mut tokio_command).map_err(ProcessError::Spawn)?;
    both(spawned, limits).await
}

/// As [`run`], for a command that may change something: it is on record with `children` before it
/// can act, and until it was waited for (S15). Where it cannot be recorded it does not act.
pub async fn run_recorded(
    command: &Command,
    limits: &Limits,
    children: &Children,
) -> Result<Finished, ProcessError> {
    let mut tokio_command = prepare(&children::gate(command));
    tokio_command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut spawned = Spawned::new(&mut tokio_command).map_err(ProcessError::Spawn)?;
    spawned
        .release(children)
        .await
        .map_err(ProcessError::Spawn)?;
    both(spawned, limits).await
}

async fn both(mut spawned: Spawned, limits: &Limits) -> Result<Finished, ProcessError> {
    let stdout = spawned.child.stdout.take().expect("stdout is piped");
    let stderr = spawned.child.stderr.take().expect("stderr is piped");
    finish(spawned, stdout, Some(stderr), Keep::All, limits).await
}

/// Runs a command to its end, with both streams as one, in the order of writing. Only the end of
/// it is kept where it is longer than the limit; [`Finished::stderr`] is the same text.
pub async fn run_merged(command: &Command, limits: &Limits) -> Result<Finished, ProcessError> {
    let (reader, writer) = io::pipe().map_err(ProcessError::Spawn)?;
    let second = writer.try_clone().map_err(ProcessError::Spawn)?;
    let mut tokio_command = prepare(command);
    tokio_command.stdout(writer).stderr(second);
    let spawned = Spawned::new(&mut tokio_command).map_err(ProcessError::Spawn)?;
    // The command holds this side's copies of the writing ends: no end of file while it lives.
    drop(tokio_command);
    let reader =
        pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(ProcessError::Spawn)?;
    let none: Option<tokio::process::ChildStderr> = None;
    let mut finished = finish(spawned, reader, none, Keep::End, limits).await?;
    finished.stderr.clone_from(&finished.stdout);
    Ok(finished)
}

/// A running child and its group, which is killed when this is dropped.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    group: Option<Pid>,
    record: Option<Record>,
}

impl Spawned {
    pub(crate) fn new(command: &mut tokio::process::Command) -> io::Result<Self> {
        let child = command.spawn()?;
        // The child leads its group, and is not reaped before this side has waited for it: until
        // then the number cannot belong to anybody else.
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Ok(Self {
            child,
            group,
            record: None,
        })
    }

    /// Records a child that waits behind its gate, and opens it.
    async fn release(&mut self, children: &Children) -> io::Result<()> {
        let gone = || io::Error::other("it ended before it began");
        let pid = self.group.ok_or_else(gone)?;
        let mut gate = self.child.stdin.take().ok_or_else(gone)?;
        self.record = Some(children.admit(pid)?);
        gate.write_all(b"\n").await?;
        children.pass("after:child.release");
        Ok(())
    }

    /// Waits for the child. What is left of its group lives on: podman leaves network helpers.
    pub(crate) async fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        let status = self.child.wait().await?;
        self.group = None;
        if let Some(record) = self.record.take() {
            record.reaped();
        }
        Ok(status)
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            // It may have ended meanwhile, which is what this is for.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

pub(crate) fn prepare(command: &Command) -> tokio::process::Command {
    let mut prepared = tokio::process::Command::new(&command.program);
    prepared
        .args(&command.args)
        .env_clear()
        .envs(inherited(std::env::vars_os()))
        .envs(&command.env)
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0);
    prepared
}

fn inherited(
    own: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    own.filter(|(name, _)| INHERITED.iter().any(|allowed| name == allowed))
}

/// What becomes of output beyond the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// It ends the call.
    All,
    /// The beginning is forgotten.
    End,
}

async fn finish(
    mut spawned: Spawned,
    stdout: impl AsyncRead + Unpin,
    stderr: Option<impl AsyncRead + Unpin>,
    keep: Keep,
    limits: &Limits,
) -> Result<Finished, ProcessError> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let readers = async {
        let errors = async {
            match stderr {
                Some(stderr) => read(stderr, &mut err, STDERR_KEPT, Keep::End).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(read(stdout, &mut out, limits.stdout, keep), errors).map(|_| ())
    };
    let status = tokio::time::timeout(limits.deadline, drive(&mut spawned, readers))
        .await
        .map_err(|_| ProcessError::TimedOut(limits.deadline))??;
    Ok(Finished {
        code: status.code(),
        stdout: out,
        stderr: err,
    })
}

async fn drive(
    spawned: &mut Spawned,
    readers: impl Future<Output = Result<(), ProcessError>>,
) -> Result<std::process::ExitStatus, ProcessError> {
    tokio::pin!(readers);
    tokio::select! {
        read = &mut readers => {
            read?;
            spawned.wait().await.map_err(ProcessError::Spawn)
        }
        status = spawned.wait() => {
            if let Ok(read) = tokio::time::timeout(PIPE_GRACE, readers).await {
                read?;
            }
            status.map_err(ProcessError::Spawn)
        }
    }
}

async fn read(
    mut from: impl AsyncRead + Unpin,
    into: &mut Vec<u8>,
    limit: usize,
    keep: Keep,
) -> Result<(), ProcessError> {
    let mut chunk = vec![0; 32 * 1024];
    loop {
        let count = from.read(&mut chunk).await.map_err(ProcessError::Spawn)?;
        if count == 0 {
            return Ok(());
        }
        into.extend_from_slice(&chunk[..count]);
        if into.len() > limit {
            if keep == Keep::All {
                return Err(ProcessError::TooMuch(limit));
            }
            into.drain(..into.len() - limit);
        }
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
