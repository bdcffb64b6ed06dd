//! A podman that hangs, lies and dies: nothing that runs is touched, and status does not claim what
//! nobody has seen.

use std::collections::BTreeMap;

use mcp_e2e::{
    Agent, AgentOptions, Alerts, Component, Lie, LyingPodman, Workstation, definition, until,
};
use serde_json::Value;

/// What changes containers.
const MUTATIONS: [&str; 6] = ["run", "start", "stop", "rm", "rename", "pull"];

struct Stage {
    agent: Agent,
    workstation: Workstation,
    alerts: Alerts,
    podman: LyingPodman,
}

impl Stage {
    /// A service of two components that run, under a podman that tells the truth so far.
    fn deployed(adjust: impl FnOnce(&LyingPodman, AgentOptions) -> AgentOptions) -> Self {
        let (alerts, podman) = (Alerts::new(), LyingPodman::new());
        let options = AgentOptions::default()
            .alert_command(&alerts.command())
            .podman(&podman.program(), "3s");
        let agent = Agent::running("rift", adjust(&podman, options));
        let workstation = Workstation::of(&[&agent]);
        let components = [
            Component::new("web", "localhost/hello:v1"),
            Component::new("worker", "localhost/hello:v2"),
        ];
        workstation.define("hello", &definition("hello", "rift", &components));
        workstation.mcp(&["deploy", "hello"]).ok();
        Self {
            agent,
            workstation,
            alerts,
            podman,
        }
    }

    /// Each component's state as `mcp status` with these arguments shows it, and all of its answer.
    #[track_caller]
    fn states(&self, args: &[&str]) -> (BTreeMap<String, String>, Value) {
        let answer = self.workstation.json(&[&["status"], args].concat());
        let components = answer["nodes"][0]["services"][0]["components"].as_array();
        let text = |value: &Value| value.as_str().expect("it is text").to_owned();
        let states = components.expect("it is listed").iter();
        let states = states.map(|c| (text(&c["name"]), text(&c["observed"])));
        (states.collect(), answer)
    }

    #[track_caller]
    fn all_are(&self, args: &[&str], state: &str) -> Value {
        let (states, status) = self.states(args);
        assert!(states.values().all(|now| now == state), "{state}: {status}");
        status
    }

    /// Id and start of each container, and how many calls could have changed one.
    fn untouched(&self) -> (Vec<String>, usize, Vec<String>) {
        let lives = ["hello-web", "hello-worker"].map(|name| {
            let container = self.agent.podman().inspect(name).expect("it is there");
            format!("{} {}", container["Id"], container["State"]["StartedAt"])
        });
        let calls = self.podman.calls();
        let mutations = calls.iter().filter(|c| MUTATIONS.contains(&c.as_str()));
        let events = self.agent.rows("SELECT count(*) FROM events");
        (lives.into(), mutations.count(), events)
    }
}

#[test]
fn while_podman_hangs_status_answers_with_its_age_and_then_with_unknown() {
    let stage = Stage::deployed(|_, options| options.set("monitor", "interval", "1s"));
    let before = stage.untouched();
    stage.podman.lie("*", &Lie::HangWithChild);
    let hung = until("a listing and its child hang", || {
        let listing = stage.podman.calls().last().is_some_and(|call| call == "ps");
        Some(stage.podman.hanging()).filter(|pids| listing && pids.len() >= 2)
    });
    let (_, status) = stage.states(&[]);
    let age = |status: &Value| status["nodes"][0]["observed_at"].clone();
    let seen = age(&status);
    assert!(seen.is_string(), "{status}");

    until("nobody claims to know", || {
        let (states, status) = stage.states(&[]);
        assert_eq!(age(&status), seen, "nothing was seen since");
        states
            .values()
            .all(|state| state == "unknown")
            .then_some(())
    });
    let status = stage.all_are(&[], "unknown");
    assert_eq!(status["drift"], false, "{status}");
    let text = stage.workstation.mcp(&["status"]).stdout;
    assert!(
        text.contains("seen") && text.contains("no answer within"),
        "{text}"
    );
    assert!(!stage.podman.hanging().is_empty(), "it still hangs");
    until("the deadline ends the call and its child", || {
        let now = stage.podman.hanging();
        hung.iter().all(|pid| !now.contains(pid)).then_some(())
    });

    stage.podman.tell_the_truth();
    until("it is seen again", || {
        let (states, _) = stage.states(&[]);
        states
            .values()
            .all(|state| state == "running")
            .then_some(())
    });
    assert_eq!(stage.untouched(), before);
    assert_eq!(stage.alerts.received(), []);
}

#[test]
fn an_answer_that_cannot_be_read_is_unknown_and_touches_nothing() {
    let stage = Stage::deployed(|_, options| options);
    let before = stage.untouched();
    let mut lies: Vec<Lie> = [0, 1, 2, 50, 400, 1_000].map(Lie::Cut).into();
    lies.extend(
        [
            &b"null"[..],
            b"{}",
            b"[]",
            b"[{}]",
            b"[null]",
            b"\xff\xfe",
            b"Error",
        ]
        .map(|answer| Lie::Say(answer.into())),
    );
    lies.push(Lie::Retype);
    lies.push(Lie::Refuse(125, "Error: database is locked".to_owned()));
    lies.push(Lie::Die);
    for lie in lies {
        stage.podman.lie("ps", &lie);
        stage.podman.lie("inspect", &lie);
        let status = stage.all_are(&["--live"], "unknown");
        assert_eq!(status["drift"], false, "{lie:?}: {status}");
        stage.podman.tell_the_truth();
        // Where the listing lied well, each key waits out its own back-off.
        until("it is seen again", || {
            let (states, _) = stage.states(&["--live"]);
            states
                .values()
                .all(|state| state == "running")
                .then_some(())
        });
    }
    assert_eq!(stage.untouched(), before);
    assert_eq!(stage.alerts.received(), []);
}

#[test]
fn a_listing_that_lies_is_checked_one_by_one() {
    let stage = Stage::deployed(|_, options| options);
    let before = stage.untouched();
    for lie in [
        Lie::Drop,
        Lie::Double,
        Lie::Reorder,
        Lie::Retype,
        Lie::Cut(300),
        Lie::Say(b"[]".into()),
        Lie::Refuse(125, "Error: no".to_owned()),
        Lie::Die,
        Lie::Linger,
    ] {
        stage.podman.lie("ps", &lie);
        let status = stage.all_are(&["--live"], "running");
        assert_eq!(status["drift"], false, "{lie:?}: {status}");
    }
    assert_eq!(stage.untouched(), before);
    assert_eq!(stage.alerts.received(), []);
}
