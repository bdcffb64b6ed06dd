use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// Longer than any test may take: what ends earlier did not end by this.
const AGES: Duration = Duration::from_hours(1);

fn sh(script: &str) -> Command {
    Command {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: BTreeMap::new(),
    }
}

fn within(deadline: Duration) -> Limits {
    Limits {
        deadline,
        stdout: 64 * 1024,
    }
}

/// Resolves once every process that holds the lock on this file is gone.
async fn everybody_gone(lock: &Path) {
    let file = std::fs::File::open(lock).unwrap();
    let waited = tokio::task::spawn_blocking(move || file.lock());
    waited.await.unwrap().unwrap();
}

fn locked(dir: &tempfile::TempDir, then: &str) -> (std::path::PathBuf, Command) {
    let lock = dir.path().join("lock");
    std::fs::write(&lock, "").unwrap();
    let script = format!("exec 9<{0}; flock 9; {then}", lock.display());
    (lock, sh(&script))
}

#[tokio::test]
async fn exit_code_and_both_streams_are_returned() {
    let command = sh("echo out; echo err >&2; exit 3");
    let finished = run(&command, &within(AGES)).await.unwrap();
    assert_eq!(finished.code, Some(3));
    assert_eq!(finished.stdout, b"out\n");
    assert_eq!(finished.stderr, b"err\n");
    let killed = run(&sh("kill -9 $$"), &within(AGES)).await.unwrap();
    assert_eq!(killed.code, None);
}

#[tokio::test]
async fn merged_streams_keep_the_order_of_writing_and_their_end() {
    let command = sh("echo 1; echo 2 >&2; echo 3; echo 4 >&2");
    let finished = run_merged(&command, &within(AGES)).await.unwrap();
    assert_eq!(finished.stdout, b"1\n2\n3\n4\n");
    let limits = Limits {
        deadline: AGES,
        stdout: 4,
    };
    let finished = run_merged(&command, &limits).await.unwrap();
    assert_eq!(finished.stdout, b"3\n4\n");
}

#[tokio::test]
async fn a_hanging_command_is_killed_at_its_deadline_with_its_whole_group() {
    let dir = tempfile::tempdir().unwrap();
    let (lock, command) = locked(&dir, "sleep 1000000 & sleep 1000000");
    let result = run(&command, &within(Duration::from_millis(100))).await;
    assert!(
        matches!(result, Err(ProcessError::TimedOut(_))),
        "{result:?}"
    );
    everybody_gone(&lock).await;
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_is_killed_with_its_whole_group() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let hang = format!(
        "mkfifo {0}; echo >{0} & cat {0}; sleep 1000000",
        ready.display()
    );
    let (lock, command) = locked(&dir, &hang);
    let limits = within(AGES);
    let call = run(&command, &limits);
    tokio::select! {
        result = call => panic!("{result:?}"),
        () = async {
            while !ready.exists() {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    everybody_gone(&lock).await;
}

#[tokio::test]
async fn a_grandchild_that_keeps_the_pipe_open_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let stop = dir.path().join("stop");
    let grandchild = format!("(mkfifo {0}; cat {0}) & echo said", stop.display());
    let finished = run(&sh(&grandchild), &within(AGES)).await.unwrap();
    assert_eq!(
        (finished.code, finished.stdout),
        (Some(0), b"said\n".to_vec())
    );
    // It lives on, as podman's network helpers must; opening its pipe for writing lets it end.
    let end = tokio::task::spawn_blocking(move || {
        while !stop.exists() {
            std::thread::yield_now();
        }
        std::fs::write(&stop, "").unwrap();
    });
    end.await.unwrap();
}

#[tokio::test]
async fn a_flood_of_output_ends_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let (lock, command) = locked(&dir, "yes");
    let result = run(&command, &within(AGES)).await;
    assert!(
        matches!(result, Err(ProcessError::TooMuch(65536))),
        "{result:?}"
    );
    everybody_gone(&lock).await;
}

#[tokio::test]
async fn a_flood_of_errors_keeps_its_end() {
    let command = sh("yes | head -c 1000000 >&2; echo last >&2");
    let finished = run(&command, &within(AGES)).await.unwrap();
    assert_eq!(finished.stderr.len(), STDERR_KEPT);
    assert!(finished.stderr.ends_with(b"y\nlast\n"));
}

#[tokio::test]
async fn a_child_sees_the_allowed_and_the_configured_environment_only() {
    assert!(
        std::env::var_os("CARGO_PKG_NAME").is_some(),
        "a variable not to be seen"
    );
    let mut command = sh("");
    command.program = "env".into();
    command.args = vec!["-0".into()];
    command.env = [("CONTAINERS_CONF".to_owned(), "/c".to_owned())].into();
    let finished = run(&command, &within(AGES)).await.unwrap();
    let seen = String::from_utf8(finished.stdout).unwrap();
    let names: Vec<&str> = seen
        .split_terminator('\0')
        .map(|entry| entry.split_once('=').unwrap().0)
        .collect();
    assert!(names.contains(&"PATH") && names.contains(&"CONTAINERS_CONF"));
    let allowed = |name: &&str| INHERITED.contains(name) || *name == "CONTAINERS_CONF";
    assert!(names.iter().all(allowed), "{names:?}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_and_no_panic() {
    let mut command = sh("");
    command.program = "/not/there".into();
    let result = run(&command, &within(AGES)).await;
    assert!(matches!(result, Err(ProcessError::Spawn(_))), "{result:?}");
}
