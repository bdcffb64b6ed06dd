//! Lifecycle calls that are refused, and change nothing.

use mcp_proto::v1;
use mcp_runtime::Call;
use tonic::Code;

use crate::support::{Node, component, deploy, hello, outcomes, service, sync};

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
async fn nothing_that_the_agent_reads_or_executes_is_mounted_wherever_it_lies() {
    let node = Node::start_with(|config| {
        // The certificate's folder, where services live too: so not all of it is the agent's.
        let dir = config.server.tls_key.parent().unwrap().to_owned();
        config.agent.volume_prefixes = vec![dir.clone()];
        let file = |name: &str| dir.join("etc").join(name);
        config.file = Some(file("mcp-agent.toml"));
        config.agent.container_runtime = file("podman").display().to_string();
        let word = |flag: &str, name: &str| format!("{flag}{}", file(name).display());
        config.monitor.alert_command = vec![
            word("", "alert"),
            word("", "alert.sh"),
            word("--key=", "alert.key"),
        ];
        config.runtime.args = vec![
            "--root".to_owned(),
            word("", "storage"),
            word("--runroot=", "runroot"),
            word("--storage-opt=overlay.mount_program=", "overlay"),
            "--imagestore=/".to_owned(),
        ];
        for name in ["REGISTRY_AUTH_FILE", "CONTAINERS_CONF"] {
            let value = file(name).display().to_string();
            config.runtime.env.insert(name.to_owned(), value);
        }
        for folder in ["etc/kept", "free"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
    })
    .await;
    let mut client = node.client().await;
    let mut mount = async |source: &str| {
        let source = node.dir.path().join(source).display().to_string();
        let spec = v1::ComponentSpec {
            volumes: vec![format!("{source}:/data")],
            ..component("web", "localhost/hello:v1")
        };
        let components = vec![spec];
        client
            .deploy(deploy(v1::ServiceSpec {
                components,
                ..hello()
            }))
            .await
    };
    for own in [
        "etc/mcp-agent.toml",
        "etc/podman",
        "etc/alert",
        "etc/alert.sh",
        "etc/alert.key",
        "etc/storage",
        "etc/runroot",
        "etc/overlay",
        "etc/REGISTRY_AUTH_FILE",
        "etc/CONTAINERS_CONF",
        "etc",
        "cert.pem",
        "key.pem",
        "ca.pem",
        "ca.key",
        "mcp.db",
        "mcp.db-wal",
        "mcp.db-shm",
        "mcp.db-journal",
        "mcp.db.lock",
        "mcp.db.v4.bak",
        "mcp.db.v12.bak.partial",
        "run",
    ] {
        let refused = mount(own).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{own}");
        assert!(
            refused.message().contains("the agent's own"),
            "{own}: {refused}"
        );
    }
    assert_eq!(node.fake.mutations(), []);
    for other in ["free", "etc/kept", "srv"] {
        mount(other).await.unwrap();
    }
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
    let refused = client.sync_desired_state(sync(&[own])).await.unwrap_err();
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
        client.sync_desired_state(sync(&[other])).await.err(),
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
