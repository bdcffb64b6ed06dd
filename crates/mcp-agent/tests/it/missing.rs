//! What the binary does where something that it takes for granted is not there.

use std::os::unix::net::UnixStream;

use crate::commands::{Place, text};

#[test]
fn what_is_not_there_is_said_with_what_to_do() {
    let place = Place::made(&[]);
    let mut command = place.command(&["check-config"]);
    command.env("MCP_AGENT_AGENT_CONTAINER_RUNTIME", "/none/podman");
    let checked = command.output().unwrap();
    assert!(checked.status.success());
    let said = text(&checked.stderr);
    let warning = "warning: [agent] container_runtime: there is no program /none/podman";
    assert!(said.contains(warning), "{said}");
    assert!(!text(&place.run(&["check-config"]).stderr).contains("warning"));

    std::fs::remove_file(place.path("node/mcp-agent.toml")).unwrap();
    let refused = place.run(&["server"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("mcp-agent init"), "{said}");
}

#[test]
fn a_server_whose_log_cannot_be_written_answers_all_the_same() {
    let place = Place::made(&[]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let mut command = place.command(&["server"]);
    let mut child = command.stderr(full.unwrap()).spawn().unwrap();
    while UnixStream::connect(place.path("run/agent.sock")).is_err() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        std::thread::yield_now();
    }
    let answered = place.run(&["token", "list"]);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(answered.status.success(), "{}", text(&answered.stderr));
}
