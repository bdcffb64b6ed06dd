//! The agent's own commands, beside a running server and without one.

use std::fs;

use mcp_e2e::{Agent, AgentOptions, Workstation};

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
fn tokens_are_issued_listed_and_revoked_beside_a_running_agent() {
    tokens_come_and_go(&Agent::running("rift", AgentOptions::default()), |_| {});
}

#[test]
fn tokens_are_issued_listed_and_revoked_while_the_agent_is_stopped() {
    let mut agent = Agent::init("rift", AgentOptions::default());
    let workstation = issue(&agent, "bob", &[]);
    agent.start();
    workstation.mcp(&["list"]).ok();
    agent.stop();
    let listed = agent.run(&["token", "list"]).ok();
    assert!(listed.contains("bob"), "{listed}");
    agent.run(&["token", "revoke", "--subject", "bob"]).ok();
    agent.start();
    let said = workstation.mcp(&["list"]).refused(1);
    assert!(said.contains("token"), "{said}");
}

fn tokens_come_and_go(agent: &Agent, between: impl Fn(&Agent)) {
    let workstation = issue(agent, "bob", &[]);
    between(agent);
    workstation.mcp(&["list"]).ok();
    let listed = agent.run(&["token", "list"]).ok();
    assert!(listed.contains("bob"), "{listed}");
    agent.run(&["token", "revoke", "--subject", "bob"]).ok();
    between(agent);
    // The very next call: a revocation waits for no cache.
    let said = workstation.mcp(&["list"]).refused(1);
    assert!(said.contains("token"), "{said}");
    Workstation::of(&[agent]).mcp(&["list"]).ok();
}

#[test]
fn the_registry_knows_no_token_only_its_hash() {
    let agent = Agent::running("rift", AgentOptions::default());
    let workstation = Workstation::of(&[&agent]);
    workstation.mcp(&["list"]).ok();
    let listed = workstation.json(&["node", "list"]);
    let path = listed["nodes"][0]["token_path"]
        .as_str()
        .expect("the node has a token");
    let token = fs::read_to_string(path).expect("it is ours");
    let token = token.trim().as_bytes();
    for file in fs::read_dir(agent.dir()).expect("it is ours") {
        let path = file.expect("it is ours").path();
        if path.is_file() && path != agent.bundle() {
            let bytes = fs::read(&path).expect("it is ours");
            let found = bytes.windows(token.len()).any(|window| window == token);
            assert!(!found, "the token is in {}", path.display());
        }
    }
    assert!(!agent.log().is_empty());
}
