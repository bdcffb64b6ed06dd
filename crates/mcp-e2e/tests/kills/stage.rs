//! One node with the component that operations are about and two containers that they are not.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mcp_e2e::{Agent, AgentOptions, Component, Workstation, definition, until};

use crate::points::{Point, Points};
use crate::say;
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
    versions: usize,
    /// What there was when the last operation had come to its end. Nothing is to happen from then
    /// until the next one is asked for.
    before: Scene,
    /// When that was looked at: what happened since came of the next one.
    since: String,
}

/// What podman and the registry say.
#[derive(Debug, PartialEq, Eq)]
struct Scene {
    /// The component's container.
    container: Option<Container>,
    /// Which life of which container the others are in.
    bystanders: Vec<String>,
    /// The names of all containers, sorted.
    names: Vec<String>,
    /// Every operation there ever was, and its state.
    operations: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Container {
    id: String,
    /// Whether it runs, and since when.
    life: String,
    status: String,
    operation: String,
}

impl Stage {
    pub(crate) fn set() -> Self {
        let points = Points::new();
        let options = AgentOptions::default().failpoints(points.folder());
        let agent = Agent::running("rift", options);
        let workstation = Workstation::of(&[&agent]);
        define(&workstation, "other", &component("localhost/hello:v1"));
        workstation.mcp(&["deploy", "other"]).ok();
        let by_hand = ["run", "-d", "--network=none", "--name=stranger"];
        let image = ["localhost/hello:v1"];
        agent.podman().run(&[&by_hand[..], &image].concat());
        let since = now();
        let before = Scene::of(&agent);
        assert_eq!(before.bystanders.len(), 2);
        Self {
            agent,
            workstation,
            points,
            versions: 0,
            before,
            since,
        }
    }

    /// Carries an operation out; the points that it passes, and how long it takes.
    pub(crate) fn rehearse(&mut self, scenario: Scenario) -> (Vec<Point>, Duration) {
        self.at_rest();
        self.prepare(scenario);
        let passed = self.points.count();
        let began = Instant::now();
        let reply = self.workstation.mcp(scenario.command());
        let took = began.elapsed();
        let points = self.points.since(passed);
        let expected = i32::from(scenario.outcome().state == "failed");
        assert_eq!(reply.code, Some(expected), "{scenario:?}: {reply:?}");
        self.check(scenario, &format!("{scenario:?} in the rehearsal"));
        (points, took)
    }

    /// Has the agent killed in the middle of an operation, starts it again, and looks at what
    /// became of everything. How long it took from readiness until the operation was settled; `None`
    /// where nothing was open any more, or yet.
    pub(crate) fn kill(&mut self, scenario: Scenario, how: &Kill) -> Option<Duration> {
        let what = match how {
            Kill::At(point) => format!("{scenario:?} killed at {point}"),
            Kill::After(delay) => format!("{scenario:?} killed after {delay:?}"),
        };
        self.at_rest();
        self.prepare(scenario);
        if let Kill::At(point) = how {
            self.points.arm(point);
        }
        let mut client = self.ask(scenario);
        match how {
            Kill::At(_) => self.wait_for_death(&mut client, &what),
            Kill::After(delay) => {
                let_pass(*delay);
                self.agent.kill();
            }
        }
        let resumes = !self.open_operations().is_empty();
        self.agent.start();
        let ready = Instant::now();
        until(&format!("everything is settled: {what}"), || {
            self.open_operations().is_empty().then_some(())
        });
        let settled = ready.elapsed();
        // It asks again where the connection broke, and so attaches to what goes on.
        let told = until(&format!("the client leaves: {what}"), || {
            client.try_wait().expect("a child can be waited for")
        });
        if operations(&self.agent).len() == self.before.operations.len() {
            // It could not even ask, and said so.
            assert!(!told.success(), "lost: {what}");
            assert_eq!(Scene::of(&self.agent), self.before, "{what}");
            let happened = (self.happened("create"), self.happened("start"));
            assert_eq!(happened, (0, 0), "{what}");
            // What listens may yet be a child of the dead agent, until it becomes another program.
            until(&format!("the client is heard: {what}"), || {
                self.workstation.mcp(scenario.command());
                (operations(&self.agent).len() > self.before.operations.len()).then_some(())
            });
        } else if resumes {
            let succeeds = scenario.outcome().state == "succeeded";
            let said = fs::read_to_string(self.said()).expect("a folder of ours");
            let left = said.contains("mcp wait");
            assert!(
                told.success() == succeeds || (succeeds && left),
                "told otherwise: {what}: {said}"
            );
        }
        self.check(scenario, &what);
        resumes.then_some(settled)
    }

    /// Until the agent was killed where it was to be, or at rest where it does not come by there
    /// this time.
    fn wait_for_death(&mut self, client: &mut Child, what: &str) {
        let died = until(
            &format!("the agent dies or the client leaves: {what}"),
            || {
                let left = client.try_wait().expect("a child can be waited for");
                (self.agent.has_ended() || left.is_some()).then(|| self.agent.has_ended())
            },
        );
        if !died && self.points.disarm() {
            self.agent.kill();
        } else {
            until("the agent ends", || self.agent.has_ended().then_some(()));
        }
    }

    /// Until the agent has taken in what happened: what it passes from then on, the operation makes
    /// it pass.
    fn at_rest(&self) {
        self.workstation.mcp(&["status", "--live"]).ok();
    }

    fn prepare(&mut self, scenario: Scenario) {
        self.versions += 1;
        let image = format!("localhost/hello:v{}", 1 + self.versions % 2);
        match scenario {
            Scenario::FirstDeploy | Scenario::Replacement => {
                define(&self.workstation, "hello", &component(&image));
            }
            Scenario::Restore => {
                let fails = component(&image).line("cmd = [\"--fail\", \"3\"]");
                define(&self.workstation, "hello", &fails);
            }
            Scenario::Undeploy => {
                let file = self.workstation.definition("hello");
                fs::remove_file(file).expect("a folder of ours");
            }
            Scenario::Restart | Scenario::Stop | Scenario::Start => {}
        }
    }

    /// What the last client said on its standard error.
    fn said(&self) -> PathBuf {
        self.points.folder().join("said")
    }

    fn ask(&self, scenario: Scenario) -> Child {
        let mut client = self.workstation.command();
        client
            .args(scenario.command())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.said()).expect("a folder of ours"));
        client.spawn().expect("the client starts")
    }

    fn check(&mut self, scenario: Scenario, what: &str) {
        let looked = now();
        let (now, before) = (Scene::of(&self.agent), &self.before);
        let explain = || {
            let steps = self.agent.rows("SELECT operation_id, state, phase, error, progress FROM operation_steps ORDER BY rowid DESC LIMIT 1");
            format!("{what}\n{steps:?}\n{now:?}\n{}", tail(&self.agent.log()))
        };
        let (old, new) = now.operations.split_at(before.operations.len());
        assert_eq!(old, before.operations, "{}", explain());
        let [operation] = new else {
            panic!("{} operations came of one: {}", new.len(), explain());
        };
        let (id, state) = operation.split_once('|').expect("two columns");
        let container = now.container.as_ref();
        let id_of = |scene: &Scene| scene.container.as_ref().map(|c| c.id.clone());
        let found = Outcome {
            state,
            container: container.map(|container| container.status.as_str()),
            same: container.is_some() && id_of(&now) == id_of(before),
            made: self.happened("create"),
            started: self.happened("start"),
        };
        // A podman that is killed between an act and its own record of it leaves one event too few:
        // what there is proves the act. One too many is never right: something was done twice.
        let expected = scenario.outcome();
        let recorded = Outcome {
            made: found.made.max(expected.made),
            started: found.started.max(expected.started),
            ..found
        };
        assert_eq!(recorded, expected, "{}", explain());
        let mut names = vec!["other-web", "stranger"];
        names.extend(container.map(|_| "hello-web"));
        names.sort_unstable();
        assert_eq!(now.names, names, "{}", explain());
        if expected.made > 0 && !found.same {
            let made_by = container.map(|container| container.operation.as_str());
            assert_eq!(made_by, Some(id), "{}", explain());
        }
        assert_eq!(now.bystanders, before.bystanders, "{}", explain());
        self.agent.podman().until_no_runaways();
        (self.before, self.since) = (now, looked);
    }

    /// How often something happened to containers of the component since the last look, by podman's
    /// own account. That account is cut when it gets long, so that totals would not do.
    fn happened(&self, what: &str) -> usize {
        let since = format!("--since={}", self.since);
        let filter = format!("--filter=event={what}");
        let format = "--format={{.Name}}";
        let events = ["events", "--stream=false", &since, &filter, format];
        let events = self.agent.podman().run(&events);
        let of_it = |name: &&str| name.starts_with("hello-web");
        events.lines().filter(of_it).count()
    }

    fn open_operations(&self) -> Vec<String> {
        let open = "SELECT id FROM operations WHERE state IN ('accepted', 'running')";
        self.agent.rows(open)
    }
}

/// What was waited for in vain is explained, too.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let steps = self
                .agent
                .rows("SELECT * FROM operation_steps ORDER BY rowid DESC LIMIT 1");
            say(&format!("the last step: {steps:?}"));
            say(&tail(&self.agent.log()));
        }
    }
}

impl Scene {
    /// As few calls as will do: there are hundreds of kills.
    fn of(agent: &Agent) -> Self {
        let podman = agent.podman();
        let format = "--format={{.Name}}|{{.Id}}|{{.State.StartedAt}} {{.State.Pid}}|\
                      {{.State.Status}}|{{index .Config.Labels \"mcp.operation\"}}";
        let names = podman.names();
        let inspect = ["container", "inspect", format];
        let args: Vec<_> = inspect
            .into_iter()
            .chain(names.iter().map(String::as_str))
            .collect();
        let inspected = podman.run(&args);
        let (components, bystanders): (Vec<_>, Vec<_>) = inspected
            .lines()
            .map(str::to_owned)
            .partition(|line| line.starts_with("hello-web|"));
        Self {
            container: components.first().map(|found| Container::of(found)),
            bystanders,
            names,
            operations: operations(agent),
        }
    }
}

impl Container {
    fn of(text: &str) -> Self {
        let fields: Vec<String> = text.split('|').map(str::to_owned).collect();
        let [_, id, life, status, operation] =
            <[String; 5]>::try_from(fields).expect("five fields");
        Self {
            id,
            life,
            status,
            operation,
        }
    }
}

/// As podman takes it.
fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is later than 1970");
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

fn operations(agent: &Agent) -> Vec<String> {
    agent.rows("SELECT id, state FROM operations ORDER BY seq")
}

fn define(workstation: &Workstation, service: &str, component: &Component) {
    let text = definition(service, "rift", std::slice::from_ref(component));
    workstation.define(service, &text);
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
