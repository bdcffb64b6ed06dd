//! The node's own tokens, with its agent running and without (S40).

use std::fs;

use mcp_e2e::{Agent, AgentOptions, Workstation, until};

/// Issues a token into a bundle, and gives a workstation that uses it.
fn issue(agent: &Agent, subject: &str, more: &[&str]) -> Workstation {
    let bundle = agent.dir().join(format!("{subject}.bundle"));
    let bundle = bundle.to_str().expect("a plain path");
    let mut args = vec!["token", "issue", "--subject", subject, "--bundle", bundle];
    args.extend(more);
    agent.run(&args).ok();
    let workstation = Workstation::new();
    workstation.mcp(&["node", "add", "--bundle", bundle]).ok();
    workstation
}

#[test]
fn a_revocation_beside_a_running_agent_counts_from_the_next_call() {
    let agent = Agent::running("rift", AgentOptions::default());
    let workstation = issue(&agent, "bob", &[]);
    workstation.mcp(&["list"]).ok();
    let listed = agent.run(&["token", "list"]).ok();
    assert!(listed.contains("bob"), "{listed}");

    agent.run(&["token", "revoke", "bob"]).ok();
    // The very next call: it waits for no cache.
    let said = workstation.mcp(&["list"]).refused(1);
    assert!(said.contains("token"), "{said}");
    Workstation::of(&[&agent]).mcp(&["list"]).ok();
    assert!(
        agent.run(&["token", "revoke", "bob"]).code != Some(0),
        "nothing was left to revoke"
    );
}

#[test]
fn tokens_are_issued_and_revoked_while_the_agent_is_stopped() {
    let mut agent = Agent::init("rift", AgentOptions::default());
    let workstation = issue(&agent, "bob", &[]);
    agent.start();
    workstation.mcp(&["list"]).ok();
    agent.stop();
    agent.run(&["token", "revoke", "bob"]).ok();
    agent.start();
    let said = workstation.mcp(&["list"]).refused(1);
    assert!(said.contains("token"), "{said}");
}

#[test]
fn whoever_is_no_admin_may_nothing() {
    let agent = Agent::running("rift", AgentOptions::default());
    let workstation = issue(&agent, "carol", &["--role", "viewer"]);
    for command in ["list", "ps", "status", "sync"] {
        let said = workstation.mcp(&[command]).refused(1);
        assert!(said.contains("admin"), "{command}: {said}");
    }
}

#[test]
fn a_token_ends_when_it_expires() {
    let agent = Agent::running("rift", AgentOptions::default());
    let workstation = issue(&agent, "bob", &["--valid", "1s"]);
    let said = until("the token expires", || {
        let reply = workstation.mcp(&["list"]);
        (reply.code == Some(1)).then_some(reply.stderr)
    });
    assert!(said.contains("expired"), "{said}");
}

#[test]
fn a_token_is_nowhere_but_in_its_file() {
    let agent = Agent::running("rift", AgentOptions::default());
    let workstation = Workstation::of(&[&agent]);
    workstation.mcp(&["list"]).ok();
    let listed = workstation.json(&["node", "list"]);
    let path = listed["nodes"][0]["token_path"]
        .as_str()
        .expect("the node has a token");
    let token = fs::read_to_string(path).expect("it is ours");
    let token = token.trim().as_bytes();
    let mut searched = 0;
    for file in fs::read_dir(agent.dir()).expect("it is ours") {
        let path = file.expect("it is ours").path();
        if path.is_file() && path != agent.bundle() {
            let bytes = fs::read(&path).expect("it is ours");
            let found = bytes.windows(token.len()).any(|window| window == token);
            assert!(!found, "the token is in {}", path.display());
            searched += 1;
        }
    }
    assert!(
        searched >= 3,
        "registry, configuration and log were there to be searched"
    );
}
