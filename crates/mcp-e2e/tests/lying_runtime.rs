//! A podman that hangs, lies and dies: nothing that runs is touched, and status does not claim what
//! nobody has seen.

use std::collections::BTreeMap;
use std::fs;

use mcp_e2e::{
    Agent, AgentOptions, Alerts, Component, Daemon, Lie, LyingPodman, Workstation, definition,
    until,
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
        let (states, answer) = self.states(args);
        assert!(states.values().all(|now| now == state), "{state}: {answer}");
        answer
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
    let (_, answer) = stage.states(&[]);
    let age = |answer: &Value| answer["nodes"][0]["observed_at"].clone();
    let seen = age(&answer);
    assert!(seen.is_string(), "{answer}");

    until("nobody claims to know", || {
        let (states, answer) = stage.states(&[]);
        assert_eq!(age(&answer), seen, "nothing was seen since");
        states
            .values()
            .all(|state| state == "unknown")
            .then_some(())
    });
    let answer = stage.all_are(&[], "unknown");
    assert_eq!(answer["drift"], false, "{answer}");
    let text = stage.workstation.mcp(&["status"]).stdout;
    assert!(
        text.contains("seen") && text.contains("no answer within"),
        "{text}"
    );
    // Between two calls that hang there may be none.
    until("it still hangs", || {
        (!stage.podman.hanging().is_empty()).then_some(())
    });
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
    assert_eq!(stage.alerts.about_components(), []);
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
        let answer = stage.all_are(&["--live"], "unknown");
        assert_eq!(answer["drift"], false, "{lie:?}: {answer}");
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
    assert_eq!(stage.alerts.about_components(), []);
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
        let answer = stage.all_are(&["--live"], "running");
        assert_eq!(answer["drift"], false, "{lie:?}: {answer}");
    }
    assert_eq!(stage.untouched(), before);
    assert_eq!(stage.alerts.about_components(), []);
}

#[test]
fn an_operation_says_what_it_waits_for_and_ends_once_podman_answers() {
    let stage = Stage::deployed(|_, options| options.set("monitor", "interval", "1s"));
    stage.podman.lie(
        "*",
        &Lie::Refuse(125, "Error: the storage is on fire".into()),
    );
    let said = stage.workstation.home().join("said");
    let mut deploy = stage.workstation.command();
    deploy.args(["deploy", "hello"]);
    let mut deploy = Daemon::start(&mut deploy, &said);
    deploy.wait_until("it says what it waits for", || {
        let said = fs::read_to_string(&said).unwrap_or_default();
        let waits = said.contains("waits for its runtime");
        (waits && said.contains("the storage is on fire")).then_some(())
    });
    stage.podman.tell_the_truth();
    let ended = until("it is deployed", || deploy.ended());
    assert!(ended.success(), "{}", fs::read_to_string(&said).unwrap());
    stage.all_are(&[], "running");
    assert_eq!(stage.agent.podman().names(), ["hello-web", "hello-worker"]);
}

#[test]
fn a_run_that_fails_dies_or_hangs_gives_way_to_the_old_container_and_names_the_cause() {
    let stage = Stage::deployed(|_, options| options);
    let ids = || {
        let container = |name| stage.agent.podman().inspect(name).expect("it is there");
        ["hello-web", "hello-worker"].map(|name| container(name)["Id"].to_string())
    };
    let before = ids();
    for (lie, cause) in [
        (
            Lie::Refuse(126, "Error: OCI permission denied".into()),
            "OCI permission denied",
        ),
        (Lie::Die, "signal"),
        (Lie::Say(b"what?".into()), "it holds no id"),
        (Lie::Hang, "no answer within"),
    ] {
        stage.podman.lie("run", &lie);
        let reply = stage.workstation.mcp(&["deploy", "hello/web"]);
        assert_eq!(reply.code, Some(1), "{lie:?}: {reply:?}");
        assert!(reply.stderr.contains(cause), "{lie:?}: {}", reply.stderr);
        stage.podman.tell_the_truth();
        assert_eq!(ids(), before, "{lie:?}");
        assert_eq!(stage.agent.podman().names(), ["hello-web", "hello-worker"]);
        stage.all_are(&["--live"], "running");
    }
}

#[test]
fn events_that_are_lost_doubled_late_or_dead_cost_one_resync_at_most() {
    let stage = Stage::deployed(|podman, options| {
        // Events of the journal are followed by command.
        podman.lie("info", &Lie::Journald);
        options.set("monitor", "interval", "2s")
    });
    let (_, answer) = stage.states(&[]);
    assert!(answer.to_string().contains("podman events"), "{answer}");
    let podman = stage.agent.podman();
    let worker_is = |state: &str| {
        until(&format!("the worker is {state}"), || {
            let (states, _) = stage.states(&[]);
            (states["worker"] == state).then_some(())
        });
    };
    for lie in [Lie::Drop, Lie::Double, Lie::Reorder, Lie::Die] {
        stage.podman.lie("events", &lie);
        podman.run(&["stop", "--time=0", "hello-worker"]);
        worker_is("exited");
        podman.run(&["start", "hello-worker"]);
        worker_is("running");
    }
    podman.run(&["rm", "--force", "--time=0", "hello-worker"]);
    worker_is("removed");
}
