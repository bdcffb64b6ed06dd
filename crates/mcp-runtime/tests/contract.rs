//! What every runtime does, so that what holds in a simulation holds on a node: the same story
//! told to the fake and, where `MCP_TEST_PODMAN_ARGS` names a private podman, to that.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use mcp_model::{ComponentSpec, ContainerId, ImageRef, RuntimeState, Stamp};
use mcp_runtime::fake::Fake;
use mcp_runtime::{
    ContainerRuntime, MountPolicy, Podman, PodmanArgs, RunRequest, RuntimeError, Settings,
};

const GRACE: Duration = Duration::from_secs(1);

fn request(key: &str, image: &ImageRef) -> RunRequest {
    let mut spec = ComponentSpec::of_image(image.clone());
    spec.network = Some("none".parse().unwrap());
    spec.restart = Some("no".parse().unwrap());
    RunRequest {
        key: key.parse().unwrap(),
        spec,
        revision: 3,
        operation: "op1234".parse().unwrap(),
        replace_phantom: false,
    }
}

/// Images here are local and run until they are stopped.
async fn contract(runtime: &dyn ContainerRuntime, image: &ImageRef) {
    let first = made_and_found(runtime, image).await;
    names_are_held_by_one(runtime, &first, image).await;
    lives_follow_each_other(runtime, &first).await;
    absence_is_told(runtime, &first).await;
    failures_are_told_apart(runtime, image).await;
}

async fn made_and_found(runtime: &dyn ContainerRuntime, image: &ImageRef) -> ContainerId {
    runtime
        .pull(image, GRACE)
        .await
        .expect("local by definition");
    let request = request("contract/one", image);
    let id = runtime.run(&request).await.unwrap();
    let seen = runtime.inspect(&id).await.unwrap().unwrap();
    assert_eq!(seen.state, RuntimeState::Running);
    assert!(seen.claims(&request.key, "me"));
    assert_eq!(seen.labels.revision, Some(3));
    assert_eq!(seen.labels.operation, Some(request.operation.clone()));
    assert_eq!(seen.instance.restart_count, Some(0));
    assert!(seen.exit.is_none() && seen.finished_at.is_none());
    let listed = runtime.list().await.unwrap().containers;
    let row = listed.iter().find(|row| row.instance.id == id).unwrap();
    assert!(row.instance.is_same_life(&seen.instance));
    assert_eq!(row.labels, seen.labels);
    let named = runtime.inspect_name("contract-one").await.unwrap();
    assert_eq!(named, Some(seen));
    id
}

async fn names_are_held_by_one(runtime: &dyn ContainerRuntime, id: &ContainerId, image: &ImageRef) {
    let again = runtime.run(&request("contract/one", image)).await;
    assert!(
        matches!(again, Err(RuntimeError::NameTaken { .. })),
        "{again:?}"
    );
    assert!(!runtime.is_phantom("contract-one").await.unwrap());
    let aside = "contract-one.mcp-old-op1234";
    runtime.rename(id, aside).await.unwrap();
    assert!(
        runtime
            .inspect_name("contract-one")
            .await
            .unwrap()
            .is_none()
    );
    let holder = runtime.inspect_name(aside).await.unwrap().unwrap();
    assert_eq!(holder.instance.id, *id);
    let other = runtime.run(&request("contract/one", image)).await.unwrap();
    let back = runtime.rename(id, "contract-one").await;
    assert!(
        matches!(back, Err(RuntimeError::NameTaken { .. })),
        "{back:?}"
    );
    // It runs: its restart policy may have brought it back after a stop.
    runtime.remove(&other).await.unwrap();
    runtime.remove(&other).await.expect("it is gone already");
    runtime.rename(id, "contract-one").await.unwrap();
}

async fn lives_follow_each_other(runtime: &dyn ContainerRuntime, id: &ContainerId) {
    let first = runtime.inspect(id).await.unwrap().unwrap();
    runtime.start(id).await.expect("it runs already");
    let untouched = runtime.inspect(id).await.unwrap().unwrap();
    assert_eq!(untouched.instance, first.instance);
    runtime.stop(id, GRACE).await.unwrap();
    let stopped = runtime.inspect(id).await.unwrap().unwrap();
    assert!(matches!(
        stopped.state,
        RuntimeState::Exited | RuntimeState::Stopped
    ));
    assert!(stopped.instance.pid.is_none() && stopped.exit.is_some());
    runtime
        .stop(id, GRACE)
        .await
        .expect("it is stopped already");
    runtime.start(id).await.unwrap();
    let second = runtime.inspect(id).await.unwrap().unwrap();
    assert_eq!(second.state, RuntimeState::Running);
    assert_ne!(second.instance, first.instance);
    assert!(second.exit.is_none());
}

async fn absence_is_told(runtime: &dyn ContainerRuntime, id: &ContainerId) {
    runtime.last_lines(id, 5).await.unwrap();
    runtime.stop(id, GRACE).await.unwrap();
    runtime.remove(id).await.unwrap();
    assert!(runtime.inspect(id).await.unwrap().is_none());
    assert!(
        runtime
            .inspect_name("contract-one")
            .await
            .unwrap()
            .is_none()
    );
    let gone = |result: Result<(), RuntimeError>| {
        assert!(
            matches!(result, Err(RuntimeError::NotFound { .. })),
            "{result:?}"
        );
    };
    gone(runtime.start(id).await);
    gone(runtime.stop(id, GRACE).await);
    gone(runtime.rename(id, "contract-two").await);
    gone(runtime.last_lines(id, 1).await.map(|_| ()));
}

async fn failures_are_told_apart(runtime: &dyn ContainerRuntime, image: &ImageRef) {
    let missing: ImageRef = "localhost/not-there:1".parse().unwrap();
    let error = runtime.run(&request("contract/two", &missing)).await;
    assert!(
        matches!(error, Err(RuntimeError::ImageMissing { .. })),
        "{error:?}"
    );
    assert!(
        runtime
            .inspect_name("contract-two")
            .await
            .unwrap()
            .is_none()
    );
    let port = free_port();
    let publishing = |key: &str| {
        let mut request = request(key, image);
        request.spec.network = None;
        request.spec.ports = [format!("127.0.0.1:{port}:80").parse().unwrap()].into();
        request
    };
    let holder = runtime.run(&publishing("contract/three")).await.unwrap();
    let refused = runtime.run(&publishing("contract/four")).await.unwrap_err();
    assert!(
        refused.to_string().contains("address already in use"),
        "{refused}"
    );
    // What could not be started stays behind under its name.
    let left = runtime
        .inspect_name("contract-four")
        .await
        .unwrap()
        .unwrap();
    assert_ne!(left.state, RuntimeState::Running);
    runtime.remove(&left.instance.id).await.unwrap();
    runtime.stop(&holder, GRACE).await.unwrap();
    runtime.remove(&holder).await.unwrap();
}

/// A port that nobody uses, below those that the kernel gives to whoever connects.
fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (5_000..10_000).find(is_free).expect("one of them is free")
}

#[tokio::test(start_paused = true)]
async fn the_fake_keeps_the_contract() {
    let fake = Fake::new(Stamp::from_millis(1_800_000_000_000), "me");
    let image = "localhost/a:1".parse().unwrap();
    fake.add_image(&image);
    contract(&fake, &image).await;
}

/// `MCP_TEST_PODMAN_ARGS="--root … --runroot … --tmpdir …"`, `MCP_TEST_IMAGE`, `CONTAINERS_CONF`.
#[tokio::test]
#[ignore = "needs podman and an image in the environment: scripts/run-all-tests.sh brings both"]
async fn podman_keeps_the_contract() {
    let variable = |name: &str| std::env::var(name).expect(name);
    let words = variable("MCP_TEST_PODMAN_ARGS");
    let podman = PodmanArgs {
        global_args: words.split_whitespace().map(str::to_owned).collect(),
        env: std::env::var("CONTAINERS_CONF")
            .map(|path| ("CONTAINERS_CONF".to_owned(), path))
            .into_iter()
            .collect(),
        ..PodmanArgs::default()
    };
    let podman = Podman::new(Settings::new(podman, "me".into(), MountPolicy::default()));
    contract(&podman, &variable("MCP_TEST_IMAGE").parse().unwrap()).await;
}
