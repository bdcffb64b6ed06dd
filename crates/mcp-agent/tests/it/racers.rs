//! Many clients at once on one service: one order for all, and nobody's change half applied.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mcp_model::{OperationState, RuntimeState};
use mcp_proto::v1;
use mcp_registry::{AuditRecord, OperationFilter};
use mcp_runtime::Call;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::{Client, Node, deploy, service, sync};

const RACERS: usize = 64;

/// What a racer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Deploy(&'static str),
    Stop,
    Start,
    Restart,
    Sync(&'static str),
}

const V1: &str = "localhost/hello:v1";
const V2: &str = "localhost/hello:v2";

fn hello(image: &str) -> v1::ServiceSpec {
    service("hello", &[("web", image), ("api", image)])
}

/// Asks, and says what for in the message; returns once it is settled.
async fn ask(mut client: Client, wish: Wish, message: String) -> Result<(), tonic::Status> {
    let name = "hello".to_owned();
    let operation_id = String::new();
    match wish {
        Wish::Deploy(image) => {
            let request = v1::DeployRequest {
                message,
                ..deploy(hello(image))
            };
            client.deploy(request).await.map(drop)
        }
        Wish::Sync(image) => {
            let request = v1::SyncDesiredStateRequest {
                message,
                ..sync(&[hello(image)])
            };
            client.sync_desired_state(request).await.map(drop)
        }
        Wish::Stop => {
            let request = v1::StopServiceRequest {
                name,
                operation_id,
                message,
            };
            client.stop_service(request).await.map(drop)
        }
        Wish::Start => {
            let request = v1::StartServiceRequest {
                name,
                operation_id,
                message,
            };
            client.start_service(request).await.map(drop)
        }
        Wish::Restart => {
            let request = v1::RestartServiceRequest {
                name,
                operation_id,
                message,
            };
            client.restart_service(request).await.map(drop)
        }
    }
}

/// Has each of 64 clients, on a connection of its own, ask for one of the wishes at the same moment.
/// Returns who was accepted, in the order of the audit records.
async fn race(node: &Node, wishes: &[Wish]) -> Vec<Wish> {
    for call in [Call::Run, Call::Stop, Call::Start] {
        node.fake.latency(call, Duration::from_millis(2));
    }
    let before = node.running.registry().audits(10_000).await.unwrap().len();
    let barrier = Arc::new(Barrier::new(RACERS));
    let mut racers = JoinSet::new();
    for (number, wish) in wishes.iter().copied().cycle().take(RACERS).enumerate() {
        let (client, barrier) = (node.client().await, Arc::clone(&barrier));
        racers.spawn(async move {
            barrier.wait().await;
            (number, wish, ask(client, wish, number.to_string()).await)
        });
    }
    let mut accepted = BTreeMap::new();
    for (number, wish, reply) in racers.join_all().await {
        match reply {
            Ok(()) => {
                accepted.insert(number.to_string(), wish);
            }
            // Where nothing is wanted running there is nothing to restart (S19).
            Err(status) => assert!(wish == Wish::Restart, "{wish:?}: {status}"),
        }
    }
    let audits = node.running.registry().audits(10_000).await.unwrap();
    let unfinished = |record: &&AuditRecord| record.outcome.is_none();
    assert_eq!(audits.iter().find(unfinished), None, "all are settled");
    let mut order: Vec<_> = audits
        .into_iter()
        .map(|record| record.call.message)
        .collect();
    order.reverse();
    let order: Vec<Wish> = order
        .iter()
        .skip(before)
        .filter_map(|message| accepted.remove(message))
        .collect();
    assert_eq!(
        accepted.into_keys().collect::<Vec<_>>(),
        [""; 0],
        "all are audited, once"
    );
    order
}

/// What the last of those who said anything about it said.
fn last<T>(order: &[Wish], says: impl Fn(&Wish) -> Option<T>) -> T {
    order.iter().rev().find_map(says).expect("somebody did")
}

/// The intent on record is the last one, for both components; both of every operation ended.
async fn assert_one_intent(node: &Node, order: &[Wish]) {
    let image = last(order, |wish| match wish {
        Wish::Deploy(image) | Wish::Sync(image) => Some(*image),
        _ => None,
    });
    let desired = last(order, |wish| match wish {
        Wish::Stop => Some("stopped"),
        Wish::Restart => None,
        Wish::Deploy(_) | Wish::Start | Wish::Sync(_) => Some("running"),
    });
    let services = node.running.registry().services().await.unwrap();
    for component in &services[0].components {
        assert_eq!(component.spec.image.to_string(), image, "{order:?}");
        assert_eq!(component.desired.to_string(), desired, "{order:?}");
    }
    let all = OperationFilter {
        limit: 10_000,
        ..OperationFilter::default()
    };
    for operation in node.running.registry().operations(all).await.unwrap() {
        let ended = operation.steps.iter().all(|step| step.state.is_settled());
        assert!(operation.state.is_settled() && ended, "{operation:?}");
        assert_ne!(operation.state, OperationState::Failed, "{operation:?}");
    }
}

async fn raced() -> Node {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello(V1))).await.unwrap();
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_64_racers_leave_is_what_the_last_of_them_asked_for() {
    let node = raced().await;
    let wishes = [Wish::Deploy(V1), Wish::Stop, Wish::Deploy(V2), Wish::Start];
    let order = race(&node, &wishes).await;
    assert_eq!(order.len(), RACERS);
    assert_one_intent(&node, &order).await;

    let runs = !matches!(order.last(), Some(Wish::Stop));
    let containers = node.fake.containers();
    let mut names: Vec<_> = containers.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["hello-api", "hello-web"], "nothing is left behind");
    for container in &containers {
        assert_eq!(container.state == RuntimeState::Running, runs, "{order:?}");
    }
    if let Some(Wish::Deploy(image)) = order.last() {
        assert!(containers.iter().all(|c| c.image == *image), "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intent_of_64_racers_is_never_half_one_and_half_the_other() {
    let node = raced().await;
    let wishes = [
        Wish::Sync(V2),
        Wish::Deploy(V1),
        Wish::Stop,
        Wish::Sync(V1),
        Wish::Restart,
        Wish::Deploy(V2),
        Wish::Start,
    ];
    let order = race(&node, &wishes).await;
    assert_one_intent(&node, &order).await;
    let names = node.fake.containers().into_iter().map(|c| c.name);
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    assert_eq!(names, ["hello-api", "hello-web"], "nothing is left behind");
}
