//! What a killed agent has left running is ended before anything is resumed (S15).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use mcp_e2e::{Agent, AgentOptions, Component, Workstation, definition, until};
use tempfile::TempDir;

/// A podman whose first `stop` never ends. Each stop tells whether an earlier one lives.
fn hanging_podman(dir: &TempDir) -> PathBuf {
    let script = format!(
        "#!/bin/sh\ncd '{}' || exit\n\
         case \" $* \" in *' stop '*)\n\
         exec 9>>lock\n\
         if flock -n 9; then echo alone >>stops; else echo beside >>stops; fi\n\
         if [ ! -e hung ]; then touch hung; sleep 1000000; fi\n\
         exec 9>&- ;;\n\
         esac\n\
         exec podman \"$@\"\n",
        dir.path().display()
    );
    let path = dir.path().join("podman");
    fs::write(&path, script).expect("a folder of ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    path
}

#[test]
fn a_stop_that_outlives_its_agent_is_ended_before_the_next_agent_stops_anything() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let program = hanging_podman(&dir);
    let options = AgentOptions::default().set(
        "agent",
        "container_runtime",
        program.to_string_lossy().into_owned(),
    );
    let mut agent = Agent::running("rift", options);
    let workstation = Workstation::of(&[&agent]);
    let web = Component::new("web", "localhost/hello:v1").line("network = \"none\"");
    workstation.define("hello", &definition("hello", "rift", &[web]));
    workstation.mcp(&["deploy", "hello"]).ok();

    let mut client = workstation
        .command()
        .args(["stop", "hello"])
        .spawn()
        .expect("the client starts");
    let hung = dir.path().join("hung");
    until("the stop hangs", || hung.exists().then_some(()));
    agent.kill();
    // Whoever asked has left: the operation goes on without him (S18).
    client.kill().expect("it is ours");
    client.wait().expect("a child can be waited for");
    let stops = || fs::read_to_string(dir.path().join("stops")).unwrap_or_default();
    assert_eq!(stops(), "alone\n");

    agent.start();
    until("the stop is resumed and done", || {
        let done = agent.rows("SELECT state FROM operations WHERE kind = 'stop'");
        (done == ["succeeded"]).then_some(())
    });
    assert_eq!(stops(), "alone\nalone\n", "the first one lived on");
    assert!(agent.log().contains("had left running"));
    assert_eq!(
        agent.podman().status("hello-web").as_deref(),
        Some("exited")
    );
    let records = fs::read_dir(agent.dir().join("run/children")).expect("the folder is there");
    assert_eq!(records.count(), 0, "a record was left");
}
