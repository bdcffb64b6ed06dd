//! The agent acts on drift by itself where it may (S35), and says why (S36): on real podman.

use mcp_e2e::{
    Agent, AgentOptions, Alerts, Component, Workstation, definition, free_port, http_get, until,
};

const OWN: &str = "SELECT kind, state FROM operations WHERE caller = 'auto-reconcile'";

struct Stage {
    agent: Agent,
    workstation: Workstation,
    alerts: Alerts,
    port: u16,
}

impl Stage {
    /// A node with auto-reconcile on, on which `hello/web` runs.
    fn set() -> Self {
        let alerts = Alerts::new();
        let options = AgentOptions::default()
            .alert_command(&alerts.command())
            .set("reconcile", "auto", "true")
            .set("reconcile", "initial", "100ms")
            .set("reconcile", "max", "200ms")
            .set("reconcile", "budget", "3");
        let agent = Agent::running("rift", options);
        let workstation = Workstation::of(&[&agent]);
        let stage = Self {
            agent,
            workstation,
            alerts,
            port: free_port(),
        };
        stage.deploy("v1");
        stage
    }

    fn deploy(&self, version: &str) {
        let image = format!("localhost/hello:{version}");
        let web = Component::new("web", &image).port(self.port);
        self.workstation
            .define("hello", &definition("hello", "rift", &[web]));
        self.workstation.mcp(&["deploy", "hello"]).ok();
    }

    fn answers(&self) -> Option<()> {
        http_get(self.port, "/").map(drop)
    }

    fn gave_up(&self) -> Vec<String> {
        let received = self.alerts.received().into_iter();
        let about = received.filter(|alert| alert["MCP_ALERT_TYPE"] == "gave-up");
        about
            .map(|alert| alert["MCP_ALERT_EVENT"].clone())
            .collect()
    }

    fn own(&self) -> usize {
        self.agent.rows(OWN).len()
    }
}

#[test]
fn what_is_killed_or_removed_comes_back_and_what_is_stopped_stays_stopped() {
    let stage = Stage::set();
    stage.agent.podman().run(&["kill", "hello-web"]);
    until("it is brought back", || {
        (stage.own() == 1).then(|| stage.answers()).flatten()
    });
    stage.agent.podman().run(&["rm", "-f", "-t0", "hello-web"]);
    until("it is made again", || {
        (stage.own() == 2).then(|| stage.answers()).flatten()
    });
    until("its operations have settled", || {
        let all = stage.agent.rows(OWN);
        all.iter().all(|row| row == "start|succeeded").then_some(())
    });

    stage.workstation.mcp(&["stop", "hello"]).ok();
    stage.workstation.mcp(&["status", "--live"]).ok();
    let why = stage.workstation.json(&["why", "hello/web"]);
    assert_eq!(why["component"]["observed"], "stopped", "{why}");
    assert_eq!(why["decision"], "nothing", "{why}");
    assert_eq!(stage.own(), 2, "a declared stop is not undone");

    stage.agent.podman().run(&["start", "hello-web"]);
    until("what was started by hand is stopped", || {
        let last = stage.agent.rows(OWN).into_iter().nth(2);
        (last.as_deref() == Some("stop|succeeded")).then_some(())
    });
    assert_eq!(
        stage.agent.podman().status("hello-web").as_deref(),
        Some("exited")
    );
}

#[test]
fn a_crash_loop_spends_the_budget_once_and_a_deploy_is_a_fresh_start() {
    let stage = Stage::set();
    until("it gives up", || {
        // Whatever it is asked, it crashes.
        let _ = http_get(stage.port, "/exit?code=7");
        (!stage.gave_up().is_empty()).then_some(())
    });
    assert_eq!(stage.own(), 3);
    let status = stage.workstation.mcp(&["status"]).ok();
    assert!(status.contains("auto-reconcile is on"), "{status}");
    assert!(status.contains("gave up"), "{status}");
    let why = stage.workstation.json(&["why", "hello"]);
    assert_eq!(why["permission"], "none", "{why}");
    assert_eq!(why["last_operation"]["caller"], "auto-reconcile", "{why}");

    stage.deploy("v2");
    until("the incident is over", || {
        (stage.gave_up() == ["opened", "closed"]).then_some(())
    });
    stage.agent.podman().run(&["kill", "hello-web"]);
    until("it is brought back again", || {
        (stage.own() == 4).then(|| stage.answers()).flatten()
    });
    assert_eq!(stage.gave_up(), ["opened", "closed"]);
}
