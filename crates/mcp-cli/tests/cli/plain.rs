//! What needs neither configuration nor network.

use std::process::Stdio;

use tokio::process::Command;

use crate::double::Script;
use crate::fixtures::{component, service};
use crate::world::{World, finish};

fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp"));
    command
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn version_help_and_completion_need_no_home_and_no_configuration() {
    for args in [
        &["--version"] as &[&str],
        &["--help"],
        &["deploy", "--help"],
        &["completion", "bash"],
        &["completion", "zsh"],
        &["completion", "fish"],
    ] {
        let run = finish(bare(args).spawn().unwrap()).await.expect(0);
        assert!(
            run.stdout.contains("mcp") && run.stderr.is_empty(),
            "{args:?} {}",
            run.all()
        );
    }
}

#[tokio::test]
async fn the_help_names_every_command_by_task_and_every_exit_code() {
    let run = finish(bare(&["--help"]).spawn().unwrap()).await.expect(0);
    for word in [
        "sync",
        "deploy",
        "start",
        "stop",
        "restart",
        "wait",
        "status",
        "ps",
        "list",
        "node",
        "completion",
        "Exit codes:",
        "  0  ",
        "  1  ",
        "  2  ",
        "  3  ",
        "--output",
        "--timeout",
        "--no-color",
    ] {
        assert!(
            run.stdout.contains(word),
            "{word:?} is not in\n{}",
            run.stdout
        );
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_a_usage_error() {
    for args in [
        &[] as &[&str],
        &["fly"],
        &["deploy"],
        &["deploy", "-x"],
        &["deploy", "a/b/c"],
        &["deploy", "Hello"],
        &["stop", "a\u{1b}[2Jb"],
        &["status", "--output", "yaml"],
        &["status", "--timeout", "0s"],
        &["sync", "--yes"],
        &["node", "add", "rift"],
        &["node", "add", "rift", "no-port"],
        &["completion", "tcsh"],
    ] {
        let world = World::new();
        let run = world.mcp(args).await.expect(2);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{args:?}");
        assert!(!run.stderr.contains('\u{1b}'), "{args:?}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    let many: Vec<_> = (0..5_000)
        .map(|i| component(&format!("c{i}"), "running", "running"))
        .collect();
    let script = Script {
        services: vec![service("hello", many)],
        ..Default::default()
    };
    world.node("rift", script).await;
    let mut child = world.command(&["list"]).spawn().unwrap();
    drop(child.stdout.take());
    let run = finish(child).await.expect(0);
    assert_eq!(run.stderr, "");
}
