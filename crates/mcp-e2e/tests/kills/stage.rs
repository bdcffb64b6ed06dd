//! One node with the component that operations are about and two containers that they are not.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mcp_e2e::{Agent, AgentOptions, Component, Workstation, definition, until};

use crate::points::{Point, Points};
use crate::scenario::{Outcome, Scenario};

/// When the agent is killed.
#[derive(Debug)]
pub(crate) enum Kill {
    At(Point),
    After(Duration),
}

pub(crate) struct Stage {
    agent: Agent,
    workstation: Workstation,
    points: Points,
    bystanders: Vec<String>,
    versions: usize,
    /// Every operation that was ever seen.
    operations: Vec<String>,
}

/// What there was before an operation.
struct Before {
    container: Option<String>,
    made: usize,
    started: usize,
    operations: usize,
}

impl Stage {
    pub(crate) fn set() -> Self {
        let points = Points::new();
        let options = AgentOptions::default().failpoints(points.folder());
        let agent = Agent::running("rift", options);
        let workstation = Workstation::of(&[&agent]);
        let mut stage = Self {
            agent,
            workstation,
            points,
            bystanders: Vec::new(),
            versions: 0,
            operations: Vec::new(),
        };
        stage.define("other", &component("localhost/hello:v1"));
        stage.workstation.mcp(&["deploy", "other"]).ok();
        let by_hand = ["run", "-d", "--network=none", "--name=stranger"];
        let image = ["localhost/hello:v1"];
        stage.agent.podman().run(&[&by_hand[..], &image].concat());
        stage.bystanders = stage.look_at_bystanders();
        stage.operations = stage.settled_operations();
        stage
    }

    /// Carries an operation out; the points that it passes, and how long it takes.
    pub(crate) fn rehearse(&mut self, scenario: Scenario) -> (Vec<Point>, Duration) {
        self.at_rest();
        let (before, passed) = (self.prepare(scenario), self.points.count());
        let began = Instant::now();
        let reply = self.workstation.mcp(scenario.command());
        let took = began.elapsed();
        let points = self.points.since(passed);
        let expected = i32::from(scenario.outcome().state == "failed");
        assert_eq!(reply.code, Some(expected), "{scenario:?}: {reply:?}");
        self.check(scenario, &before, "rehearsal");
        (points, took)
    }

    /// Has the agent killed in the middle of an operation, starts it again, and looks at what
    /// became of everything. How long it took from readiness until the operation was settled.
    pub(crate) fn kill(&mut self, scenario: Scenario, how: &Kill) -> Duration {
        let what = match how {
            Kill::At(point) => format!("{scenario:?} killed at {point}"),
            Kill::After(delay) => format!("{scenario:?} killed after {delay:?}"),
        };
        self.at_rest();
        let before = self.prepare(scenario);
        if let Kill::At(point) = how {
            self.points.arm(point);
        }
        let mut client = self.ask(scenario);
        if let Kill::After(delay) = how {
            let_pass(*delay);
            self.agent.kill();
        }
        let acknowledged = until(&format!("the client leaves: {what}"), || {
            client.try_wait().expect("a child can be waited for")
        });
        if !self.agent.has_ended() {
            if self.points.disarm() {
                // It did not come by there this time: it is killed at rest.
                self.agent.kill();
            } else {
                until("the agent ends", || self.agent.has_ended().then_some(()));
            }
        }
        self.agent.start();
        let ready = Instant::now();
        until(&format!("everything is settled: {what}"), || {
            self.open_operations().is_empty().then_some(())
        });
        let settled = ready.elapsed();
        if acknowledged.success() {
            assert!(self.count_operations() > before.operations, "lost: {what}");
        }
        if self.count_operations() == before.operations {
            // It was killed before it had accepted anything, and told the client so.
            self.untouched(&before, &what);
            self.workstation.mcp(scenario.command());
        }
        self.check(scenario, &before, &what);
        settled
    }

    pub(crate) fn nothing_was_lost(&self) {
        let now = self.settled_operations();
        assert!(
            self.operations
                .iter()
                .all(|operation| now.contains(operation))
        );
    }

    /// Until the agent has taken in what happened: what it passes from then on, the operation makes
    /// it pass.
    fn at_rest(&self) {
        self.workstation.mcp(&["status", "--live"]).ok();
    }

    fn prepare(&mut self, scenario: Scenario) -> Before {
        self.versions += 1;
        let image = format!("localhost/hello:v{}", 1 + self.versions % 2);
        match scenario {
            Scenario::FirstDeploy | Scenario::Replacement => {
                self.define("hello", &component(&image));
            }
            Scenario::Restore => {
                let fails = component(&image).line("cmd = [\"--fail\", \"3\"]");
                self.define("hello", &fails);
            }
            Scenario::Undeploy => {
                let file = self.workstation.definition("hello");
                fs::remove_file(file).expect("a folder of ours");
            }
            Scenario::Restart | Scenario::Stop | Scenario::Start => {}
        }
        Before {
            container: self.container(),
            made: self.happened("create"),
            started: self.happened("start"),
            operations: self.count_operations(),
        }
    }

    fn define(&self, service: &str, component: &Component) {
        let text = definition(service, "rift", std::slice::from_ref(component));
        self.workstation.define(service, &text);
    }

    fn ask(&self, scenario: Scenario) -> Child {
        let mut client = self.workstation.command();
        client
            .args(scenario.command())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        client.spawn().expect("the client starts")
    }

    fn check(&mut self, scenario: Scenario, before: &Before, what: &str) {
        let now = self.settled_operations();
        let new = &now[before.operations..];
        let [operation] = new else {
            panic!("{what}: {} operations came of one", new.len());
        };
        let (id, state) = operation.split_once('|').expect("two columns");
        let podman = self.agent.podman();
        let container = self.container();
        let found = Outcome {
            state: scenario.outcome().state,
            container: scenario.outcome().container,
            same: container.is_some() && container == before.container,
            made: self.happened("create") - before.made,
            started: self.happened("start") - before.started,
        };
        let status = podman.status("hello-web");
        let explain = || {
            let steps = self.agent.rows("SELECT operation_id, state, phase, error, progress FROM operation_steps ORDER BY rowid DESC LIMIT 1");
            format!("{what}\n{steps:?}\n{status:?}\n{}", tail(&self.agent.log()))
        };
        assert_eq!(state, found.state, "{}", explain());
        assert_eq!(status.as_deref(), found.container, "{}", explain());
        assert_eq!(found, scenario.outcome(), "{}", explain());
        let mut names = vec!["other-web".to_owned(), "stranger".to_owned()];
        names.extend(status.as_ref().map(|_| "hello-web".to_owned()));
        names.sort();
        assert_eq!(podman.names(), names, "{}", explain());
        if matches!(scenario, Scenario::FirstDeploy | Scenario::Replacement) {
            let made = podman.inspect("hello-web").expect("it is there");
            assert_eq!(
                made["Config"]["Labels"]["mcp.operation"],
                id,
                "{}",
                explain()
            );
        }
        assert_eq!(self.look_at_bystanders(), self.bystanders, "{what}");
        self.operations = now;
    }

    fn untouched(&self, before: &Before, what: &str) {
        assert_eq!(self.container(), before.container, "{what}");
        let happened = (self.happened("create"), self.happened("start"));
        assert_eq!(happened, (before.made, before.started), "{what}");
    }

    fn container(&self) -> Option<String> {
        let found = self.agent.podman().inspect("hello-web")?;
        Some(found["Id"].as_str().expect("an id is a string").to_owned())
    }

    /// Which life of which container the others are in.
    fn look_at_bystanders(&self) -> Vec<String> {
        let format = "{{.Id}} {{.State.StartedAt}} {{.State.Pid}} {{.State.Status}}";
        let podman = self.agent.podman();
        let look = |name| podman.run(&["container", "inspect", "--format", format, name]);
        ["other-web", "stranger"].map(look).to_vec()
    }

    /// How often something happened to a container of the component, by podman's own account.
    fn happened(&self, what: &str) -> usize {
        let filter = format!("--filter=event={what}");
        let format = "--format={{.Name}}";
        let args = ["events", "--stream=false", "--since=24h", &filter, format];
        let events = self.agent.podman().run(&args);
        let of_it = |name: &&str| name.starts_with("hello-web");
        events.lines().filter(of_it).count()
    }

    fn settled_operations(&self) -> Vec<String> {
        self.agent
            .rows("SELECT id, state FROM operations ORDER BY seq")
    }

    fn count_operations(&self) -> usize {
        self.settled_operations().len()
    }

    fn open_operations(&self) -> Vec<String> {
        let open = "SELECT id FROM operations WHERE state IN ('accepted', 'running')";
        self.agent.rows(open)
    }
}

/// Without a network: the packet filter is the machine's, and slow.
fn component(image: &str) -> Component {
    Component::new("web", image).line("network = \"none\"")
}

/// Lets a random time pass, which is what is tested: any moment must do.
fn let_pass(time: Duration) {
    let (_never, wait) = mpsc::channel::<()>();
    let _ = wait.recv_timeout(time);
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
