//! What a killed agent has left running, when the next one starts (S15).

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Command;

use mcp_agent::node::Opened;

use crate::support::configure;

/// The line that an agent writes about a child, as `/proc` tells it.
fn record(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let started = fields.split_ascii_whitespace().nth(19).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    format!("{pid} {started} {}\n", boot.trim())
}

#[tokio::test]
async fn what_a_killed_agent_left_running_has_ended_before_anything_is_served_or_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let (config, _) = configure(dir.path());
    let records = config.agent.run_dir.join("children");
    let mut private = DirBuilder::new();
    private
        .recursive(true)
        .mode(0o700)
        .create(&records)
        .unwrap();
    let mut survivor = Command::new("sleep");
    let mut survivor = survivor.arg("1000000").process_group(0).spawn().unwrap();
    let path = records.join(survivor.id().to_string());
    fs::write(&path, record(survivor.id())).unwrap();

    // What an agent does before it has a world to act on.
    let opened = Opened::open(config).await;
    let ended = survivor.try_wait().unwrap();
    let _ = survivor.kill();
    survivor.wait().unwrap();
    opened.unwrap();
    let signal = ended.and_then(|status| status.signal());
    assert_eq!(signal, Some(9), "it lived on");
    assert!(!path.exists(), "its record was left");
}
