//! Sync.

use mcp_proto::v1;
use tonic::Code;

use crate::support::{Node, component, deploy, hello, listed, service, sync};

#[tokio::test]
async fn new_services_are_stored_and_nothing_runs() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let reply = client
        .sync_desired_state(sync(&[hello()]))
        .await
        .unwrap()
        .into_inner();
    assert!(
        reply.results[0].changed && reply.unmentioned.is_empty(),
        "{reply:?}"
    );
    let info = listed(&mut client, "hello", "web").await;
    assert_eq!((info.desired_state.as_str(), info.revision), ("running", 1));
    assert!(node.fake.mutations().is_empty());
    let again = client
        .sync_desired_state(sync(&[hello()]))
        .await
        .unwrap()
        .into_inner();
    assert!(!again.results[0].changed, "{again:?}");
}

#[tokio::test]
async fn specs_of_known_services_are_updated_and_what_is_gone_is_orphaned() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    node.fake.forget_calls();
    let newer = service("hello", &[("web", "localhost/hello:v2")]);
    let reply = client
        .sync_desired_state(sync(&[newer]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (reply.results[0].changed, &reply.results[0].orphaned[..]),
        (true, &["api".to_owned()][..])
    );
    let web = listed(&mut client, "hello", "web").await;
    assert_eq!(
        (web.image.as_str(), web.revision),
        ("localhost/hello:v2", 2)
    );
    assert_eq!(web.deployed_spec.unwrap().image, "localhost/hello:v1");
    assert!(listed(&mut client, "hello", "api").await.orphaned);
    assert!(node.fake.mutations().is_empty());
}

#[tokio::test]
async fn inactive_wants_every_component_stopped_and_stops_none() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let inactive = v1::ServiceSpec {
        active: false,
        ..hello()
    };
    client.sync_desired_state(sync(&[inactive])).await.unwrap();
    for name in ["web", "api"] {
        let info = listed(&mut client, "hello", name).await;
        assert_eq!(
            (info.desired_state.as_str(), info.observed_state.as_str()),
            ("stopped", "running")
        );
    }
}

#[tokio::test]
async fn containers_that_nobody_gave_to_mcp_are_found_by_a_sync_without_services() {
    let node = Node::start().await;
    node.fake.add_foreign("theirs", "example.org/theirs:v1");
    let mut client = node.client().await;
    client.sync_desired_state(sync(&[])).await.unwrap();
    let request = v1::GetServiceStatusRequest {
        cached: true,
        ..Default::default()
    };
    let status = client
        .get_service_status(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.foreign[0].name, "theirs");
}

#[tokio::test]
async fn a_service_that_is_not_mentioned_is_left_as_it_is_and_listed() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.sync_desired_state(sync(&[hello()])).await.unwrap();
    let other = service("other", &[("web", "localhost/hello:v1")]);
    let reply = client
        .sync_desired_state(sync(&[other]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.unmentioned, ["hello"]);
    assert_eq!(listed(&mut client, "hello", "web").await.generation, 1);
}

#[tokio::test]
async fn one_service_that_cannot_be_refuses_all_of_them() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client
        .sync_desired_state(sync(&[service("a-b", &[("c", "localhost/hello:v1")])]))
        .await
        .unwrap();
    let mounts_etc = v1::ComponentSpec {
        volumes: vec!["/etc:/data".to_owned()],
        ..component("web", "localhost/hello:v1")
    };
    let bad_mount = v1::ServiceSpec {
        components: vec![mounts_etc],
        ..service("x", &[])
    };
    let collides = service("a", &[("b-c", "localhost/hello:v1")]);
    let no_image = service("x", &[("web", "")]);
    for bad in [bad_mount, collides, no_image] {
        let refused = client
            .sync_desired_state(sync(&[hello(), bad]))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    assert_eq!(node.running.registry().services().await.unwrap().len(), 1);
}

fn elsewhere<T>(message: T, host: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let key = mcp_proto::CLIENT_HOST_KEY;
    request.metadata_mut().insert(key, host.parse().unwrap());
    request
}

#[tokio::test]
async fn intent_of_another_origin_is_shown_by_the_preview_and_wants_force() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let first = elsewhere(sync(&[hello()]), "vade");
    client.sync_desired_state(first).await.unwrap();

    let newer = service("hello", &[("web", "localhost/hello:v2")]);
    let intent = v1::plan_request::Intent::Sync(sync(std::slice::from_ref(&newer)));
    let preview = v1::PlanRequest {
        intent: Some(intent),
    };
    let plan = client
        .plan(elsewhere(preview.clone(), "mesa"))
        .await
        .unwrap();
    for component in &plan.into_inner().services[0].components {
        assert!(component.overwrites.ends_with("@vade"), "{component:?}");
        assert!(component.overwrites_from.is_some());
    }
    let plan = client.plan(elsewhere(preview, "vade")).await.unwrap();
    assert_eq!(plan.into_inner().services[0].components[0].overwrites, "");

    let refused = |status: tonic::Status| {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().contains("@vade"), "{status}");
        assert!(status.message().contains("--force"), "{status}");
    };
    let other = elsewhere(sync(std::slice::from_ref(&newer)), "mesa");
    refused(client.sync_desired_state(other).await.unwrap_err());
    let other = elsewhere(deploy(newer.clone()), "mesa");
    refused(client.deploy(other).await.unwrap_err());
    assert!(node.fake.mutations().is_empty());
    assert_eq!(listed(&mut client, "hello", "web").await.revision, 1);

    let forced = v1::DeployRequest {
        force: true,
        ..deploy(newer.clone())
    };
    client.deploy(elsewhere(forced, "mesa")).await.unwrap();
    assert_eq!(listed(&mut client, "hello", "web").await.revision, 2);
    let forced = v1::SyncDesiredStateRequest {
        force: true,
        ..sync(&[hello()])
    };
    client.sync_desired_state(forced).await.unwrap();
}

#[tokio::test]
async fn a_host_that_cannot_be_one_is_not_repeated_to_anybody() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let odd = elsewhere(sync(&[hello()]), "a b;c");
    client.sync_desired_state(odd).await.unwrap();
    let by: String = node
        .database()
        .query_row("SELECT DISTINCT intent_by FROM components", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert!(!by.contains('@'), "{by}");
}
