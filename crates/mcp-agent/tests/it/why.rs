//! Why something happens, or does not (S36), and what status says of auto-reconcile (S35).

use std::time::Duration;

use mcp_model::ObservedState;
use mcp_proto::v1;
use tonic::Code;

use crate::support::{Client, Node, deploy, hello};

fn of(service: &str, component: &str) -> v1::WhyRequest {
    v1::WhyRequest {
        service: service.to_owned(),
        component: component.to_owned(),
    }
}

async fn why(client: &mut Client, component: &str) -> v1::WhyResponse {
    let answer = client.why(of("hello", component)).await;
    answer.unwrap().into_inner()
}

#[tokio::test]
async fn a_component_that_died_is_explained_from_intent_to_last_actor() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut request = deploy(hello());
    request.message = "first".to_owned();
    client.deploy(request).await.unwrap();
    let fine = why(&mut client, "web").await;
    assert_eq!(
        (fine.decision.as_str(), fine.permission.as_str()),
        ("nothing", "none")
    );

    node.fake.kill("hello-web", 137);
    let key = "hello/web".parse().unwrap();
    node.view(|view| view.components[&key].observed.state() == ObservedState::Exited)
        .await;
    let why = why(&mut client, "web").await;
    let component = why.component.unwrap();
    assert_eq!(
        (
            component.desired_state.as_str(),
            component.observed_state.as_str()
        ),
        ("running", "exited")
    );
    assert_eq!((why.made_from_revision, why.deployed_revision), (1, 1));
    let id = node.fake.container("hello-web").unwrap().instance.id;
    assert_eq!(why.decision, "act");
    assert_eq!(why.actions, [format!("start container {}", id.short())]);
    assert_eq!(why.permission, "none");
    assert_eq!(
        why.permission_reason,
        "drift is only told: [reconcile] auto is off"
    );
    let subject = why.last_operation.as_ref().unwrap().caller.clone();
    assert!(!subject.is_empty());
    assert_eq!(
        (why.intent_by, why.intent_message.as_str()),
        (subject, "first")
    );
    assert_eq!(why.last_operation.unwrap().kind, "deploy");
    assert!(why.seen_at.is_some() && why.answered_at.is_some() && why.next_look.is_some());
}

#[tokio::test]
async fn what_is_not_known_or_not_clear_is_answered_with_what_there_is() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    for (service, component, code, words) in [
        (
            "hello",
            "db",
            Code::NotFound,
            "service hello has hello/api, hello/web",
        ),
        (
            "hello",
            "",
            Code::InvalidArgument,
            "name one of them: hello/api, hello/web",
        ),
        ("ghost", "", Code::NotFound, "service ghost is not known"),
        ("", "web", Code::InvalidArgument, "service"),
        ("hello", "-x", Code::InvalidArgument, "component"),
    ] {
        let refused = client.why(of(service, component)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(words), "{refused}");
    }
}

#[tokio::test]
async fn status_says_when_auto_reconcile_tries_next() {
    let node = Node::start_with(|config| {
        config.reconcile.auto = true;
        config.reconcile.initial = Duration::from_hours(1);
        config.reconcile.max = Duration::from_hours(1);
        config.reconcile.window = Duration::from_hours(2);
    })
    .await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let key = "hello/web".parse().unwrap();
    node.fake.kill("hello-web", 1);
    // The first attempt is made at once; the second is an hour away.
    let starts = || {
        node.fake
            .mutations()
            .iter()
            .filter(|c| c.call == mcp_runtime::Call::Start)
            .count()
    };
    node.view(|view| {
        let status = &view.components[&key];
        starts() == 1
            && status.operation.is_none()
            && status.observed.state() == ObservedState::Running
    })
    .await;
    node.fake.kill("hello-web", 1);
    node.view(|view| !view.components[&key].drift.is_empty())
        .await;
    let request = v1::GetServiceStatusRequest {
        name: "hello".to_owned(),
        cached: true,
    };
    let status = client
        .get_service_status(request)
        .await
        .unwrap()
        .into_inner();
    assert!(status.auto_reconcile);
    let [drift] = &status.drift[..] else {
        panic!("{:?}", status.drift);
    };
    let now = status.answered_at.unwrap().seconds;
    let wait = drift.next_attempt.unwrap().seconds - now;
    assert!((2000..=3600).contains(&wait) && !drift.gave_up, "{wait}");
    let why = why(&mut client, "web").await;
    assert_eq!(why.next_attempt, drift.next_attempt, "both say the same");
    assert_eq!((why.attempts, why.budget), (1, 5));
    assert_eq!(why.last_operation.unwrap().caller, "auto-reconcile");
}
