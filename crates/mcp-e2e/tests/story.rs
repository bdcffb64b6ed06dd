//! The main job, end to end: a definition becomes a running service under an agent that notices
//! when it dies and says so. Registry rows, podman's view and the CLI's words must agree.

use std::fs;

use mcp_e2e::{
    Agent, AgentOptions, Alerts, Component, Workstation, definition, free_port, http_get, until,
};

const STATES: &str = "SELECT service, name, desired_state, observed_state, version
                      FROM components ORDER BY service, name";

struct Stage {
    agent: Agent,
    workstation: Workstation,
    alerts: Alerts,
    port: u16,
}

impl Stage {
    /// A node, and a service of two components that is defined, not deployed.
    fn set() -> Self {
        let alerts = Alerts::new();
        let agent = Agent::running(
            "rift",
            AgentOptions::default().alert_command(&alerts.command()),
        );
        let workstation = Workstation::of(&[&agent]);
        let port = free_port();
        let components = [
            Component::new("web", "localhost/hello:v1").port(port),
            Component::new("worker", "localhost/hello:v2"),
        ];
        workstation.define("hello", &definition("hello", "rift", &components));
        Self {
            agent,
            workstation,
            alerts,
            port,
        }
    }

    fn deployed() -> Self {
        let stage = Self::set();
        stage.mcp(&["deploy", "hello"]);
        stage
    }

    /// Runs the CLI; panics where it fails.
    #[track_caller]
    fn mcp(&self, args: &[&str]) -> String {
        self.workstation.mcp(args).ok()
    }

    /// What the service answers. That its process runs is what a command waits for, not that it
    /// listens already.
    #[track_caller]
    fn answer(&self) -> String {
        let answer = until("the service answers", || http_get(self.port, "/"));
        answer.1
    }

    /// Waits until `mcp status` ends with this code, and returns what it shows: a message may be out
    /// a moment before what it tells of is shown.
    #[track_caller]
    fn status(&self, code: i32) -> String {
        until(&format!("status ends with {code}"), || {
            let status = self.workstation.mcp(&["status", "--exit-code"]);
            (status.code == Some(code)).then_some(status.stdout)
        })
    }

    /// When the process of a container began, as podman says.
    fn started(&self, container: &str) -> String {
        let inspected = self.agent.podman().inspect(container).expect("it is there");
        inspected["State"]["StartedAt"].to_string()
    }
}

#[test]
fn synced_intent_is_stored_and_nothing_runs() {
    let stage = Stage::set();
    let said = stage.mcp(&["sync"]);
    assert!(said.contains("hello"), "{said}");

    assert_eq!(stage.agent.podman().names(), Vec::<String>::new());
    until("the controller has looked", || {
        let rows = stage.agent.rows(STATES);
        (rows
            == [
                "hello|web|running|removed|",
                "hello|worker|running|removed|",
            ])
        .then_some(())
    });
    let status = stage.status(3);
    assert!(status.contains("removed"), "{status}");

    let again = stage.workstation.json(&["sync"]);
    assert_eq!(
        again["nodes"][0]["services"][0]["changed"], false,
        "{again}"
    );
}

#[test]
fn a_deployed_service_runs_in_every_view() {
    let stage = Stage::set();
    let report = stage.workstation.json(&["deploy", "hello", "-m", "first"]);
    for result in report["results"]
        .as_array()
        .expect("one result per component")
    {
        assert_eq!(result["success"], true, "{report}");
        assert_eq!(result["observed"], "running", "{report}");
    }
    // Deploy ended, so all of it is true already: no waiting from here on.
    assert_eq!(stage.agent.podman().names(), ["hello-web", "hello-worker"]);
    assert_eq!(
        stage.agent.rows(STATES),
        [
            "hello|web|running|running|v1",
            "hello|worker|running|running|v2"
        ]
    );
    let operation = "SELECT kind, service, state, message FROM operations";
    assert_eq!(
        stage.agent.rows(operation),
        ["deploy|hello|succeeded|first"]
    );

    let list = stage.workstation.json(&["list"]);
    let ps = stage.workstation.json(&["ps"]);
    let status = stage.workstation.json(&["status"]);
    assert_eq!(status["drift"], false, "{status}");
    let web = stage.agent.podman().inspect("hello-web").expect("it runs");
    for view in [list, ps, status] {
        let component = &view["nodes"][0]["services"][0]["components"][0];
        assert_eq!(component["name"], "web");
        assert_eq!(component["observed"], "running", "{view}");
        assert_eq!(component["version"], "v1", "{view}");
        assert_eq!(component["container_id"], web["Id"], "{view}");
    }
    let shown = stage.mcp(&["ps"]);
    for word in ["hello", "web", "worker", "running", "v1", "v2"] {
        assert!(shown.contains(word), "no {word} in\n{shown}");
    }
    assert!(stage.answer().starts_with("hello from v1 on "));
}

#[test]
fn one_component_is_deployed_without_touching_the_other() {
    let stage = Stage::deployed();
    let (web, worker) = (stage.started("hello-web"), stage.started("hello-worker"));
    stage.mcp(&["deploy", "hello/worker"]);
    assert_eq!(stage.started("hello-web"), web);
    assert_ne!(stage.started("hello-worker"), worker);
}

#[test]
fn a_death_is_told_when_it_happens_and_again_when_it_is_over() {
    let stage = Stage::deployed();
    stage.agent.podman().run(&["kill", "hello-web"]);

    let opened = stage.alerts.wait_for(1);
    let told = |name: &str| opened.get(name).map_or("", String::as_str);
    assert_eq!(told("MCP_ALERT_TYPE"), "drift");
    assert_eq!(told("MCP_ALERT_EVENT"), "opened");
    assert_eq!((told("MCP_NODE"), told("MCP_SERVICE")), ("rift", "hello"));
    assert_eq!(told("MCP_COMPONENT"), "web");
    assert_eq!(
        (told("MCP_DESIRED"), told("MCP_OBSERVED")),
        ("running", "exited")
    );
    assert_eq!(told("MCP_PREV_STATE"), "running");
    assert_eq!(told("MCP_EXIT_CODE"), "137");
    assert!(told("MCP_REASON").contains("SIGKILL"), "{opened:?}");
    assert!(!told("MCP_TIMESTAMP").is_empty() && !told("MCP_INCIDENT_ID").is_empty());

    let status = stage.status(3);
    for word in ["DRIFT", "exited", "SIGKILL"] {
        assert!(status.contains(word), "no {word} in\n{status}");
    }
    let events = "SELECT prev_state, new_state FROM events WHERE component = 'web'
                  ORDER BY id DESC LIMIT 1";
    assert_eq!(stage.agent.rows(events), ["running|exited"]);

    stage.mcp(&["start", "hello"]);
    stage.answer();
    let closed = stage.alerts.wait_for(2);
    assert_eq!(closed["MCP_ALERT_EVENT"], "closed");
    assert_eq!(closed["MCP_INCIDENT_ID"], opened["MCP_INCIDENT_ID"]);
    stage.status(0);
    assert_eq!(stage.alerts.received().len(), 2, "told more than once");
}

#[test]
fn drift_alone_never_starts_a_container() {
    let stage = Stage::deployed();
    let started = stage.started("hello-web");
    stage.agent.podman().run(&["kill", "hello-web"]);
    stage.alerts.wait_for(1);
    // A full look at the runtime, and whatever follows from it, is behind us then.
    stage.mcp(&["status", "--live"]);
    // `stopped` until what podman does after a death is done, and `exited` then.
    let status = stage.agent.podman().status("hello-web");
    assert_ne!(status.as_deref(), Some("running"));
    assert_eq!(stage.started("hello-web"), started);
}

#[test]
fn restart_replaces_every_process_and_leaves_the_definition_alone() {
    let stage = Stage::deployed();
    let file = stage.workstation.definition("hello");
    let before = fs::read_to_string(&file).unwrap();
    let started = [stage.started("hello-web"), stage.started("hello-worker")];
    let said = stage.mcp(&["restart", "hello"]);
    assert!(
        !said.contains("replaced"),
        "restart replaces no container\n{said}"
    );
    assert_ne!(stage.started("hello-web"), started[0]);
    assert_ne!(stage.started("hello-worker"), started[1]);
    stage.answer();
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(stage.alerts.received(), [], "an operation is no drift");
}

#[test]
fn stop_is_written_into_the_definition_and_is_no_drift() {
    let stage = Stage::deployed();
    let file = stage.workstation.definition("hello");
    let before = fs::read_to_string(&file).unwrap();
    let stopped = stage.workstation.json(&["stop", "hello"]);
    for result in stopped["results"]
        .as_array()
        .expect("one result per component")
    {
        assert_eq!(
            result["observed"], "stopped",
            "not a death, but a stop that was meant"
        );
    }
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        before.replace("active = true # for now", "active = false # for now")
    );
    assert_eq!(
        stage.agent.podman().status("hello-web").as_deref(),
        Some("exited")
    );
    assert_eq!(
        stage.agent.rows(STATES),
        [
            "hello|web|stopped|stopped|v1",
            "hello|worker|stopped|stopped|v2"
        ]
    );
    assert_eq!(
        stage.workstation.mcp(&["status", "--exit-code"]).code,
        Some(0)
    );

    stage.mcp(&["start", "hello"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    stage.answer();
    assert_eq!(
        stage.alerts.received(),
        [],
        "what was asked for is no drift"
    );
}

#[test]
fn containers_and_intent_outlive_the_agent() {
    let mut stage = Stage::deployed();
    let started = stage.started("hello-web");
    assert!(stage.agent.stop().success(), "{}", stage.agent.log());
    // The container did not go with the agent.
    stage.answer();
    assert_eq!(stage.workstation.mcp(&["ps"]).code, Some(1));

    stage.agent.start();
    assert_eq!(
        stage
            .workstation
            .mcp(&["status", "--live", "--exit-code"])
            .code,
        Some(0)
    );
    assert_eq!(stage.started("hello-web"), started);

    // Killed in the middle of nothing, it finds what happened meanwhile.
    stage.agent.kill();
    stage.agent.podman().run(&["kill", "hello-worker"]);
    stage.agent.start();
    assert_eq!(stage.alerts.wait_for(1)["MCP_COMPONENT"], "worker");
    assert_eq!(stage.started("hello-web"), started);
}

#[test]
fn without_a_definition_the_last_deployed_spec_is_deployed() {
    let stage = Stage::deployed();
    fs::remove_file(stage.workstation.definition("hello")).unwrap();
    let before = stage.started("hello-web");
    stage.mcp(&["deploy", "hello"]);
    assert_ne!(stage.started("hello-web"), before);
    assert!(stage.answer().starts_with("hello from v1 on "));

    let unknown = stage.workstation.mcp(&["deploy", "nothing"]);
    assert_ne!(unknown.code, Some(0));
    assert!(
        unknown.stderr.contains("nothing.toml"),
        "{}",
        unknown.stderr
    );
}
