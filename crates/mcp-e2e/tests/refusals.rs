//! Whoever may not, cannot; what cannot be done is said, and changes nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

use mcp_e2e::{Agent, AgentOptions, Component, Workstation, definition};
use rusqlite::Connection;

fn agent() -> Agent {
    Agent::running("rift", AgentOptions::default())
}

/// The files that `node add` keeps for the node.
fn replace_token(workstation: &Workstation, token: &str) {
    let listed = workstation.json(&["node", "list"]);
    let path = listed["nodes"][0]["token_path"]
        .as_str()
        .expect("the node has a token")
        .to_owned();
    fs::write(path, token).expect("it is ours");
}

/// Every kind of command, reading and writing, is refused with `why`, and nothing has changed.
#[track_caller]
fn everything_is_refused(agent: &Agent, workstation: &Workstation, why: &[&str]) {
    let web = [Component::new("web", "localhost/hello:v1")];
    workstation.define("hello", &definition("hello", "rift", &web));
    for args in [
        &["list"][..],
        &["ps"],
        &["status"],
        &["sync"],
        &["deploy", "hello"],
        &["stop", "hello"],
    ] {
        let reply = workstation.mcp(args);
        assert_eq!(reply.code, Some(1), "{args:?}: {reply:?}");
        assert!(
            why.iter().any(|why| reply.stderr.contains(why)),
            "{args:?}: {}",
            reply.stderr
        );
    }
    assert_eq!(agent.rows("SELECT count(*) FROM services"), ["0"]);
    assert_eq!(agent.podman().names(), Vec::<String>::new());
}

#[test]
fn without_a_token_nothing_is_sent() {
    let agent = agent();
    let workstation = Workstation::of(&[&agent]);
    replace_token(&workstation, "");
    everything_is_refused(&agent, &workstation, &["token"]);
}

#[test]
fn a_wrong_token_is_refused() {
    let agent = agent();
    let workstation = Workstation::of(&[&agent]);
    let listed = workstation.json(&["node", "list"]);
    let path = listed["nodes"][0]["token_path"]
        .as_str()
        .expect("the node has a token");
    let token = fs::read_to_string(path).expect("it is ours");
    let (start, last) = token.trim().split_at(token.trim().len() - 1);
    let wrong = if last == "A" { "B" } else { "A" };
    replace_token(&workstation, &format!("{start}{wrong}"));
    everything_is_refused(&agent, &workstation, &["token"]);
}

#[test]
fn the_certificate_of_another_authority_is_refused() {
    let (agent, other) = (agent(), Agent::init("other", AgentOptions::default()));
    let workstation = Workstation::of(&[&agent]);
    let listed = workstation.json(&["node", "list"]);
    let ca = listed["nodes"][0]["ca_cert"]
        .as_str()
        .expect("the node has a CA");
    fs::copy(other.dir().join("certs/ca.pem"), ca).expect("both are ours");
    everything_is_refused(&agent, &workstation, &["UnknownIssuer", "authority", "CA"]);
}

#[test]
fn a_certificate_with_another_name_is_refused() {
    let agent = agent();
    let workstation = Workstation::of(&[&agent]);
    let config = fs::read_to_string(workstation.config()).expect("node add wrote it");
    let config = config.replace("[[nodes]]\n", "[[nodes]]\nserver_name = \"elsewhere\"\n");
    fs::write(workstation.config(), config).expect("it is ours");
    everything_is_refused(&agent, &workstation, &["elsewhere"]);
}

#[test]
fn plaintext_gets_no_answer() {
    let agent = agent();
    let mut stream = TcpStream::connect(agent.address()).expect("the agent listens");
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .expect("the agent reads");
    let mut answer = Vec::new();
    // Reset or closed, whichever comes first.
    let _ = stream.read_to_end(&mut answer);
    // At most a TLS alert (21), never HTTP.
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    Workstation::of(&[&agent]).mcp(&["list"]).ok();
}

#[test]
fn an_agent_that_is_down_is_named_with_its_address() {
    let agent = Agent::init("rift", AgentOptions::default());
    let workstation = Workstation::of(&[&agent]);
    everything_is_refused(&agent, &workstation, &[&agent.address()]);
}

#[test]
fn a_taken_port_ends_the_agent_and_names_it() {
    let agent = Agent::init("rift", AgentOptions::default());
    let _taken = TcpListener::bind(agent.address()).expect("it was free");
    let said = agent.run(&["server"]).refused(1);
    assert!(said.contains(&agent.address()), "{said}");
}

#[test]
fn a_newer_registry_ends_the_agent_and_is_left_as_it_is() {
    let agent = Agent::init("rift", AgentOptions::default());
    let database = Connection::open(agent.database()).expect("init made it");
    database
        .pragma_update(None, "user_version", 9_999)
        .expect("it is ours");
    drop(database);
    let before = fs::read(agent.database()).expect("it is ours");
    let said = agent.run(&["server"]).refused(1);
    assert!(said.contains("newer"), "{said}");
    assert_eq!(fs::read(agent.database()).expect("it is ours"), before);
}

#[test]
fn a_second_agent_on_one_registry_is_refused() {
    let agent = agent();
    let said = agent.run(&["server"]).refused(1);
    assert!(said.contains("lock") || said.contains("runs"), "{said}");
    Workstation::of(&[&agent]).mcp(&["list"]).ok();
}

#[test]
fn a_locked_registry_refuses_changes_and_still_answers() {
    let agent = agent();
    let workstation = Workstation::of(&[&agent]);
    let web = [Component::new("web", "localhost/hello:v1")];
    workstation.define("hello", &definition("hello", "rift", &web));

    let database = Connection::open(agent.database()).expect("it is there");
    database
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody else writes");
    let reply = workstation.mcp(&["deploy", "hello"]);
    assert_eq!(reply.code, Some(1), "{reply:?}");
    assert_eq!(agent.podman().names(), Vec::<String>::new());
    workstation.mcp(&["list"]).ok();

    database.execute_batch("ROLLBACK").expect("it was begun");
    workstation.mcp(&["deploy", "hello"]).ok();
}

#[test]
fn a_broken_definition_refuses_the_whole_sync_and_shows_the_line() {
    let agent = agent();
    let workstation = Workstation::of(&[&agent]);
    let web = [Component::new("web", "localhost/hello:v1")];
    workstation.define("good", &definition("good", "rift", &web));
    workstation.define(
        "bad",
        &definition("bad", "rift", &web).replace("image", "imgae"),
    );
    let reply = workstation.mcp(&["sync"]);
    assert!(matches!(reply.code, Some(1 | 2)), "{reply:?}");
    for word in ["bad.toml", "imgae", "image"] {
        assert!(reply.stderr.contains(word), "no {word} in {}", reply.stderr);
    }
    assert_eq!(agent.rows("SELECT count(*) FROM services"), ["0"]);
}

#[test]
fn secrets_are_in_files_that_only_their_owner_can_read() {
    let agent = agent();
    let workstation = Workstation::of(&[&agent]);
    let listed = workstation.json(&["node", "list"]);
    let token = listed["nodes"][0]["token_path"]
        .as_str()
        .expect("the node has a token")
        .into();
    for path in [agent.bundle(), agent.database(), token] {
        let mode = fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}
