//! Deploy, stop, start, restart, undeploy.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use mcp_proto::v1;
use mcp_runtime::Call;
use mcp_runtime::fake::Behaviour;

use crate::support::{Node, deploy, hello, listed, outcomes, service};

#[tokio::test]
async fn a_deploy_stores_the_spec_and_ends_when_it_is_observed_running() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let reply = client.deploy(deploy(hello())).await.unwrap().into_inner();
    // In the definition's order, which is not the alphabet's.
    assert_eq!(outcomes(&reply.results), [("web", true), ("api", true)]);
    assert!(
        reply
            .results
            .iter()
            .all(|r| r.observed_state == "running" && !r.unchanged)
    );
    for name in ["web", "api"] {
        let info = listed(&mut client, "hello", name).await;
        assert_eq!(
            (info.desired_state.as_str(), info.observed_state.as_str()),
            ("running", "running")
        );
        assert_eq!(info.version, "v1");
        assert_eq!(info.spec.as_ref().unwrap().image, "localhost/hello:v1");
        assert_eq!(info.spec, info.deployed_spec);
        let container = node.fake.container(&format!("hello-{name}")).unwrap();
        assert_eq!(info.container_id, container.instance.id.to_string());
    }
    let root = node.dir.path().join("srv/hello");
    assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o750);
}

#[tokio::test]
async fn a_deploy_of_one_component_touches_and_records_that_one_only() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let api = node.fake.container("hello-api").unwrap().instance;
    let newer = service(
        "hello",
        &[("web", "localhost/hello:v2"), ("api", "localhost/hello:v2")],
    );
    let only = v1::DeployRequest {
        component: "web".to_owned(),
        ..deploy(newer)
    };
    let reply = client.deploy(only).await.unwrap().into_inner();
    assert_eq!(outcomes(&reply.results), [("web", true)]);
    assert_eq!(node.fake.container("hello-api").unwrap().instance, api);
    assert_eq!(listed(&mut client, "hello", "web").await.version, "v2");
    assert_eq!(
        listed(&mut client, "hello", "api").await.image,
        "localhost/hello:v1"
    );
}

#[tokio::test]
async fn a_missing_image_fails_its_component_with_the_runtimes_reason_and_the_others_go_on() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mixed = service(
        "hello",
        &[
            ("web", "example.org/none:v1"),
            ("api", "localhost/hello:v1"),
        ],
    );
    let reply = client.deploy(deploy(mixed)).await.unwrap().into_inner();
    assert_eq!(outcomes(&reply.results), [("web", false), ("api", true)]);
    assert!(
        reply.results[0].error.contains("example.org/none:v1"),
        "{}",
        reply.results[0].error
    );
    assert!(node.fake.container("hello-web").is_none());
}

#[tokio::test]
async fn a_death_before_the_reply_is_no_success() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let dies = Behaviour {
        ends: Some((Duration::from_millis(20), 3)),
        ..Behaviour::default()
    };
    let image = "localhost/hello:v3";
    node.fake.add_image_that(&image.parse().unwrap(), dies);
    // It dies while the look that finds it running is under way.
    node.fake.latency(Call::Inspect, Duration::from_millis(60));
    let brief = service("hello", &[("web", image)]);
    let reply = client.deploy(deploy(brief)).await.unwrap().into_inner();
    assert_eq!(outcomes(&reply.results), [("web", false)], "{reply:?}");
    assert_eq!(reply.results[0].observed_state, "exited");
}

#[tokio::test]
async fn a_deploy_replaces_and_says_where_nothing_had_changed() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let before = node.fake.container("hello-web").unwrap().instance.id;
    let reply = client.deploy(deploy(hello())).await.unwrap().into_inner();
    assert!(
        reply
            .results
            .iter()
            .all(|result| result.success && result.unchanged),
        "{reply:?}"
    );
    assert_ne!(
        node.fake.container("hello-web").unwrap().instance.id,
        before
    );
}

#[tokio::test]
async fn an_inactive_service_is_deployed_and_the_caller_is_warned() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let inactive = v1::ServiceSpec {
        active: false,
        ..hello()
    };
    let reply = client.deploy(deploy(inactive)).await.unwrap().into_inner();
    assert_eq!(outcomes(&reply.results), [("web", true), ("api", true)]);
    assert!(
        reply.warnings.iter().any(|w| w.contains("active = false")),
        "{:?}",
        reply.warnings
    );
}

#[tokio::test]
async fn a_repeated_operation_id_attaches_and_replaces_nothing() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let request = v1::DeployRequest {
        operation_id: "again1".to_owned(),
        ..deploy(hello())
    };
    client.deploy(request.clone()).await.unwrap();
    let before = node.fake.containers();
    let reply = client.deploy(request).await.unwrap().into_inner();
    assert_eq!(
        (reply.operation_id.as_str(), reply.results.len()),
        ("again1", 2)
    );
    assert_eq!(node.fake.containers(), before);
}

#[tokio::test]
async fn stop_wants_stopped_and_start_wants_running_again() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let name = || "hello".to_owned();

    let stop = v1::StopServiceRequest {
        name: name(),
        ..Default::default()
    };
    let reply = client.stop_service(stop).await.unwrap().into_inner();
    assert_eq!(reply.results.len(), 2);
    assert!(
        reply
            .results
            .iter()
            .all(|r| r.success && r.observed_state == "stopped"),
        "{reply:?}"
    );
    let info = listed(&mut client, "hello", "web").await;
    assert_eq!(
        (info.desired_state.as_str(), info.observed_state.as_str()),
        ("stopped", "stopped")
    );

    let before = node.fake.container("hello-web").unwrap().instance.id;
    let start = v1::StartServiceRequest {
        name: name(),
        ..Default::default()
    };
    let reply = client.start_service(start).await.unwrap().into_inner();
    assert!(
        reply
            .results
            .iter()
            .all(|r| r.success && r.observed_state == "running"),
        "{reply:?}"
    );
    assert_eq!(
        listed(&mut client, "hello", "web").await.desired_state,
        "running"
    );
    assert_eq!(
        node.fake.container("hello-web").unwrap().instance.id,
        before,
        "it was revived"
    );
}

#[tokio::test]
async fn restart_gives_each_component_a_newer_life_of_the_same_container() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let before = ["hello-web", "hello-api"].map(|name| node.fake.container(name).unwrap().instance);
    let restart = v1::RestartServiceRequest {
        name: "hello".to_owned(),
        ..Default::default()
    };
    let reply = client.restart_service(restart).await.unwrap().into_inner();
    assert_eq!(
        reply.results.iter().filter(|result| result.success).count(),
        2,
        "{reply:?}"
    );
    for (name, before) in ["hello-web", "hello-api"].into_iter().zip(before) {
        let after = node.fake.container(name).unwrap().instance;
        assert!(
            after.id == before.id && !after.is_same_life(&before),
            "{name}"
        );
    }
}

#[tokio::test]
async fn undeploy_takes_containers_and_records_away() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let undeploy = v1::UndeployRequest {
        service: "hello".to_owned(),
        ..Default::default()
    };
    let reply = client.undeploy(undeploy).await.unwrap().into_inner();
    assert_eq!(
        reply.results.iter().filter(|result| result.success).count(),
        2,
        "{reply:?}"
    );
    assert!(node.fake.containers().is_empty());
    let services = client
        .list_services(v1::ListServicesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(services.services.is_empty());
}

#[tokio::test]
async fn a_mutating_call_is_audited_with_its_caller_and_outcome() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let audits = node.running.registry().audits(10).await.unwrap();
    let deployed = audits
        .iter()
        .find(|record| record.call.origin.method == "Deploy")
        .unwrap();
    assert_eq!(deployed.call.origin.caller, "alice");
    assert!(
        deployed.call.origin.peer.starts_with("127.0.0.1:"),
        "{deployed:?}"
    );
    assert_eq!(deployed.outcome.as_deref(), Some("succeeded"));
}
