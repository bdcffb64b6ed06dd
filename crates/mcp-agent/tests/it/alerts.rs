//! The alert command, with real and hostile scripts.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mcp_agent::adapters::alert::AlertCommand;
use mcp_controller::port::AlertSink as _;
use mcp_model::{
    Alert, AlertEvent, AlertKind, BootId, DesiredState, IncidentId, Moment, ObservedState, Stamp,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

fn alert() -> Alert {
    Alert {
        incident: IncidentId("i-1".to_owned()),
        event: AlertEvent::Opened,
        kind: AlertKind::Drift,
        scope: mcp_model::Scope::Component("hello/web".parse().unwrap()),
        desired: DesiredState::Running,
        observed: ObservedState::Exited,
        prev: ObservedState::Running,
        at: Moment {
            wall: Stamp::from_millis(1_795_163_353_007),
            boot: Duration::ZERO,
            boot_id: BootId(1),
        },
        exit_code: Some(137),
        reason: "137: killed (SIGKILL)\n\u{1b}[31mlast words".to_owned(),
        transitions: 0,
    }
}

struct Script {
    dir: TempDir,
    command: AlertCommand,
}

impl Script {
    /// A command that runs these lines; `$OUT` is a directory for what it leaves.
    fn new(lines: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alert.sh");
        let out = dir.path().display();
        std::fs::write(&path, format!("#!/bin/sh\nOUT={out}\n{lines}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let extra = [("WEBHOOK", "https://example.org"), ("MCP_NODE", "forged")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let argv = vec![
            path.display().to_string(),
            "an argument; with $HOME".to_owned(),
        ];
        let command = AlertCommand::new(argv, extra.into(), "rift".parse().unwrap());
        Self { dir, command }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

/// Whether a process of that id still does anything.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// How many of this process's own children run this script.
fn children_of_ours(script: &Path) -> usize {
    let own = format!(" {} ", std::process::id());
    let is_ours = |entry: &std::fs::DirEntry| {
        let read =
            |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        // After the name in parentheses: the state, then the parent.
        let parent = read("stat")
            .rsplit_once(") ")
            .map(|(_, rest)| rest[1..].starts_with(&own));
        parent == Some(true) && read("cmdline").contains(&script.display().to_string())
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .filter(is_ours)
        .count()
}

#[tokio::test]
async fn the_command_gets_its_variables_and_no_others() {
    // There is something to inherit: cargo says much to its tests.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let script = Script::new("env -0 > $OUT/env; printf %s \"$1\" > $OUT/arg");
    script.command.deliver(&alert()).await.unwrap();
    assert_eq!(script.read("arg"), "an argument; with $HOME");
    let env: BTreeMap<String, String> = script
        .read("env")
        .split_terminator('\0')
        .filter_map(|entry| entry.split_once('='))
        // The shell's own.
        .filter(|(name, _)| !matches!(*name, "PWD" | "SHLVL" | "_" | "OLDPWD"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut wanted: BTreeMap<String, String> = [
        ("MCP_COMPONENT", "web"),
        ("MCP_SERVICE", "hello"),
        ("MCP_NODE", "rift"),
        ("MCP_DESIRED", "running"),
        ("MCP_OBSERVED", "exited"),
        ("MCP_PREV_STATE", "running"),
        ("MCP_ALERT_TYPE", "drift"),
        ("MCP_ALERT_EVENT", "opened"),
        ("MCP_TRANSITIONS", "0"),
        ("MCP_TIMESTAMP", "2026-11-20T08:29:13.007Z"),
        ("MCP_EXIT_CODE", "137"),
        (
            "MCP_REASON",
            "137: killed (SIGKILL)\\n\\u{1b}[31mlast words",
        ),
        ("MCP_INCIDENT_ID", "i-1"),
        ("WEBHOOK", "https://example.org"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for name in ["PATH", "HOME", "LANG"] {
        if let Ok(value) = std::env::var(name) {
            wanted.insert(name.to_owned(), value);
        }
    }
    assert_eq!(env, wanted);
}

#[tokio::test]
async fn an_exit_code_that_is_not_there_is_an_empty_variable() {
    let script = Script::new("printf '%s' \"[${MCP_EXIT_CODE-unset}]\" > $OUT/code");
    script
        .command
        .deliver(&Alert {
            exit_code: None,
            ..alert()
        })
        .await
        .unwrap();
    assert_eq!(script.read("code"), "[]");
}

#[tokio::test]
async fn a_command_that_fails_or_is_not_there_is_a_failure_and_nothing_more() {
    let script = Script::new("echo it broke >&2; exit 3");
    let failure = script.command.deliver(&alert()).await.unwrap_err();
    assert!(failure.0.contains("exit status: 3"), "{failure}");
    let argv = vec!["/no/such/command".to_owned()];
    let missing = AlertCommand::new(argv, BTreeMap::new(), "rift".parse().unwrap());
    assert!(
        missing
            .deliver(&alert())
            .await
            .unwrap_err()
            .0
            .contains("/no/such/command")
    );
    let none = AlertCommand::new(Vec::new(), BTreeMap::new(), "rift".parse().unwrap());
    none.deliver(&alert()).await.unwrap();
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_whole_group_at_the_deadline() {
    let script = Script::new(
        "trap '' TERM INT HUP\nsleep 1000 &\necho $! > $OUT/child.tmp\necho $$ > $OUT/leader\n\
         mv $OUT/child.tmp $OUT/child\nwait",
    );
    let command = script.command.clone();
    let mut delivering = JoinSet::from_iter([async move { command.deliver(&alert()).await }]);
    while !script.path("child").exists() {
        tokio::task::yield_now().await;
    }
    // From here on time passes only where everybody waits for it.
    tokio::time::pause();
    let failure = delivering.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(failure.0.contains("killed after 10 s"), "{failure}");
    for who in ["leader", "child"] {
        let pid = script.read(who);
        assert!(!pid.is_empty());
        while is_alive(&pid) {
            tokio::task::yield_now().await;
        }
    }
    let leader = script.read("leader");
    assert!(
        !PathBuf::from(format!("/proc/{}", leader.trim())).exists(),
        "it was reaped"
    );
}

#[tokio::test]
async fn children_that_a_command_leaves_behind_end_with_it() {
    let script = Script::new("sleep 1000 &\necho $! > $OUT/child\nexit 0");
    script.command.deliver(&alert()).await.unwrap();
    let child = script.read("child");
    while is_alive(&child) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_command_that_floods_its_output_is_neither_held_up_nor_remembered() {
    let script = Script::new(
        "head -c 2000000 /dev/zero; head -c 2000000 /dev/zero >&2; : > $OUT/done; exit 1",
    );
    script.command.deliver(&alert()).await.unwrap_err();
    assert!(script.path("done").exists());
}

// A paused clock stands still while anybody is busy, and so does the deadline of commands that a
// busy machine is slow to run.
#[tokio::test(start_paused = true)]
async fn at_most_four_commands_run_at_once() {
    // Each waits for a file and counts itself in; so all that may run at once do.
    let script = Script::new(
        "mktemp $OUT/in.XXXXXX > /dev/null\nwhile [ ! -e $OUT/go ]; do sleep 0.01; done",
    );
    let entered = |script: &Script| {
        let entries = std::fs::read_dir(script.dir.path()).unwrap();
        entries
            .filter(|e| {
                e.as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with("in.")
            })
            .count()
    };
    let command = Arc::new(script.command.clone());
    let mut delivering: JoinSet<_> = (0..10)
        .map(|_| {
            let command = Arc::clone(&command);
            async move { command.deliver(&alert()).await }
        })
        .collect();
    while entered(&script) < 4 {
        tokio::task::yield_now().await;
    }
    // Whoever may run was started by the time that four have got so far.
    assert_eq!(children_of_ours(&script.path("alert.sh")), 4);
    std::fs::write(script.path("go"), "").unwrap();
    while !delivering.is_empty() {
        match delivering.try_join_next() {
            Some(delivered) => delivered.unwrap().unwrap(),
            None => tokio::task::yield_now().await,
        }
    }
    assert_eq!(entered(&script), 10);
}

/// How many dead children of this process nobody has reaped, among those of these ids.
fn zombies(pids: &[String]) -> usize {
    let own = format!("Z {} ", std::process::id());
    let is_zombie = |pid: &&String| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.unwrap_or_default()
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(&own))
    };
    pids.iter().filter(is_zombie).count()
}

#[tokio::test]
async fn a_grandchild_that_left_the_group_holds_nobody_up() {
    // In a session of its own, forked twice, and it keeps both outputs open.
    let script = Script::new(
        "setsid sh -c 'sleep 1000 & echo $! > '$OUT'/far.tmp; mv '$OUT'/far.tmp '$OUT'/far' &\n\
         while [ ! -e $OUT/far ]; do sleep 0.01; done\necho $$ > $OUT/leader\nexit 0",
    );
    script.command.deliver(&alert()).await.unwrap();
    // It is not ours to end: whoever leaves the group on purpose is the operator's daemon.
    let far = script.read("far");
    assert!(is_alive(&far), "the answer did not wait for it");
    let pid = rustix::process::Pid::from_raw(far.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(zombies(&[script.read("leader"), far]), 0);
}

#[tokio::test]
async fn a_command_that_dies_is_a_failure_that_names_the_signal_and_leaves_no_zombie() {
    let script = Script::new("echo $$ >> $OUT/pids; echo 'last words'; kill -SEGV $$");
    for _ in 0..5 {
        let failure = script.command.deliver(&alert()).await.unwrap_err();
        assert!(failure.0.contains("signal: 11"), "{failure}");
    }
    let pids: Vec<String> = script.read("pids").lines().map(str::to_owned).collect();
    assert_eq!((pids.len(), zombies(&pids)), (5, 0));
}

#[tokio::test]
async fn a_command_that_closes_its_outputs_and_hangs_is_killed_at_the_deadline() {
    let script = Script::new(
        "exec >&- 2>&-\necho $$ > $OUT/leader.tmp\nmv $OUT/leader.tmp $OUT/leader\nsleep 1000",
    );
    let command = script.command.clone();
    let mut delivering = JoinSet::from_iter([async move { command.deliver(&alert()).await }]);
    while !script.path("leader").exists() {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    let failure = delivering.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(failure.0.contains("killed after 10 s"), "{failure}");
    assert_eq!(zombies(&[script.read("leader")]), 0);
}
