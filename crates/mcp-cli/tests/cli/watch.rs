//! What is told while it happens: an operation's progress, and `mcp status --watch`.

use mcp_proto::v1::watch_response::Change;
use mcp_proto::v1::{
    ComponentRemoved, ComponentState, DriftInfo, IncidentInfo, OperationInfo, OperationStep,
    SyncDesiredStateResponse, WatchResponse,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::double::{ACCEPTED, Call, Double, Script};
use crate::fixtures::{component, done};
use crate::world::{World, finish};

pub(crate) fn told(cursor: u64, change: Change) -> WatchResponse {
    WatchResponse {
        cursor,
        change: Some(change),
    }
}

/// A whole picture: what is so, and where to go on.
pub(crate) fn picture(
    cursor: u64,
    changes: impl IntoIterator<Item = Change>,
) -> Vec<WatchResponse> {
    let begin = told(0, Change::Resync(true));
    let changes = changes.into_iter().map(|change| told(0, change));
    let end = told(cursor, Change::Complete(true));
    std::iter::once(begin).chain(changes).chain([end]).collect()
}

pub(crate) fn state(component_name: &str, observed: &str) -> Change {
    Change::State(ComponentState {
        service: "hello".to_owned(),
        component: Some(component(component_name, "running", observed)),
    })
}

fn step(id: &str, whole: &str, state: &str, phase: &str) -> Change {
    Change::Operation(OperationInfo {
        id: id.to_owned(),
        kind: "deploy".to_owned(),
        service: "hello".to_owned(),
        state: whole.to_owned(),
        steps: vec![OperationStep {
            component: "hello".to_owned(),
            state: state.to_owned(),
            phase: phase.to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    })
}

fn incident(closed: bool) -> Change {
    Change::Incident(IncidentInfo {
        id: "i-1".to_owned(),
        kind: "outage".to_owned(),
        cause: "podman does not answer\u{1b}[2J".to_owned(),
        closed: closed.then(|| crate::fixtures::at(9)),
        ..Default::default()
    })
}

/// A CLI that goes on until it is interrupted.
struct Watcher {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watcher {
    fn start(world: &World, args: &[&str]) -> Self {
        let mut child = world.command(args).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.unwrap().expect("it goes on")
    }

    /// The next line without its time.
    async fn said(&mut self) -> String {
        let line = self.line().await;
        let (at, said) = line.split_once(' ').unwrap();
        assert!(at.ends_with('Z') && at.contains('T'), "{line}");
        said.to_owned()
    }

    async fn json(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// Ends it as an operator does.
    async fn interrupt(self, code: i32) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        finish(self.child).await.expect(code);
    }
}

/// An agent, and a definition to deploy on it.
async fn deployed(world: &World, script: Script) -> Double {
    let double = world.node("rift", script).await;
    world.define("hello", "rift");
    double
}

#[tokio::test]
async fn a_call_that_an_agent_cut_off_is_made_again_with_the_same_id() {
    for (command, observed) in [
        (&["deploy", "hello"][..], "running"),
        (&["start", "hello"], "running"),
        (&["stop", "hello"], "stopped"),
        (&["restart", "hello"], "running"),
        (&["sync", "--prune", "--yes"], "removed"),
    ] {
        let world = World::new();
        let script = Script {
            results: vec![done("hello", observed)],
            sync: SyncDesiredStateResponse {
                unmentioned: vec!["forgotten".to_owned()],
                ..Default::default()
            },
            stops: 2,
            ..Default::default()
        };
        let double = deployed(&world, script).await;
        let run = world.mcp(command).await.expect(0);
        assert!(
            run.stderr.contains("the agent is stopping"),
            "{}",
            run.all()
        );
        let ids: Vec<String> = double
            .mutations()
            .into_iter()
            .filter_map(|call| match call {
                Call::Deploy(request) => Some(request.operation_id),
                Call::Start(request) => Some(request.operation_id),
                Call::Stop(request) => Some(request.operation_id),
                Call::Restart(request) => Some(request.operation_id),
                Call::Undeploy(request) => Some(request.operation_id),
                _ => None,
            })
            .collect();
        assert_eq!(ids.len(), 3, "{command:?}");
        assert!(!ids[0].is_empty());
        assert!(ids.iter().all(|id| *id == ids[0]), "{command:?}: {ids:?}");
    }
}

#[tokio::test]
async fn waiting_goes_on_over_a_stream_that_breaks_from_where_it_was() {
    let world = World::new();
    let id = "abcdefghijklmnopqrst";
    let script = Script {
        never_ends: true,
        watch: vec![
            picture(7, [step(id, "running", "running", "pulling")]),
            vec![told(8, step(id, "running", "running", "starting"))],
            vec![told(9, step(id, "succeeded", "succeeded", "verifying"))],
        ],
        ..Default::default()
    };
    let double = world.node("rift", script).await;
    double.knows(id);
    let waiting = world.command(&["wait", id]).spawn().unwrap();
    while double.watches().len() < 3 {
        tokio::task::yield_now().await;
    }
    // What the stream told is believed once the agent's record says so too.
    double.script().never_ends = false;
    let run = finish(waiting).await.expect(0);
    for phase in ["hello/hello: pulling", "hello/hello: starting"] {
        assert!(run.stderr.contains(phase), "{}", run.all());
    }
    assert!(run.stderr.contains("it broke"), "{}", run.all());
    let cursors: Vec<u64> = double.watches().iter().map(|(_, at)| *at).collect();
    assert_eq!(cursors[..3], [0, 7, 8]);
}

#[tokio::test]
async fn an_operation_that_ended_while_nobody_looked_is_found_by_its_absence() {
    let world = World::new();
    let id = "abcdefghijklmnopqrst";
    let script = Script {
        never_ends: true,
        watch: vec![
            picture(7, [step(id, "running", "running", "pulling")]),
            picture(3, []),
        ],
        ..Default::default()
    };
    let double = world.node("rift", script).await;
    double.knows(id);
    let waiting = world.command(&["wait", id]).spawn().unwrap();
    while double.watches().is_empty() {
        tokio::task::yield_now().await;
    }
    double.script().never_ends = false;
    let run = finish(waiting).await.expect(0);
    assert!(run.stdout.contains("succeeded"), "{}", run.all());
}

#[tokio::test]
async fn each_change_is_a_line_and_what_is_told_again_is_not_said_again() {
    let world = World::new();
    let script = Script {
        watch: vec![
            [
                picture(7, [state("web", "running"), state("api", "running")]),
                vec![
                    told(8, state("web", "exited")),
                    told(9, step("op1", "running", "running", "pulling")),
                    told(10, incident(false)),
                ],
            ]
            .concat(),
            [
                picture(2, [state("web", "exited"), incident(false)]),
                vec![
                    told(3, incident(true)),
                    told(
                        4,
                        Change::Removed(ComponentRemoved {
                            service: "hello".to_owned(),
                            component: "web".to_owned(),
                        }),
                    ),
                ],
            ]
            .concat(),
        ],
        ..Default::default()
    };
    let double = world.node("rift", script).await;
    let mut watcher = Watcher::start(&world, &["status", "--watch", "hello"]);
    let mut said = Vec::new();
    for _ in 0..12 {
        said.push(watcher.said().await);
    }
    let broken = said.remove(6);
    assert!(broken.contains("it broke"), "{broken}");
    assert_eq!(
        said,
        [
            "hello/api is running",
            "hello/web is running",
            "hello/web is exited, wanted running",
            "deploy op1: hello/hello: pulling",
            "deploy op1: hello: running",
            "incident i-1: the node outage: podman does not answer\\u{1b}[2J",
            "rift is back",
            "deploy op1: hello: it has ended",
            "hello/api has no record any more",
            "incident i-1 is over",
            "hello/web has no record any more",
        ]
    );
    watcher.interrupt(0).await;
    let hello = |cursor| ("hello".to_owned(), cursor);
    assert_eq!(double.watches()[..2], [hello(0), hello(10)]);
}

#[tokio::test]
async fn json_is_one_object_for_each_change() {
    let world = World::new();
    let drift = DriftInfo {
        service: "hello".to_owned(),
        component: "web".to_owned(),
        kind: "state".to_owned(),
        ..Default::default()
    };
    let script = Script {
        watch: vec![
            [
                picture(7, [state("web", "running")]),
                vec![
                    told(8, Change::DriftOpened(drift)),
                    told(9, step("op1", "running", "running", "pulling")),
                    told(10, incident(false)),
                ],
            ]
            .concat(),
        ],
        ..Default::default()
    };
    world.node("rift", script).await;
    world.dead_node("gone").await;
    let args = ["status", "--watch", "--output", "json"];
    let mut watcher = Watcher::start(&world, &args);
    let (mut told, mut lost) = (Vec::new(), 0);
    while told.len() < 6 || lost == 0 {
        let object = watcher.json().await;
        assert!(object["at"].is_string());
        if object["type"] == "lost" {
            assert_eq!(object["node"], "gone");
            lost += 1;
        } else {
            assert_eq!(object["node"], "rift");
            told.push(object);
        }
    }
    let types: Vec<&str> = told.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "resync",
            "state",
            "complete",
            "drift_opened",
            "operation",
            "incident"
        ]
    );
    assert_eq!(told[1]["component"]["observed"], "running");
    assert_eq!(told[4]["steps"][0]["phase"], "pulling");
    watcher.interrupt(0).await;
}

#[tokio::test]
async fn watching_needs_an_agent_that_tells_and_goes_without_an_exit_code() {
    let world = World::new();
    world.node("rift", Script::default()).await;
    let run = world.mcp(&["status", "--watch"]).await.expect(1);
    assert!(run.stderr.contains("upgrade the agents"), "{}", run.all());
    world
        .mcp(&["status", "--watch", "--exit-code"])
        .await
        .expect(2);
}

#[tokio::test]
async fn steps_are_told_as_the_stream_brings_them() {
    let world = World::new();
    let running = |cursor, phase| told(cursor, step(ACCEPTED, "running", "running", phase));
    let script = Script {
        results: vec![done("hello", "running")],
        // Whoever begins a third stream has read the second to its end.
        answers_after: 3,
        watch: vec![
            [picture(7, []), vec![running(8, "pulling")]].concat(),
            vec![running(9, "setting-aside"), running(10, "starting")],
            Vec::new(),
        ],
        ..Default::default()
    };
    let double = deployed(&world, script).await;
    let run = world.mcp(&["deploy", "hello"]).await.expect(0);
    let told: Vec<&str> = run.stderr.lines().collect();
    let steps = ["pulling", "setting aside", "starting"];
    assert_eq!(told, steps.map(|step| format!("hello/hello: {step}")));
    let hello = |cursor| ("hello".to_owned(), cursor);
    assert_eq!(double.watches(), [hello(0), hello(8), hello(10)]);
    let looked = |call: &Call| matches!(call, Call::Read("operations"));
    assert!(!double.calls().iter().any(looked), "it need not ask");
}
