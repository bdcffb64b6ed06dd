//! Following what happens (S18, S24–S28): a client that believes every message ends with what the
//! status says, whatever breaks in between.

use std::collections::BTreeMap;

use mcp_proto::v1;
use mcp_proto::v1::watch_response::Change;
use mcp_runtime::Call;
use mcp_runtime::fake::Fault;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tonic::{Code, Streaming};

use crate::support::{Client, Node, deploy, hello, service};

type Stream = Streaming<v1::WatchResponse>;

async fn watch(client: &mut Client, service: &str, cursor: u64) -> Stream {
    let request = v1::WatchRequest {
        service: service.to_owned(),
        cursor,
    };
    client.watch(request).await.unwrap().into_inner()
}

async fn message(stream: &mut Stream) -> v1::WatchResponse {
    stream.message().await.unwrap().expect("it goes on")
}

/// What somebody knows who believes every message.
#[derive(Debug, Default)]
struct Follower {
    cursor: u64,
    states: BTreeMap<(String, String), v1::ComponentInfo>,
    drift: BTreeMap<(String, String), v1::DriftInfo>,
}

impl Follower {
    fn believe(&mut self, message: v1::WatchResponse) {
        if message.cursor != 0 {
            self.cursor = message.cursor;
        }
        let key = |drift: &v1::DriftInfo| (drift.service.clone(), drift.component.clone());
        match message.change.unwrap() {
            Change::Resync(_) => {
                self.states.clear();
                self.drift.clear();
            }
            Change::State(state) => {
                let info = state.component.unwrap();
                self.states.insert((state.service, info.name.clone()), info);
            }
            Change::Removed(gone) => {
                self.states.remove(&(gone.service, gone.component));
            }
            Change::DriftOpened(drift) => {
                self.drift.insert(key(&drift), drift);
            }
            Change::DriftClosed(drift) => {
                self.drift.remove(&key(&drift));
            }
            Change::Operation(_) | Change::Incident(_) | Change::Complete(_) => {}
        }
    }

    /// Whether it is what the status says.
    fn agrees(&self, status: &v1::GetServiceStatusResponse) -> bool {
        let shown = status.services.iter().flat_map(|service| {
            let components = service.components.iter();
            components.map(|info| ((service.name.clone(), info.name.clone()), info.clone()))
        });
        let drift = status.drift.iter();
        let drift = drift.map(|it| ((it.service.clone(), it.component.clone()), it.clone()));
        self.states == shown.collect() && self.drift == drift.collect()
    }
}

async fn status(client: &mut Client) -> v1::GetServiceStatusResponse {
    let request = v1::GetServiceStatusRequest {
        name: String::new(),
        cached: true,
    };
    client
        .get_service_status(request)
        .await
        .unwrap()
        .into_inner()
}

/// Does something at random that changes what there is.
async fn meddle(node: &Node, client: &mut Client, random: &mut StdRng) {
    let name = ["hello-web", "hello-api"][random.random_range(0..2)];
    match random.random_range(0..7) {
        0 => {
            node.fake.kill(name, 137);
        }
        1 => {
            node.fake.start_by_hand(name);
        }
        2 => {
            node.fake.remove_by_hand(name);
        }
        3 => {
            client.deploy(deploy(hello())).await.unwrap();
        }
        4 => {
            let stop = v1::StopServiceRequest {
                name: "hello".to_owned(),
                ..Default::default()
            };
            // Refused where there is nothing to stop.
            let _ = client.stop_service(stop).await;
        }
        5 => {
            let undeploy = v1::UndeployRequest {
                service: "hello".to_owned(),
                component: "api".to_owned(),
                ..Default::default()
            };
            let _ = client.undeploy(undeploy).await;
        }
        _ => {
            let other = service("other", &[("one", "localhost/hello:v2")]);
            client.deploy(deploy(other)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn whoever_follows_over_broken_connections_ends_with_what_the_status_says() {
    for seed in 0..3 {
        let mut random = StdRng::seed_from_u64(seed);
        let node = Node::start().await;
        let mut client = node.client().await;
        let mut follower = Follower::default();
        let mut stream = watch(&mut client, "", 0).await;
        client.deploy(deploy(hello())).await.unwrap();
        for _ in 0..8 {
            meddle(&node, &mut client, &mut random).await;
            if random.random_bool(0.4) {
                // The first message after a connection is there at once, or nothing has happened.
                stream = watch(&mut client, "", follower.cursor).await;
            }
        }
        while !follower.agrees(&status(&mut client).await) {
            follower.believe(message(&mut stream).await);
        }
    }
}

#[tokio::test]
async fn a_cursor_that_is_remembered_gets_exactly_what_followed() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let mut whole = watch(&mut client, "", 0).await;
    let mut cursor = 0;
    while cursor == 0 {
        cursor = message(&mut whole).await.cursor;
    }
    assert!(node.fake.kill("hello-web", 137));
    let other = service("other", &[("one", "localhost/hello:v2")]);
    client.deploy(deploy(other)).await.unwrap();
    let mut again = watch(&mut client, "", cursor).await;
    let mut told_of = Vec::new();
    loop {
        let expected = message(&mut whole).await;
        assert_eq!(message(&mut again).await, expected);
        match expected.change.unwrap() {
            Change::State(state) => told_of.push(state.service),
            Change::Operation(operation) if operation.state == "succeeded" => break,
            Change::Resync(_) => panic!("it was remembered"),
            _ => {}
        }
    }
    assert!(told_of.iter().any(|service| service == "hello"));
    // From a place in the middle, too: what comes is what came.
    let mut third = watch(&mut client, "", cursor).await;
    let first = message(&mut third).await;
    let mut fourth = watch(&mut client, "", first.cursor).await;
    assert_eq!(message(&mut fourth).await, message(&mut third).await);
}

#[tokio::test]
async fn a_cursor_of_an_earlier_life_is_told_everything_anew() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let mut follower = Follower::default();
    let mut stream = watch(&mut client, "", 0).await;
    while follower.cursor == 0 {
        follower.believe(message(&mut stream).await);
    }
    drop((stream, client));
    let node = node.restart().await;
    let mut client = node.client().await;
    for cursor in [follower.cursor, 1, u64::MAX] {
        let mut stream = watch(&mut client, "", cursor).await;
        let mut told = Vec::new();
        loop {
            let change = message(&mut stream).await.change.unwrap();
            if change == Change::Complete(true) {
                break;
            }
            told.push(change);
        }
        assert_eq!(told[0], Change::Resync(true));
        let states = told.iter().filter(|it| matches!(it, Change::State(_)));
        assert_eq!(states.count(), 2, "{told:?}");
    }
}

#[tokio::test]
async fn a_new_agent_tells_of_everything_and_claims_nothing_that_it_has_not_seen() {
    let node = Node::without_hints().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    node.fake.next(Call::List, 1, &Fault::Hang);
    let node = node.restart().await;
    let mut client = node.client().await;
    let mut stream = watch(&mut client, "", 0).await;
    let mut unknown = 0;
    loop {
        match message(&mut stream).await.change.unwrap() {
            Change::State(state) => {
                let component = state.component.unwrap();
                assert_eq!(component.observed_state, "unknown");
                unknown += 1;
            }
            Change::Complete(_) => break,
            Change::Resync(_) => {}
            change => panic!("{change:?}"),
        }
    }
    assert_eq!(unknown, 2);
    node.fake.release();
    let mut running = 0;
    while running < 2 {
        if let Change::State(state) = message(&mut stream).await.change.unwrap() {
            running += usize::from(state.component.unwrap().observed_state == "running");
        }
    }
}

#[tokio::test]
async fn steps_of_a_deploy_arrive_in_order_and_every_one_of_them_ends() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut stream = watch(&mut client, "", 0).await;
    let asked = v1::DeployRequest {
        operation_id: "opwatch".to_owned(),
        ..deploy(hello())
    };
    client.deploy(asked).await.unwrap();
    let rank = |state: &str| match state {
        "waiting" => 0,
        "running" => 1,
        "succeeded" => 2,
        other => panic!("{other}"),
    };
    let mut steps: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        let Change::Operation(operation) = message(&mut stream).await.change.unwrap() else {
            continue;
        };
        assert_eq!(
            (operation.id.as_str(), operation.service.as_str()),
            ("opwatch", "hello")
        );
        for step in operation.steps {
            let now = rank(&step.state);
            let before = steps.insert(step.component, now);
            assert!(before.is_none_or(|before| before <= now), "back in time");
        }
        if operation.state == "succeeded" {
            break;
        }
    }
    let ended = [("api".to_owned(), 2), ("web".to_owned(), 2)];
    assert_eq!(steps, ended.into());
}

#[tokio::test]
async fn an_operation_that_waits_for_its_turn_is_told_at_once() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let app = || service("app", &[("web", "example.org/app:v1.2.3")]);
    node.fake.next(Call::Pull, 1, &Fault::Hang);
    let mut stream = watch(&mut client, "app", 0).await;
    let mut calls = tokio::task::JoinSet::new();
    for id in ["opfirst", "opsecond"] {
        let mut client = client.clone();
        let request = v1::DeployRequest {
            operation_id: id.to_owned(),
            ..deploy(app())
        };
        calls.spawn(async move { client.deploy(request).await });
        loop {
            match message(&mut stream).await.change.unwrap() {
                Change::Operation(operation) if operation.id == id => break,
                _ => {}
            }
        }
    }
    node.fake.release();
    while let Some(ended) = calls.join_next().await {
        ended.unwrap().unwrap();
    }
}

#[tokio::test]
async fn one_service_is_followed_without_the_others() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let mut stream = watch(&mut client, "other", 0).await;
    assert!(node.fake.kill("hello-web", 137));
    node.view(|view| view.components.values().any(|it| !it.drift.is_empty()))
        .await;
    let other = service("other", &[("one", "localhost/hello:v2")]);
    client.deploy(deploy(other)).await.unwrap();
    loop {
        match message(&mut stream).await.change.unwrap() {
            Change::State(state) => assert_eq!(state.service, "other"),
            Change::Operation(operation) => {
                assert_eq!(operation.service, "other");
                if operation.state == "succeeded" {
                    break;
                }
            }
            Change::Resync(_) | Change::Complete(_) => {}
            change => panic!("{change:?}"),
        }
    }
    let refused = client
        .watch(v1::WatchRequest {
            service: "-x".to_owned(),
            cursor: 0,
        })
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_incident_is_told_when_it_opens_and_when_it_closes() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let mut stream = watch(&mut client, "hello", 0).await;
    assert!(node.fake.remove_by_hand("hello-web"));
    let next = async |stream: &mut Stream| loop {
        if let Change::Incident(incident) = message(stream).await.change.unwrap() {
            return incident;
        }
    };
    let opened = next(&mut stream).await;
    assert_eq!(
        (
            opened.kind.as_str(),
            opened.component.as_str(),
            opened.closed
        ),
        ("drift", "web", None)
    );
    client.deploy(deploy(hello())).await.unwrap();
    let closed = next(&mut stream).await;
    assert_eq!(closed.id, opened.id);
    assert!(closed.closed.is_some());
}

#[tokio::test]
async fn the_end_of_the_agent_ends_the_streams_and_does_not_wait_for_them() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut stream = watch(&mut client, "", 0).await;
    while message(&mut stream).await.change != Some(Change::Complete(true)) {}
    let (last, stopped) = tokio::join!(stream.message(), node.running.stop());
    stopped.unwrap();
    // Told, and not cut off because its time was over.
    let last = last.unwrap_err();
    assert_eq!(
        (last.code(), last.message()),
        (Code::Unavailable, "the agent is stopping")
    );
}
