//! How containers die is said in plain words (S33), and said at least once (S31): on real podman.

use mcp_e2e::{
    Agent, AgentOptions, Alerts, Component, Workstation, definition, free_port, http_get, until,
};
use mcp_model::text::escape;

/// How a component is made to die.
enum Cause {
    /// It is asked to end with that status.
    Exits(i32),
    /// It ends itself by a signal.
    Aborts,
    /// podman sends it SIGKILL.
    IsKilled,
}

use Cause::{Aborts, Exits, IsKilled};

/// Component, how it dies, and what is said of it.
const DEATHS: [(&str, Cause, &str); 6] = [
    ("zero", Exits(0), "0: ended without an error"),
    ("one", Exits(1), "1: ended with an error"),
    ("refused", Exits(126), "126: command could not be run"),
    ("missing", Exits(127), "127: command not found"),
    ("killed", IsKilled, "137: killed (SIGKILL)"),
    ("segv", Aborts, "139: segmentation fault (SIGSEGV)"),
];

/// What each of them wrote last, as it may be shown.
const LAST_WORDS: &str =
    "\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\rall is well \\u{202e}txt.exe \u{fffd}\u{fffd} \\u{0} end";

struct Stage {
    agent: Agent,
    workstation: Workstation,
    alerts: Alerts,
    ports: Vec<u16>,
}

impl Stage {
    /// Runs a service of these components.
    fn of(names: &[&str], alerts: Alerts) -> Self {
        let options = AgentOptions::default().alert_command(&alerts.command());
        let agent = Agent::running("rift", options);
        let workstation = Workstation::of(&[&agent]);
        let ports: Vec<u16> = names.iter().map(|_| free_port()).collect();
        let components: Vec<_> = names
            .iter()
            .zip(&ports)
            .map(|(name, port)| Component::new(name, "localhost/hello:v1").port(*port))
            .collect();
        workstation.define("hello", &definition("hello", "rift", &components));
        workstation.mcp(&["deploy", "hello"]).ok();
        Self {
            agent,
            workstation,
            alerts,
            ports,
        }
    }

    fn die(&self, index: usize, name: &str, cause: &Cause) {
        let port = self.ports[index];
        let said = until("it answers", || http_get(port, "/rant"));
        assert_eq!(said.1, "said");
        match cause {
            // Nobody answers.
            Exits(code) => drop(http_get(port, &format!("/exit?code={code}"))),
            Aborts => drop(http_get(port, "/abort")),
            IsKilled => {
                let name = format!("hello-{name}");
                self.agent.podman().run(&["kill", "-s", "KILL", &name]);
            }
        }
    }

    /// Name and cause of what has died, as status says it to programs.
    fn causes(&self) -> Vec<(String, String)> {
        let status = self.workstation.json(&["status"]);
        let drift = status["nodes"][0]["drift"].as_array();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let drift = drift.expect("it is listed").iter();
        drift
            .map(|drift| (text(&drift["component"]), text(&drift["cause"])))
            .collect()
    }
}

/// Nothing in it does anything to a terminal; lines may end.
#[track_caller]
fn is_harmless(text: &str) {
    for line in text.lines() {
        assert_eq!(escape(line), line);
    }
}

#[test]
fn every_kind_of_death_is_said_in_plain_words_and_harms_no_terminal() {
    let names = DEATHS.map(|(name, ..)| name);
    let stage = Stage::of(&names, Alerts::new());
    for (index, (name, cause, _)) in DEATHS.iter().enumerate() {
        stage.die(index, name, cause);
    }
    let alerts = until("each death is told", || {
        let alerts = stage.alerts.about_components();
        let told = |name: &&str| alerts.iter().any(|alert| alert["MCP_COMPONENT"] == **name);
        names.iter().all(told).then_some(alerts)
    });
    // A message may be out a moment before what it tells of is shown.
    let causes = until("status shows all of them", || {
        Some(stage.causes()).filter(|causes| causes.len() == DEATHS.len())
    });
    let shown = stage.workstation.mcp(&["status"]).ok();
    for (name, _, words) in DEATHS {
        let told = alerts.iter().find(|alert| alert["MCP_COMPONENT"] == name);
        let told = told.unwrap_or_else(|| panic!("{name}: {alerts:?}"));
        let (code, _) = words.split_once(':').expect("the code comes first");
        assert_eq!(told["MCP_EXIT_CODE"], code, "{name}");
        let seen = causes.iter().find(|(of, _)| of == name);
        let (_, seen) = seen.unwrap_or_else(|| panic!("{name}: {causes:?}"));
        for cause in [&told["MCP_REASON"], seen] {
            let begins = format!("{words}; last output: ");
            assert!(cause.starts_with(&begins), "{name}: {cause}");
            assert!(cause.contains(LAST_WORDS), "{name}: {cause}");
            assert!(cause.len() < 1000, "{name}: {cause}");
            is_harmless(cause);
        }
        assert!(shown.contains(words), "{shown}");
    }
    is_harmless(&shown);
    let log = stage.agent.log();
    is_harmless(&log);
    assert!(log.contains("137: killed (SIGKILL)"), "{log}");
}

#[test]
fn a_message_whose_command_killed_the_agent_is_sent_again_by_the_next_one() {
    let mut stage = Stage::of(&["web"], Alerts::that_kill_the_agent_once());
    stage.die(0, "web", &Exits(1));
    until("the agent is gone", || {
        stage.agent.has_ended().then_some(())
    });
    assert_eq!(stage.alerts.received().len(), 1);
    stage.agent.start();
    stage.alerts.wait_for(2);
    let waiting = "SELECT id FROM alerts WHERE outcome IS NULL";
    until("it is marked", || {
        stage.agent.rows(waiting).is_empty().then_some(())
    });
    let told: Vec<_> = stage
        .alerts
        .received()
        .into_iter()
        .map(|mut alert| {
            alert.retain(|name, _| name.starts_with("MCP_"));
            alert
        })
        .collect();
    assert_eq!(told.len(), 2, "and not once more");
    assert_eq!(told[0], told[1], "the same message, under the same id");
    assert!(!told[0]["MCP_INCIDENT_ID"].is_empty());
}
