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
    fn set(budget: u32) -> Self {
        let alerts = Alerts::new();
        let options = AgentOptions::default()
            .alert_command(&alerts.command())
            .set("reconcile", "auto", "true")
            .set("reconcile", "initial", "100ms")
            .set("reconcile", "max", "200ms")
            .set("reconcile", "budget", budget.to_string());
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

    /// What the agent did by itself, in order: `<kind>|<state>`.
    fn own(&self) -> Vec<String> {
        self.agent.rows(OWN)
    }

    /// Waits until the agent has done something by itself beyond the first `known` operations, the
    /// last of them `kind`, and has nothing more to do: what breaks while an operation is open is
    /// mended under that one.
    #[track_caller]
    fn acted_since(&self, what: &str, known: usize, kind: &str) {
        until(what, || {
            let own = self.own();
            let open = own.iter().any(|row| {
                let state = row.split('|').nth(1);
                matches!(state, Some("accepted" | "running"))
            });
            let last = own.get(known..)?.last()?;
            (!open && *last == format!("{kind}|succeeded")).then_some(())
        });
    }
}

#[test]
fn what_is_killed_or_removed_comes_back_and_what_is_stopped_stays_stopped() {
    // Podman removes by killing first: the agent may see, and act on, the one before the other, so
    // how many operations a removal costs is left open, and the budget has room for it.
    let stage = Stage::set(20);
    let podman = stage.agent.podman();
    podman.run(&["kill", "hello-web"]);
    stage.acted_since("it is brought back", 0, "start");
    until("it answers", || stage.answers());
    let killed = stage.own().len();
    podman.run(&["rm", "-f", "-t0", "hello-web"]);
    stage.acted_since("it is made again", killed, "start");
    until("it answers again", || stage.answers());

    stage.workstation.mcp(&["stop", "hello"]).ok();
    stage.workstation.mcp(&["status", "--live"]).ok();
    let why = stage.workstation.json(&["why", "hello/web"]);
    assert_eq!(why["component"]["observed"], "stopped", "{why}");
    assert_eq!(why["decision"], "nothing", "{why}");
    let before = stage.own();
    assert!(
        !before.iter().any(|row| row.starts_with("stop|")),
        "a declared stop is not undone: {before:?}"
    );

    podman.run(&["start", "hello-web"]);
    stage.acted_since("what was started by hand is stopped", before.len(), "stop");
    assert_eq!(podman.status("hello-web").as_deref(), Some("exited"));
}

#[test]
fn a_crash_loop_spends_the_budget_once_and_a_deploy_is_a_fresh_start() {
    let stage = Stage::set(3);
    until("it gives up", || {
        // Whatever it is asked, it crashes.
        let _ = http_get(stage.port, "/exit?code=7");
        (!stage.gave_up().is_empty()).then_some(())
    });
    assert_eq!(stage.own().len(), 3);
    // A message may be out a moment before what it tells of is shown.
    let status = until("status says so", || {
        let status = stage.workstation.mcp(&["status"]).ok();
        status.contains("gave up").then_some(status)
    });
    assert!(status.contains("auto-reconcile is on"), "{status}");
    let why = stage.workstation.json(&["why", "hello"]);
    assert_eq!(why["permission"], "none", "{why}");
    assert_eq!(why["last_operation"]["caller"], "auto-reconcile", "{why}");

    stage.deploy("v2");
    until("the incident is over", || {
        (stage.gave_up() == ["opened", "closed"]).then_some(())
    });
    stage.agent.podman().run(&["kill", "hello-web"]);
    stage.acted_since("it is brought back again", 3, "start");
    until("it answers", || stage.answers());
    assert_eq!(stage.gave_up(), ["opened", "closed"]);
}
