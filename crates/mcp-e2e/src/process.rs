//! Processes: one that answers and ends, and one that stays.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal};

use crate::until;

/// What a command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Reply {
    /// Runs a command to its end.
    #[track_caller]
    pub fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output();
        output
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"))
            .into()
    }

    /// Its standard output; panics where the command failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(
            self.code,
            Some(0),
            "failed\n{}\n{}",
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// Its standard error; panics where the command did not end with `code`.
    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert_eq!(
            self.code,
            Some(code),
            "not refused\n{}\n{}",
            self.stdout,
            self.stderr
        );
        self.stderr
    }
}

impl From<Output> for Reply {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A process that stays until it is told to go. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; what it writes goes to the end of `log`.
    #[track_caller]
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log opens");
        let errors = file.try_clone().expect("a file has a second handle");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self {
            child,
            log: log.to_owned(),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or `None` while it lives.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits until `ready` gives something; panics with the log where the process ends first.
    #[track_caller]
    pub fn wait_until<T>(&mut self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        let log = self.log.clone();
        until(what, || {
            if let Some(status) = self.ended() {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("waiting for: {what}\nended with {status}\n{log}");
            }
            ready()
        })
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        until("the process ends", || self.ended())
    }

    /// Ends it without asking (SIGKILL).
    pub fn kill(mut self) {
        self.end();
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a child that was not waited for");
    }

    fn end(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
