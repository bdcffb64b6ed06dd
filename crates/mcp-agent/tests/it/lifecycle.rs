//! Deploy, stop, start, restart, undeploy.

use std::os::unix::fs::PermissionsExt as _;

use mcp_proto::v1;
use mcp_runtime::Call;
use tonic::Code;

use crate::support::{Node, component, deploy, hello, listed, outcomes, service};

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
async fn a_name_that_a_foreign_container_holds_is_a_failed_precondition() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let theirs = node.fake.add_foreign("hello-web", "example.org/theirs:v1");
    let one = service("hello", &[("web", "localhost/hello:v1")]);
    let refused = client.deploy(deploy(one)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("hello-web"), "{refused}");
    // It is refused again, now that the view knows, and not even tried.
    node.fake.forget_calls();
    let again = service("hello", &[("web", "localhost/hello:v1")]);
    let refused = client.deploy(deploy(again)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(node.fake.mutations(), []);
    // Where only one of them is held, the other is deployed.
    let reply = client.deploy(deploy(hello())).await.unwrap().into_inner();
    assert_eq!(outcomes(&reply.results), [("web", false), ("api", true)]);
    assert_eq!(
        node.fake.container("hello-web").unwrap().instance.id,
        theirs
    );
}

#[tokio::test]
async fn what_this_node_does_not_allow_is_refused_before_anything_is_stored() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let dir = node.dir.path().display().to_string();
    let with_volume = |volume: &str| v1::ServiceSpec {
        components: vec![v1::ComponentSpec {
            volumes: vec![volume.to_owned()],
            ..component("web", "localhost/hello:v1")
        }],
        ..hello()
    };
    let flag = v1::ServiceSpec {
        components: vec![component("web", "-rm")],
        ..hello()
    };
    for (what, field) in [
        (with_volume("/etc:/data"), "volumes"),
        (with_volume(&format!("{dir}/run:/data")), "volumes"),
        (
            with_volume(&format!("{dir}/srv/../mcp.db:/data")),
            "volumes",
        ),
        (flag, "image"),
        (
            v1::ServiceSpec {
                name: "Hello".to_owned(),
                ..hello()
            },
            "name",
        ),
        (
            v1::ServiceSpec {
                components: Vec::new(),
                ..hello()
            },
            "components",
        ),
    ] {
        let refused = client.deploy(deploy(what.clone())).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what:?}: {refused}");
        assert!(refused.message().contains(field), "{refused}");
    }
    assert!(node.fake.mutations().is_empty());
    assert!(node.running.registry().services().await.unwrap().is_empty());
    assert_eq!(
        std::fs::read_dir(node.dir.path().join("srv"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_service_whose_directory_would_hold_the_agents_own_files_is_refused() {
    let node = Node::start_with(|config| {
        // As documented: the agent's directory is a sibling of the services'.
        let root = config.database.path.parent().unwrap().to_owned();
        std::fs::create_dir(root.join("mcp")).unwrap();
        config.database.path = root.join("mcp/mcp.db");
        config.agent.service_root = root;
    })
    .await;
    let mut client = node.client().await;
    let own = service("mcp", &[("web", "localhost/hello:v1")]);
    let refused = client.deploy(deploy(own.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("mcp.db"), "{refused}");
    let refused = client
        .sync_desired_state(crate::support::sync(&[own]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    client.deploy(deploy(hello())).await.unwrap();
}

#[tokio::test]
async fn unknown_services_and_ids_of_others_are_named() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let stop = |name: &str, id: &str| v1::StopServiceRequest {
        name: name.to_owned(),
        operation_id: id.to_owned(),
        ..Default::default()
    };
    let refused = client.stop_service(stop("nobody", "")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("nobody"));
    let request = v1::DeployRequest {
        operation_id: "mine01".to_owned(),
        ..deploy(hello())
    };
    client.deploy(request).await.unwrap();
    let refused = client
        .stop_service(stop("hello", "mine01"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    let restart = v1::RestartServiceRequest {
        name: "hello".to_owned(),
        ..Default::default()
    };
    client.stop_service(stop("hello", "")).await.unwrap();
    let refused = client.restart_service(restart).await.unwrap_err();
    assert_eq!(
        refused.code(),
        Code::FailedPrecondition,
        "nothing is desired running"
    );
}

#[tokio::test]
async fn without_an_audit_record_nothing_is_done() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let before = node.fake.containers();
    let stored = node.running.registry().services().await.unwrap();
    node.fake.forget_calls();
    node.break_audit();

    let other = service("other", &[("web", "localhost/hello:v1")]);
    let name = || "hello".to_owned();
    let refusals = [
        client.deploy(deploy(other.clone())).await.err(),
        client
            .stop_service(v1::StopServiceRequest {
                name: name(),
                ..Default::default()
            })
            .await
            .err(),
        client
            .restart_service(v1::RestartServiceRequest {
                name: name(),
                ..Default::default()
            })
            .await
            .err(),
        client
            .undeploy(v1::UndeployRequest {
                service: name(),
                ..Default::default()
            })
            .await
            .err(),
        client
            .sync_desired_state(crate::support::sync(&[other]))
            .await
            .err(),
    ];
    for refused in refusals {
        assert_eq!(refused.unwrap().code(), Code::FailedPrecondition);
    }
    let mutating: Vec<Call> = node
        .fake
        .mutations()
        .into_iter()
        .map(|call| call.call)
        .collect();
    assert_eq!(mutating, []);
    assert_eq!(node.fake.containers(), before);
    assert_eq!(node.running.registry().services().await.unwrap(), stored);
    assert!(!node.dir.path().join("srv/other").exists());
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
