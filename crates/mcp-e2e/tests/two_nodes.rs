//! Two agents, one workstation; then one agent.

use mcp_e2e::{Agent, AgentOptions, Component, Workstation, definition};

struct Fleet {
    rift: Agent,
    vade: Agent,
    workstation: Workstation,
}

impl Fleet {
    /// Service `near` runs on `rift`, service `far` on `vade`.
    fn deployed() -> Self {
        let rift = Agent::running("rift", AgentOptions::default());
        let vade = Agent::running("vade", AgentOptions::default());
        let workstation = Workstation::of(&[&rift, &vade]);
        let web = [Component::new("web", "localhost/hello:v1")];
        workstation.define("near", &definition("near", "rift", &web));
        workstation.define("far", &definition("far", "vade", &web));
        workstation.mcp(&["sync"]).ok();
        workstation.mcp(&["deploy", "near"]).ok();
        workstation.mcp(&["deploy", "far"]).ok();
        Self {
            rift,
            vade,
            workstation,
        }
    }
}

#[test]
fn each_service_goes_to_its_own_node() {
    let fleet = Fleet::deployed();
    assert_eq!(fleet.rift.podman().names(), ["near-web"]);
    assert_eq!(fleet.vade.podman().names(), ["far-web"]);
    assert_eq!(fleet.rift.rows("SELECT name FROM services"), ["near"]);
    assert_eq!(fleet.vade.rows("SELECT name FROM services"), ["far"]);

    let shown = fleet.workstation.mcp(&["ps"]).ok();
    for word in ["rift", "near", "vade", "far"] {
        assert!(shown.contains(word), "no {word} in\n{shown}");
    }
    let one = fleet.workstation.mcp(&["ps", "--node", "vade"]).ok();
    assert!(one.contains("far") && !one.contains("near"), "{one}");
}

#[test]
fn a_node_that_is_down_costs_its_own_row_only() {
    let mut fleet = Fleet::deployed();
    fleet.vade.kill();

    for command in ["list", "ps", "status"] {
        let reply = fleet.workstation.mcp(&[command]);
        assert_eq!(reply.code, Some(1), "{command} is no success: {reply:?}");
        assert!(
            reply.stdout.contains("near"),
            "{command} lost the other node: {reply:?}"
        );
        assert!(
            reply.stderr.contains("vade"),
            "{command} does not say who: {}",
            reply.stderr
        );
    }
    let reply = fleet.workstation.mcp(&["sync"]);
    assert_eq!(reply.code, Some(1), "{reply:?}");
    assert!(reply.stdout.contains("near"), "{reply:?}");

    // Which node has the service is written in its definition, so nobody asks the dead one.
    fleet.workstation.mcp(&["restart", "near"]).ok();
    let reply = fleet.workstation.mcp(&["restart", "far"]);
    assert_eq!(reply.code, Some(1), "{reply:?}");
    assert_eq!(
        fleet.vade.podman().status("far-web").as_deref(),
        Some("running")
    );
}

#[test]
fn a_definition_for_a_node_that_is_not_configured_sends_nothing() {
    let rift = Agent::running("rift", AgentOptions::default());
    let workstation = Workstation::of(&[&rift]);
    let web = [Component::new("web", "localhost/hello:v1")];
    workstation.define("near", &definition("near", "rift", &web));
    workstation.define("far", &definition("far", "nowhere", &web));
    let said = workstation.mcp(&["sync"]).refused(1);
    assert!(
        said.contains("nowhere") && said.contains("far.toml"),
        "{said}"
    );
    assert_eq!(rift.rows("SELECT count(*) FROM services"), ["0"]);
}
