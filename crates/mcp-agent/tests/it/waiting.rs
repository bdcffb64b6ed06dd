//! What a caller's deadline ends, and what it does not (S18).

use std::time::Duration;

use mcp_model::OperationState;
use mcp_proto::v1;
use mcp_registry::OperationFilter;
use mcp_runtime::Call;
use mcp_runtime::fake::Fault;
use tonic::{Code, Request};

use crate::support::{Node, deploy, outcomes, patiently, service};

/// A service whose image must be pulled, which the runtime can be made to take its time for.
fn app() -> v1::ServiceSpec {
    service("app", &[("web", "example.org/app:v1.2.3")])
}

fn impatient<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// Waits until the runtime was asked for the image, which it takes its time for.
async fn pulling(node: &Node) {
    while node.fake.calls().iter().all(|call| call.call != Call::Pull) {
        tokio::task::yield_now().await;
    }
}

async fn state(node: &Node, id: &str) -> OperationState {
    let filter = OperationFilter {
        id: Some(id.parse().unwrap()),
        limit: 1,
        service: None,
    };
    node.running.registry().operations(filter).await.unwrap()[0].state
}

async fn until(node: &Node, id: &str, wanted: OperationState) {
    let mut progress = node.running.controller().progress();
    loop {
        progress.borrow_and_update();
        if state(node, id).await == wanted {
            return;
        }
        progress.changed().await.unwrap();
    }
}

#[tokio::test]
async fn a_deadline_ends_the_waiting_and_not_the_operation() {
    let node = Node::start().await;
    let mut client = node.client().await;
    node.fake.next(Call::Pull, 1, &Fault::Hang);
    let request = v1::DeployRequest {
        operation_id: "slow01".to_owned(),
        ..deploy(app())
    };
    let late = patiently(async |timeout| client.deploy(impatient(request.clone(), timeout)).await);
    let late = late.await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(late.message().contains("slow01"), "{late}");
    node.fake.release();
    // Whoever asks again attaches to what is there.
    let reply = client.deploy(request).await.unwrap().into_inner();
    assert_eq!(outcomes(&reply.results), [("web", true)]);
    assert_eq!(
        node.fake
            .calls()
            .iter()
            .filter(|call| call.call == Call::Run)
            .count(),
        1
    );
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_waiting_and_not_the_operation() {
    let node = Node::start().await;
    let mut client = node.client().await;
    node.fake.next(Call::Pull, 1, &Fault::Hang);
    let request = v1::DeployRequest {
        operation_id: "gone01".to_owned(),
        ..deploy(app())
    };
    let mut leaving = client.clone();
    let call = tokio::task::JoinSet::from_iter([async move { leaving.deploy(request).await }]);
    pulling(&node).await;
    drop(call);
    node.fake.release();
    until(&node, "gone01", OperationState::Succeeded).await;
    client
        .list_services(v1::ListServicesRequest {})
        .await
        .unwrap();
}

#[tokio::test]
async fn a_second_operation_on_a_key_is_aborted_with_the_holders_name_at_its_deadline() {
    let node = Node::start().await;
    let mut client = node.client().await;
    node.fake.next(Call::Pull, 1, &Fault::Hang);
    let first = v1::DeployRequest {
        operation_id: "first1".to_owned(),
        ..deploy(app())
    };
    let mut other = client.clone();
    let mut waiting = tokio::task::JoinSet::from_iter([async move { other.deploy(first).await }]);
    pulling(&node).await;
    let second = v1::RestartServiceRequest {
        name: "app".to_owned(),
        operation_id: "second".to_owned(),
        ..Default::default()
    };
    let late = patiently(async |timeout| {
        let second = impatient(second.clone(), timeout);
        client.restart_service(second).await
    });
    let late = late.await.unwrap_err();
    assert_eq!(late.code(), Code::Aborted, "{late}");
    assert!(
        late.message().contains("first1") && late.message().contains("alice"),
        "{late}"
    );
    node.fake.release();
    waiting.join_next().await.unwrap().unwrap().unwrap();
    // Its turn came.
    until(&node, "second", OperationState::Succeeded).await;
}

#[tokio::test]
async fn containers_outlive_their_agent_and_the_next_one_knows_them() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(app())).await.unwrap();
    let before = node.fake.container("app-web").unwrap().instance;
    let node = node.restart().await;
    assert_eq!(
        node.fake.container("app-web").unwrap().instance,
        before,
        "it was left alone"
    );
    let mut client = node.client().await;
    let request = v1::GetServiceStatusRequest {
        name: "app".to_owned(),
        cached: false,
    };
    let status = client
        .get_service_status(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.services[0].components[0].observed_state, "running");
}
