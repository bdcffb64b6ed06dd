//! The harness keeps its word: private, real, and gone afterwards.

use std::fs;

use mcp_e2e::{ImageRegistry, Podman, free_port, http_get, until};

#[test]
fn two_podmans_do_not_see_each_other() {
    let (one, other) = (Podman::new(), Podman::new());
    let ports = [free_port(), free_port()];
    for (podman, port) in [&one, &other].into_iter().zip(ports) {
        let publish = format!("--publish=127.0.0.1:{port}:8080");
        podman.run(&[
            "run",
            "--detach",
            "--name=web",
            "--network=bridge",
            &publish,
            "localhost/hello:v1",
        ]);
    }
    let hosts = ports.map(|port| until("the server answers", || http_get(port, "/")).1);
    assert_ne!(hosts[0], hosts[1], "one address for two containers");

    one.run(&["rm", "--force", "--time=0", "web"]);
    assert_eq!(one.status("web"), None);
    assert_eq!(other.status("web").as_deref(), Some("running"));
    until("the other network is still there", || {
        http_get(ports[1], "/")
    });
}

#[test]
fn nothing_is_left_of_a_podman_with_running_containers() {
    let podman = Podman::new();
    podman.run(&["run", "--detach", "--name=web", "localhost/hello:v1"]);
    let pid = podman.inspect("web").expect("it was just started")["State"]["Pid"].clone();
    let root = podman.args()[0].trim_start_matches("--root=").to_owned();
    drop(podman);

    assert!(!fs::exists(&root).expect("its parent is readable"));
    assert!(
        !fs::exists(format!("/proc/{pid}")).expect("/proc is readable"),
        "it still runs"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is readable");
    assert!(!mounts.contains(&root), "{mounts}");
}

#[test]
fn the_example_server_ends_at_once_when_asked() {
    let podman = Podman::new();
    podman.run(&["run", "--detach", "--name=web", "localhost/hello:v1"]);
    until("it listens", || {
        let said = podman.run(&["logs", "web"]);
        said.contains("listening on port 8080").then_some(())
    });
    podman.run(&["stop", "--time=60", "web"]);
    let state = &podman.inspect("web").expect("it was just stopped")["State"];
    assert_eq!(state["ExitCode"], 0, "killed instead of ended: {state}");
}

#[test]
fn an_image_comes_back_from_the_registry() {
    let (podman, registry) = (Podman::new(), ImageRegistry::new());
    podman.trust(registry.address());
    let image = registry.push(&podman, "localhost/hello:v2", "team/hello:v2");
    podman.run(&["rmi", "localhost/hello:v2"]);
    podman.run(&["pull", "--quiet", &image]);

    let port = free_port();
    let publish = format!("--publish=127.0.0.1:{port}:8080");
    podman.run(&["run", "--detach", "--name=web", &publish, &image]);
    let (status, body) = until("the server answers", || http_get(port, "/"));
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.starts_with("hello from v2 on "), "{body}");
}
