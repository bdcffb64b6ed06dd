//! What `sync` and a failing runtime change, and what they leave alone.

use mcp_e2e::{Agent, AgentOptions, Alerts, Component, Workstation, definition, until};

struct Stage {
    agent: Agent,
    workstation: Workstation,
}

impl Stage {
    /// `hello` with the components `web` and `worker` runs.
    fn deployed(options: AgentOptions) -> Self {
        let agent = Agent::running("rift", options);
        let workstation = Workstation::of(&[&agent]);
        let stage = Self { agent, workstation };
        stage.define(&["web", "worker"], "localhost/hello:v1");
        stage.workstation.mcp(&["deploy", "hello"]).ok();
        stage
    }

    fn define(&self, components: &[&str], image: &str) {
        let components: Vec<_> = components
            .iter()
            .map(|name| Component::new(name, image))
            .collect();
        self.workstation
            .define("hello", &definition("hello", "rift", &components));
    }

    fn ids(&self) -> Vec<String> {
        self.agent
            .podman()
            .run(&["ps", "--quiet", "--no-trunc"])
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

#[test]
fn a_changed_definition_changes_the_stored_spec_and_nothing_that_runs() {
    let stage = Stage::deployed(AgentOptions::default());
    let running = stage.ids();
    stage.define(&["web", "worker"], "localhost/hello:v2");

    let preview = stage.workstation.mcp(&["sync", "--dry-run"]).ok();
    assert!(preview.contains("localhost/hello:v2"), "{preview}");
    let images = "SELECT DISTINCT image FROM components";
    assert_eq!(
        stage.agent.rows(images),
        ["localhost/hello:v1"],
        "a preview changed something"
    );

    stage.workstation.mcp(&["sync"]).ok();
    assert_eq!(stage.agent.rows(images), ["localhost/hello:v2"]);
    assert_eq!(stage.ids(), running);
    until("both differ from what is wanted", || {
        let status = stage.workstation.json(&["status", "--live"]);
        let drift = status["nodes"][0]["drift"].as_array();
        let drift = drift.expect("it is listed");
        assert!(
            drift.iter().all(|drift| drift["kind"] == "spec"),
            "{status}"
        );
        (drift.len() == 2).then_some(())
    });
}

#[test]
fn an_inactive_service_wants_all_its_components_stopped() {
    let stage = Stage::deployed(AgentOptions::default());
    let file = stage.workstation.definition("hello");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("active = true", "active = false");
    stage.workstation.define("hello", &text);
    stage.workstation.mcp(&["sync"]).ok();
    let desired = "SELECT DISTINCT desired_state FROM components";
    assert_eq!(stage.agent.rows(desired), ["stopped"]);
    assert_eq!(stage.ids().len(), 2, "a sync touches no container");
    until("that they run is drift", || {
        let status = ["status", "--live", "--exit-code"];
        (stage.workstation.mcp(&status).code == Some(3)).then_some(())
    });
}

#[test]
fn a_component_that_left_its_definition_runs_on_until_it_is_pruned() {
    let stage = Stage::deployed(AgentOptions::default());
    stage.define(&["web"], "localhost/hello:v1");
    let said = stage.workstation.json(&["sync"]);
    assert_eq!(
        said["nodes"][0]["services"][0]["orphaned"][0], "worker",
        "{said}"
    );
    let orphaned = "SELECT name, orphaned FROM components ORDER BY name";
    assert_eq!(stage.agent.rows(orphaned), ["web|0", "worker|1"]);
    stage.workstation.mcp(&["stop", "hello"]).ok();
    assert_eq!(
        stage.agent.podman().status("hello-worker").as_deref(),
        Some("running")
    );

    stage.workstation.mcp(&["sync", "--prune"]).refused(2);
    stage.workstation.mcp(&["sync", "--prune", "--yes"]).ok();
    assert_eq!(stage.agent.podman().names(), ["hello-web"]);
    assert_eq!(stage.agent.rows(orphaned), ["web|0"]);
}

#[test]
fn a_sync_that_mentions_no_service_leaves_all_as_they_are() {
    let stage = Stage::deployed(AgentOptions::default());
    let running = stage.ids();
    std::fs::remove_file(stage.workstation.definition("hello")).unwrap();
    let said = stage.workstation.json(&["sync"]);
    assert_eq!(said["nodes"][0]["unmentioned"][0], "hello", "{said}");
    assert_eq!(stage.ids(), running);
    assert_eq!(
        stage.agent.rows("SELECT desired_state FROM components"),
        ["running", "running"]
    );
}

#[test]
fn a_runtime_that_fails_makes_states_unknown_never_removed() {
    let alerts = Alerts::new();
    let stage = Stage::deployed(AgentOptions::default().alert_command(&alerts.command()));
    let running = stage.ids();
    let broken = stage.agent.podman().break_it();

    // The registry is not the runtime: a list goes on.
    assert!(stage.workstation.mcp(&["list"]).ok().contains("hello"));
    let status = until("nobody claims to know", || {
        let status = stage.workstation.json(&["status", "--live"]);
        let node = &status["nodes"][0];
        let seen = |index: usize| &node["services"][0]["components"][index]["observed"];
        for component in [0, 1] {
            assert_ne!(seen(component), "removed", "{status}");
        }
        let unknown = seen(0) == "unknown" && seen(1) == "unknown";
        (unknown && node["observation_error"].is_string()).then_some(status)
    });
    assert_eq!(status["drift"], false, "{status}");
    let status = stage.workstation.mcp(&["status", "--exit-code"]);
    assert_eq!(
        status.code,
        Some(1),
        "unknown is neither fine nor drift: {status:?}"
    );

    drop(broken);
    until("all is seen again", || {
        let status = stage.workstation.mcp(&["status", "--live", "--exit-code"]);
        (status.code == Some(0)).then_some(())
    });
    assert_eq!(stage.ids(), running, "something was touched blindly");
    assert_eq!(alerts.about_components(), []);
}
