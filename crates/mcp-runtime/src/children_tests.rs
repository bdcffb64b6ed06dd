use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use super::*;
use crate::process::{Limits, ProcessError, run_recorded};

/// Longer than any test may take: what ends earlier did not end by this.
const AGES: Duration = Duration::from_hours(1);

struct Stage {
    dir: tempfile::TempDir,
    children: Children,
}

fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let children = Children::open(&dir.path().join("children")).unwrap();
    Stage { dir, children }
}

impl Stage {
    fn sh(&self, script: &str) -> Command {
        Command {
            program: "sh".into(),
            args: vec![
                "-c".into(),
                format!("cd {}; {script}", self.dir.path().display()),
            ],
            env: BTreeMap::new(),
        }
    }

    async fn run(&self, script: &str, deadline: Duration) -> Result<String, ProcessError> {
        let limits = Limits {
            deadline,
            stdout: 64 * 1024,
        };
        let finished = run_recorded(&self.sh(script), &limits, &self.children).await?;
        Ok(String::from_utf8(finished.stdout).unwrap())
    }

    fn records(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.children.folder.path).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// A group of two processes that nobody here waits for, as a killed agent leaves them, and its
    /// leader. Both hold the lock on `lock`.
    fn orphan(&self) -> (Process, std::process::Child) {
        let ready = self.dir.path().join("ready");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &ready,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        let command = self.sh("exec 9>lock; flock 9; sleep 1000000 & echo >ready; sleep 1000000");
        let child = std::process::Command::new(command.program)
            .args(command.args)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        fs::read(ready).unwrap();
        let pid = Pid::from_child(&child);
        let started = stat(pid).unwrap().started;
        (Process { pid, started }, child)
    }

    fn write(&self, process: Process, boot: &str) {
        let (pid, started) = (process.pid.as_raw_nonzero(), process.started);
        let path = self.children.folder.path.join(pid.to_string());
        fs::write(path, format!("{pid} {started} {boot}\n")).unwrap();
    }

    /// Whether nobody of an orphaned group lives.
    fn is_free(&self) -> bool {
        let lock = File::open(self.dir.path().join("lock")).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
    }
}

fn put_away(process: Process, mut child: std::process::Child) {
    let _ = kill_process_group(process.pid, Signal::KILL);
    child.wait().unwrap();
}

#[tokio::test]
async fn a_child_is_on_record_when_it_acts_and_no_more_once_it_has_ended() {
    let stage = stage();
    let said = stage.run("cat children/$$; cut -d' ' -f22 /proc/$$/stat", AGES);
    let said = said.await.unwrap();
    let (record, started) = said.split_once('\n').unwrap();
    let boot = &stage.children.folder.boot;
    assert!(
        record.ends_with(&format!(" {} {boot}", started.trim())),
        "{said}"
    );
    assert!(stage.records().is_empty());
}

#[tokio::test]
async fn a_child_that_cannot_be_recorded_never_acts() {
    let stage = stage();
    fs::remove_dir(&stage.children.folder.path).unwrap();
    let error = stage.run("touch acted", AGES).await.unwrap_err();
    assert!(matches!(error, ProcessError::Spawn(_)), "{error:?}");
    assert!(!stage.dir.path().join("acted").exists());
}

#[test]
fn a_child_whose_agent_dies_before_it_opens_the_gate_ends_without_acting() {
    let stage = stage();
    let command = gate(&stage.sh("touch acted"));
    let mut child = std::process::Command::new(command.program)
        .args(command.args)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdin.take());
    assert!(!child.wait().unwrap().success());
    assert!(!stage.dir.path().join("acted").exists());
}

#[tokio::test]
async fn a_child_reads_nothing_and_keeps_its_words_and_its_exit_code() {
    let stage = stage();
    let command = Command {
        program: "sh".into(),
        args: [
            "-c",
            "printf '%s|' \"$@\"; cat; exit 7",
            "sh",
            "a b",
            "",
            "$x",
            "-n",
        ]
        .map(str::to_owned)
        .to_vec(),
        env: BTreeMap::new(),
    };
    let limits = Limits {
        deadline: AGES,
        stdout: 1024,
    };
    let finished = run_recorded(&command, &limits, &stage.children)
        .await
        .unwrap();
    assert_eq!(finished.code, Some(7));
    assert_eq!(finished.stdout, b"a b||$x|-n|");
}

#[tokio::test]
async fn the_record_of_a_child_that_was_killed_goes_once_it_is_dead() {
    let stage = stage();
    let late = stage.run("sleep 1000000", Duration::from_millis(50)).await;
    assert!(matches!(late, Err(ProcessError::TimedOut(_))), "{late:?}");
    // tokio reaps what was dropped when it is told of the next end of a child.
    while !stage.records().is_empty() {
        stage.run("true", AGES).await.unwrap();
    }
}

#[tokio::test]
async fn a_survivor_is_ended_with_its_whole_group_before_anything_goes_on() {
    let stage = stage();
    let (survivor, child) = stage.orphan();
    assert!(!stage.is_free());
    stage.write(survivor, &stage.children.folder.boot);
    assert_eq!(stage.children.end_survivors(AGES).await.unwrap(), 1);
    assert!(stage.is_free(), "somebody of the group lives");
    assert!(stage.records().is_empty());
    put_away(survivor, child);
}

#[tokio::test]
async fn a_record_of_another_process_with_its_pid_kills_nothing() {
    let stage = stage();
    let (stranger, child) = stage.orphan();
    let boot = stage.children.folder.boot.clone();
    let another = Process {
        started: stranger.started - 1,
        ..stranger
    };
    stage.write(another, &boot);
    assert_eq!(stage.children.end_survivors(AGES).await.unwrap(), 0);
    stage.write(stranger, "00000000-0000-0000-0000-000000000000");
    assert_eq!(stage.children.end_survivors(AGES).await.unwrap(), 0);
    let cut_short = stage.children.folder.path.join("1");
    fs::write(cut_short, format!("{}", stranger.pid.as_raw_nonzero())).unwrap();
    assert_eq!(stage.children.end_survivors(AGES).await.unwrap(), 0);
    assert!(!stage.is_free(), "a stranger was killed");
    assert!(stage.records().is_empty());
    put_away(stranger, child);
}

/// Not tried by ending survivors: without the guard, that would end the whole session.
#[test]
fn a_record_of_the_first_process_is_no_record_of_a_child() {
    let stage = stage();
    let pid = Pid::INIT;
    let started = stat(pid).unwrap().started;
    stage.write(Process { pid, started }, &stage.children.folder.boot);
    assert_eq!(
        stage.children.read(&stage.children.folder.path.join("1")),
        None
    );
}

#[test]
fn two_agents_never_keep_their_children_in_one_folder() {
    let stage = stage();
    let again = Children::open(&stage.children.folder.path);
    assert!(matches!(again, Err(ChildrenError::Held { .. })));
}

#[test]
fn a_process_is_known_by_its_start_time_whatever_it_is_called() {
    let text = "7 (a) S 1) Z 1 5 5 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 98765 1 2";
    let stat = parse_stat(text).unwrap();
    assert_eq!((stat.started, stat.group, stat.is_over), (98_765, 5, true));
    assert!(parse_stat("7 (a) S 1").is_none());
}
