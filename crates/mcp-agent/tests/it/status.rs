//! List, live check, status, events, operations.

use mcp_controller::View;
use mcp_model::ObservedState;
use mcp_proto::v1;
use mcp_runtime::fake::Fault;
use mcp_runtime::{Call, RuntimeError};
use tonic::Code;

use crate::support::{Client, Node, deploy, find, hello, listed, patiently};

async fn deployed() -> (Node, Client) {
    let node = Node::without_hints().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    node.running.controller().look().await.unwrap();
    (node, client)
}

fn status(cached: bool) -> v1::GetServiceStatusRequest {
    v1::GetServiceStatusRequest {
        name: "hello".to_owned(),
        cached,
    }
}

fn broken() -> Fault {
    Fault::Fail(RuntimeError::Failed {
        call: Call::List,
        object: "the fake".to_owned(),
        exit: Some(125),
        words: "the storage is on fire".to_owned(),
    })
}

#[tokio::test]
async fn a_list_reads_the_registry_and_asks_no_runtime() {
    let (node, mut client) = deployed().await;
    node.fake.forget_calls();
    node.fake.kill("hello-web", 137);
    let info = listed(&mut client, "hello", "web").await;
    assert_eq!(
        (
            info.observed_state.as_str(),
            info.spec.unwrap().image.as_str()
        ),
        ("running", "localhost/hello:v1")
    );
    assert_eq!(node.fake.calls(), []);
}

#[tokio::test]
async fn a_live_check_brings_the_observed_state_up_to_date() {
    let (node, mut client) = deployed().await;
    node.fake.kill("hello-web", 137);
    let reply = client
        .live_check(v1::LiveCheckRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        find(&reply.services, "hello", "web")
            .unwrap()
            .observed_state,
        "exited"
    );
    assert_eq!(
        find(&reply.services, "hello", "api")
            .unwrap()
            .observed_state,
        "running"
    );
    assert_eq!(reply.observation_error, "");
    assert!(reply.observed_at.is_some() && reply.answered_at.is_some());
    assert_eq!(
        listed(&mut client, "hello", "web").await.observed_state,
        "exited"
    );
}

#[tokio::test]
async fn status_looks_first_unless_the_cache_is_asked_for() {
    let (node, mut client) = deployed().await;
    node.fake.kill("hello-web", 137);
    let cached = client
        .get_service_status(status(true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        find(&cached.services, "hello", "web")
            .unwrap()
            .observed_state,
        "running"
    );
    assert!(cached.observed_at.is_some());
    let live = client
        .get_service_status(status(false))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        find(&live.services, "hello", "web").unwrap().observed_state,
        "exited"
    );
}

#[tokio::test]
async fn status_names_drift_since_when_and_why_with_the_last_events() {
    let (node, mut client) = deployed().await;
    node.fake.kill("hello-web", 137);
    client.live_check(v1::LiveCheckRequest {}).await.unwrap();
    let exited = |view: &View| {
        let web = view.components.get(&"hello/web".parse().unwrap());
        web.is_some_and(|s| s.observed.state() == ObservedState::Exited && !s.drift.is_empty())
    };
    node.view(exited).await;
    let reply = client
        .get_service_status(status(true))
        .await
        .unwrap()
        .into_inner();
    let drift = reply
        .drift
        .iter()
        .find(|drift| drift.component == "web")
        .expect("it drifts");
    assert_eq!(
        (drift.desired_state.as_str(), drift.observed_state.as_str()),
        ("running", "exited")
    );
    assert_eq!((drift.kind.as_str(), drift.exit_code), ("state", Some(137)));
    assert!(
        drift.since.is_some() && drift.cause.contains("137"),
        "{drift:?}"
    );
    assert!(reply.drift.iter().all(|drift| drift.component != "api"));

    let death = reply
        .recent_events
        .iter()
        .find(|event| event.new_state == "exited")
        .unwrap();
    assert_eq!(
        (death.component.as_str(), death.prev_state.as_str()),
        ("web", "running")
    );
    let ids: Vec<i64> = reply.recent_events.iter().map(|event| event.id).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "newest first: {ids:?}");
    let listing = reply
        .sources
        .iter()
        .find(|source| source.name == "listing")
        .unwrap();
    assert!(listing.healthy && listing.last_seen.is_some());
}

#[tokio::test]
async fn a_runtime_that_cannot_be_asked_makes_states_unknown_and_hides_nothing() {
    let (node, mut client) = deployed().await;
    node.fake.next(Call::List, 1000, &broken());
    node.fake.next(Call::Inspect, 1000, &broken());
    let reply = client
        .get_service_status(status(false))
        .await
        .unwrap()
        .into_inner();
    assert!(
        reply.observation_error.contains("on fire"),
        "{}",
        reply.observation_error
    );
    let web = find(&reply.services, "hello", "web").unwrap();
    assert_eq!(
        (web.observed_state.as_str(), web.desired_state.as_str()),
        ("unknown", "running")
    );
    assert!(web.spec.is_some() && reply.drift.is_empty());
    let reply = client
        .live_check(v1::LiveCheckRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(!reply.observation_error.is_empty());
    assert_eq!(
        find(&reply.services, "hello", "api")
            .unwrap()
            .observed_state,
        "unknown"
    );
    // Nothing was concluded from it.
    assert_eq!(
        listed(&mut client, "hello", "web").await.observed_state,
        "running"
    );
}

#[tokio::test]
async fn a_runtime_that_hangs_costs_the_callers_patience_and_not_the_answer() {
    let (node, mut client) = deployed().await;
    node.fake.next(Call::List, 1000, &Fault::Hang);
    let reply = patiently(async |timeout| {
        let mut request = tonic::Request::new(status(false));
        request.set_timeout(timeout);
        client.get_service_status(request).await
    })
    .await
    .unwrap()
    .into_inner();
    assert!(
        reply.observation_error.contains("not answered"),
        "{}",
        reply.observation_error
    );
    let web = find(&reply.services, "hello", "web").unwrap();
    assert_eq!(web.observed_state, "unknown");
    assert!(reply.observed_at.is_some(), "how old the view is");
    let cached = client.get_service_status(status(true)).await.unwrap();
    let web = find(&cached.get_ref().services, "hello", "web").unwrap();
    assert_eq!(web.observed_state, "running");
    node.fake.release();
}

#[tokio::test]
async fn foreign_containers_are_shown_apart_and_stored_nowhere() {
    let (node, mut client) = deployed().await;
    node.fake
        .add_foreign("Some_Body's", "example.org/theirs:v1");
    let reply = client
        .live_check(v1::LiveCheckRequest {})
        .await
        .unwrap()
        .into_inner();
    let theirs = &reply.foreign[0];
    assert_eq!(
        (theirs.name.as_str(), theirs.desired_state.as_str()),
        ("Some_Body's", "ignore")
    );
    assert_eq!(theirs.observed_state, "running");
    assert_eq!(reply.services.len(), 1);
    assert_eq!(node.running.registry().services().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_service_that_is_not_known_is_not_an_empty_status() {
    let (_node, mut client) = deployed().await;
    let request = v1::GetServiceStatusRequest {
        name: "nobody".to_owned(),
        cached: true,
    };
    assert_eq!(
        client.get_service_status(request).await.unwrap_err().code(),
        Code::NotFound
    );
    let request = v1::GetServiceStatusRequest {
        name: "No".to_owned(),
        cached: true,
    };
    assert_eq!(
        client.get_service_status(request).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn operations_are_listed_with_their_steps_and_their_caller() {
    let (_node, mut client) = deployed().await;
    let reply = client
        .list_operations(v1::ListOperationsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let deploy = &reply.operations[0];
    assert_eq!(
        (deploy.kind.as_str(), deploy.state.as_str()),
        ("deploy", "succeeded")
    );
    assert_eq!((deploy.caller.as_str(), deploy.steps.len()), ("alice", 2));
    let events = client
        .list_events(v1::ListEventsRequest {
            limit: 1,
            ..Default::default()
        })
        .await;
    assert_eq!(events.unwrap().into_inner().events.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_and_changes_by_the_hundred_block_each_other_never() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = client.clone();
        readers.spawn(async move {
            for _ in 0..100 {
                let request = v1::GetServiceStatusRequest {
                    cached: true,
                    ..Default::default()
                };
                client.get_service_status(request).await.unwrap();
            }
        });
    }
    // Each changes the view, while it is read from all sides.
    while let Some(()) = tokio::select! {
        ended = readers.join_next() => ended.map(Result::unwrap),
        () = async {
            loop {
                node.fake.kill("hello-web", 1);
                tokio::task::yield_now().await;
                node.fake.start_by_hand("hello-web");
                tokio::task::yield_now().await;
            }
        } => unreachable!("it changes for ever"),
    } {}
}

#[tokio::test]
async fn a_new_agent_claims_nothing_that_it_has_not_seen_itself() {
    let (node, _) = deployed().await;
    node.fake.next(Call::List, 1, &Fault::Hang);
    let node = node.restart().await;
    let mut client = node.client().await;
    let reply = client.get_service_status(status(true)).await.unwrap();
    let reply = reply.into_inner();
    for component in &reply.services[0].components {
        assert_eq!(component.observed_state, "unknown");
        assert!(component.detail.contains("since the agent started"));
    }
    assert_eq!(reply.observed_at, None, "there is no view yet");
    node.fake.release();
    node.view(|view| view.components.len() == 2).await;
    let reply = client.get_service_status(status(true)).await.unwrap();
    let states = reply.into_inner().services.remove(0).components;
    assert!(states.iter().all(|c| c.observed_state == "running"));
}
