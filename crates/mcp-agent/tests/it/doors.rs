//! Listeners: TLS, the node's own socket, start and end.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use mcp_config::agent::AgentConfig;
use mcp_proto::v1;
use mcp_proto::v1::local_admin_service_client::LocalAdminServiceClient;
use mcp_proto::v1::mcp_agent_service_client::McpAgentServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::support::{Bearer, Node, configure, deploy, hello, start, start_again, within};

async fn socket(node: &Node) -> Channel {
    let path = node.dir.path().join("run/agent.sock");
    Endpoint::from_shared(format!("unix://{}", path.display()))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_socket_needs_no_token_and_only_its_owner_can_reach_it() {
    let node = Node::start().await;
    let mode = |path: &str| {
        node.dir
            .path()
            .join(path)
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("run"), mode("run/agent.sock")), (0o700, 0o600));
    let mut client = McpAgentServiceClient::new(socket(&node).await);
    client.deploy(deploy(hello())).await.unwrap();
    let audits = node.running.registry().audits(1).await.unwrap();
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(audits[0].call.origin.caller, format!("local:uid:{uid}"));
    assert!(
        audits[0]
            .call
            .origin
            .peer
            .contains(&format!("pid={}", std::process::id()))
    );
}

#[tokio::test]
async fn tokens_are_administered_through_the_socket_and_not_over_the_network() {
    let node = Node::start().await;
    let mut local = LocalAdminServiceClient::new(socket(&node).await);
    let order = || v1::IssueTokenRequest {
        subject: "bob".to_owned(),
        roles: vec!["admin".to_owned()],
        valid: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
    };
    let issued = local.issue_token(order()).await.unwrap().into_inner();

    let bob = Bearer(issued.token.clone());
    let mut client = McpAgentServiceClient::with_interceptor(node.channel().await, bob.clone());
    client
        .list_services(v1::ListServicesRequest {})
        .await
        .unwrap();
    let mut over_tcp = LocalAdminServiceClient::with_interceptor(node.channel().await, bob);
    assert_eq!(
        over_tcp.issue_token(order()).await.unwrap_err().code(),
        Code::Unimplemented
    );
    let listing = over_tcp
        .list_tokens(v1::ListTokensRequest {})
        .await
        .unwrap_err();
    assert_eq!(listing.code(), Code::Unimplemented);

    let listed = local
        .list_tokens(v1::ListTokensRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(
        listed
            .tokens
            .iter()
            .any(|token| token.subject == "bob" && token.revoked.is_none())
    );
    let which = v1::RevokeTokensRequest {
        id_or_subject: "bob".to_owned(),
    };
    assert_eq!(
        local
            .revoke_tokens(which)
            .await
            .unwrap()
            .into_inner()
            .revoked,
        1
    );
    let refused = client
        .list_services(v1::ListServicesRequest {})
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let audits = node.running.registry().audits(10).await.unwrap();
    let methods: Vec<_> = audits
        .iter()
        .map(|a| (a.call.origin.method.as_str(), a.outcome.as_deref()))
        .collect();
    assert_eq!(
        methods,
        [
            ("RevokeTokens", Some("succeeded")),
            ("IssueToken", Some("succeeded"))
        ]
    );
    assert!(!format!("{audits:?}").contains(&issued.token));
}

#[tokio::test]
async fn a_token_that_cannot_be_audited_is_not_issued() {
    let node = Node::start().await;
    let mut local = LocalAdminServiceClient::new(socket(&node).await);
    node.break_audit();
    let order = v1::IssueTokenRequest {
        subject: "bob".to_owned(),
        roles: vec!["admin".to_owned()],
        valid: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
    };
    assert_eq!(
        local.issue_token(order).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    let tokens = node.running.registry().tokens().await.unwrap();
    assert!(
        tokens.iter().all(|token| token.subject != "bob"),
        "{tokens:?}"
    );
}

#[tokio::test]
async fn tls_1_2_and_plaintext_are_refused_and_others_are_served_meanwhile() {
    let node = Node::start().await;
    let mut plain = TcpStream::connect(node.running.address()).await.unwrap();
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    // A TLS alert (21) at most, never HTTP.
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");

    // A client hello that offers TLS 1.2 and nothing newer, as recorded from the standard's form:
    // no supported_versions extension means 1.2 at most (RFC 8446, 4.2.1).
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let body = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, body + 4, 1, 0, 0, body];
    record.extend(hello);
    let mut old = TcpStream::connect(node.running.address()).await.unwrap();
    old.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    let _ = old.read_to_end(&mut answer).await;
    assert_eq!(answer.first(), Some(&21), "{answer:?}");

    // One that says nothing at all holds nobody up.
    let _silent = TcpStream::connect(node.running.address()).await.unwrap();
    node.client()
        .await
        .list_services(v1::ListServicesRequest {})
        .await
        .unwrap();
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_not_believed() {
    let node = Node::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, other) = configure(elsewhere.path());
    assert!(node.try_channel(&other).await.is_err());
}

#[tokio::test]
async fn stopping_frees_the_port_the_lock_and_the_socket_and_leaves_containers_alone() {
    // An address of its own: a port of the common one may be somebody else's the moment it is free.
    let own = |config: &mut AgentConfig| config.server.grpc_addr = "127.0.0.77:0".parse().unwrap();
    let node = Node::start_with(own).await;
    let mut client = node.client().await;
    client.deploy(deploy(hello())).await.unwrap();
    let before = node.fake.containers();
    let address = node.running.address();
    let Node {
        running,
        fake,
        config,
        dir,
        ..
    } = node;
    running.stop().await.unwrap();
    assert_eq!(fake.containers(), before);
    assert!(!dir.path().join("run/agent.sock").exists());
    assert!(
        client
            .list_services(v1::ListServicesRequest {})
            .await
            .is_err()
    );
    // A child of another test may hold it yet, until it becomes another program.
    within("the port is free", async {
        while tokio::net::TcpListener::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Closed means written: there is no log left that would have to be replayed.
    let wal = config.database.path.with_extension("db-wal");
    assert!(std::fs::metadata(wal).map_or(0, |meta| meta.len()) == 0);
    let (running, _) = start_again(&config, Some(&fake)).await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_health_watcher_does_not_hold_up_the_end() {
    let node = Node::start().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(socket(&node).await);
    let request = tonic_health::pb::HealthCheckRequest {
        service: String::new(),
    };
    let mut watching = health.watch(request).await.unwrap().into_inner();
    let first = watching.message().await.unwrap().unwrap();
    assert_eq!(
        first.status(),
        tonic_health::pb::health_check_response::ServingStatus::Serving
    );
    let (last, stopped) = tokio::join!(watching.message(), node.running.stop());
    stopped.unwrap();
    // Ended, and not cut off because its time was over.
    assert!(matches!(last, Ok(None)), "{last:?}");
}

#[tokio::test]
async fn a_second_agent_on_one_registry_is_refused_and_told_who_has_it() {
    let node = Node::start().await;
    let error = start(node.config.clone(), None)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains(&format!("pid {}", std::process::id())),
        "{error}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut config, _) = configure(dir.path());
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    config.server.grpc_addr = taken.local_addr().unwrap();
    let error = start(config.clone(), None).await.err().unwrap().to_string();
    assert!(
        error.contains(&config.server.grpc_addr.to_string()),
        "{error}"
    );
    assert!(!config.database.path.exists(), "nothing was touched");
    // Nothing of the attempt is left that would keep another one from starting.
    config.server.grpc_addr = "127.0.0.1:0".parse().unwrap();
    let (running, _) = start_again(&config, None).await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_newer_registry_is_refused_and_left_as_it_is() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let (config, _) = configure(dir.path());
    let (running, _) = start(config.clone(), None).await.unwrap();
    running.stop().await.unwrap();
    let newer = rusqlite::Connection::open(&config.database.path).unwrap();
    newer.pragma_update(None, "user_version", 9_999).unwrap();
    drop(newer);
    let before = std::fs::read(&config.database.path).unwrap();
    let error = start_again(&config, None).await.err().unwrap().to_string();
    assert!(error.contains("9999") && error.contains("newer"), "{error}");
    assert_eq!(std::fs::read(&config.database.path).unwrap(), before);
}

#[tokio::test]
async fn the_sockets_directory_is_mounted_into_no_container_whatever_is_allowed() {
    let node = Node::start_with(|config| {
        let run = config.agent.run_dir.clone();
        config.agent.volume_prefixes = vec!["/".into(), run.join("agent.sock"), run];
    })
    .await;
    let mut client = node.client().await;
    let run = node.config.agent.run_dir.clone();
    let around = node.dir.path().to_owned();
    for source in [run.join("agent.sock"), run, around] {
        let mut service = hello();
        service.components[0].volumes = vec![format!("{}:/data", source.display())];
        let refused = client.deploy(deploy(service)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("volumes"), "{refused}");
    }
    assert!(node.fake.mutations().is_empty());
}
