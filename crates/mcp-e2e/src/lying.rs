//! A podman that hangs, lies and dies on command.
//!
//! ```text
//!  test ──lie("ps", Lie::Cut(7))──► folder/orders/ps
//!                                        │ read at each call
//!  agent ──folder/podman ps …──► lying-podman ──podman ps …──► the real one
//! ```
//!
//! The program is the binary `lying-podman`, called through a link in a folder of the test's own,
//! beside which it finds its orders. They can change while an agent runs. A call that has no order
//! is the real podman's, byte for byte.

mod program;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use tempfile::TempDir;

use crate::lying_podman;

pub use program::main;

/// What a call meets with instead of podman's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lie {
    /// It does nothing, for ever.
    Hang,
    /// It does nothing for ever, and so does a child of it that holds its output open.
    HangWithChild,
    /// It answers truly and ends, but a child of it goes on and holds its output open.
    Linger,
    /// It answers truly, after so many milliseconds.
    Slow(u64),
    /// So many bytes of the true answer, with success.
    Cut(usize),
    /// Another answer, with success.
    Say(Vec<u8>),
    /// An exit code other than 0, with an error text.
    Refuse(u8, String),
    /// It kills itself before it has said or done anything.
    Die,
    /// Every third entry or line of the answer is missing, the first one included.
    Drop,
    /// Every entry or line of the answer is there twice.
    Double,
    /// The entries of the answer are in reverse; lines change places with their neighbours.
    Reorder,
    /// The fields of the answer have values of other types.
    Retype,
    /// The answer, but with events that go to the journal.
    Journald,
}

impl Lie {
    /// As an order is written.
    fn order(&self) -> Vec<u8> {
        let (word, body): (String, &[u8]) = match self {
            Self::Hang => ("hang".into(), b""),
            Self::HangWithChild => ("hang-with-child".into(), b""),
            Self::Linger => ("linger".into(), b""),
            Self::Slow(millis) => (format!("slow {millis}"), b""),
            Self::Cut(bytes) => (format!("cut {bytes}"), b""),
            Self::Say(answer) => ("say".into(), answer),
            Self::Refuse(code, why) => (format!("refuse {code}"), why.as_bytes()),
            Self::Die => ("die".into(), b""),
            Self::Drop => ("drop".into(), b""),
            Self::Double => ("double".into(), b""),
            Self::Reorder => ("reorder".into(), b""),
            Self::Retype => ("retype".into(), b""),
            Self::Journald => ("journald".into(), b""),
        };
        [word.as_bytes(), b"\n", body].concat()
    }

    /// Reads an order.
    fn parse(order: &[u8]) -> Option<Self> {
        let end = order.iter().position(|byte| *byte == b'\n')?;
        let (head, body) = (std::str::from_utf8(&order[..end]).ok()?, &order[end + 1..]);
        let (word, number) = head.split_once(' ').unwrap_or((head, "0"));
        Some(match word {
            "hang" => Self::Hang,
            "hang-with-child" => Self::HangWithChild,
            "linger" => Self::Linger,
            "slow" => Self::Slow(number.parse().ok()?),
            "cut" => Self::Cut(number.parse().ok()?),
            "say" => Self::Say(body.to_vec()),
            "refuse" => Self::Refuse(
                number.parse().ok()?,
                String::from_utf8_lossy(body).into_owned(),
            ),
            "die" => Self::Die,
            "drop" => Self::Drop,
            "double" => Self::Double,
            "reorder" => Self::Reorder,
            "retype" => Self::Retype,
            "journald" => Self::Journald,
            _ => return None,
        })
    }
}

/// A podman that takes orders. Dropping it lets go of whatever it holds up.
#[derive(Debug)]
pub struct LyingPodman {
    dir: TempDir,
    /// Held open while nobody is to hang: a call that has read its order a moment before comes to
    /// the gate after the others were let go.
    open_gate: Mutex<Option<OwnedFd>>,
}

impl LyingPodman {
    /// One that tells the truth.
    #[expect(clippy::new_without_default, reason = "it writes files")]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let podman = Self {
            dir,
            open_gate: Mutex::default(),
        };
        symlink(lying_podman(), podman.program()).expect("a folder of ours");
        fs::create_dir(orders(podman.dir.path())).expect("a folder of ours");
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, gate(podman.dir.path()), FileType::Fifo, mode, 0).expect("a folder of ours");
        podman
    }

    /// The program to configure.
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("podman")
    }

    /// Has every further call of a subcommand (`ps`, `inspect`, `run`, …; `*` for all that have no
    /// order of their own) meet with `lie`.
    pub fn lie(&self, subcommand: &str, lie: &Lie) {
        *self.gate() = None;
        // By renaming: a call must find the old order or the new one.
        let draft = self.dir.path().join("draft");
        fs::write(&draft, lie.order()).expect("a folder of ours");
        fs::rename(draft, orders(self.dir.path()).join(subcommand)).expect("a folder of ours");
    }

    /// No call lies any more; those that hang go on and answer truly.
    pub fn tell_the_truth(&self) {
        for order in fs::read_dir(orders(self.dir.path())).expect("a folder of ours") {
            fs::remove_file(order.expect("it is readable").path()).expect("a file of ours");
        }
        *self.gate() = self.let_go();
    }

    /// The subcommands that were called so far, oldest first.
    pub fn calls(&self) -> Vec<String> {
        lines(&log(self.dir.path(), "calls"))
    }

    /// The processes that hang because they were ordered to, by their ids, in order.
    pub fn hanging(&self) -> Vec<String> {
        let mut pids = lines(&log(self.dir.path(), "hanging"));
        pids.retain(|pid| is_ours(pid));
        pids
    }

    /// Lets go of whoever hangs, and of whoever comes while what it returns is held.
    fn let_go(&self) -> Option<OwnedFd> {
        // Both ends, since there may be nobody at the other one.
        open(gate(self.dir.path()), OFlags::RDWR, Mode::empty()).ok()
    }

    fn gate(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.open_gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LyingPodman {
    fn drop(&mut self) {
        drop(self.let_go());
    }
}

/// A process that ended may have a successor of its number.
fn is_ours(pid: &str) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe"));
    program.is_ok_and(|program| program.file_name() == lying_podman().file_name())
}

fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn orders(dir: &Path) -> PathBuf {
    dir.join("orders")
}

/// Whoever is to hang opens this for reading.
fn gate(dir: &Path) -> PathBuf {
    dir.join("gate")
}

fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_understood_as_they_were_given() {
        for lie in [
            Lie::Hang,
            Lie::HangWithChild,
            Lie::Linger,
            Lie::Slow(1_500),
            Lie::Cut(0),
            Lie::Say(b"\xff\n\n{".to_vec()),
            Lie::Refuse(125, "Error: no\nspace".into()),
            Lie::Die,
            Lie::Drop,
            Lie::Double,
            Lie::Reorder,
            Lie::Retype,
            Lie::Journald,
        ] {
            assert_eq!(Lie::parse(&lie.order()), Some(lie));
        }
    }
}
