//! Images come from a real registry, by the name that the definition says.

use mcp_e2e::{
    Agent, AgentOptions, Component, ImageRegistry, Workstation, definition, free_port, http_get,
    until,
};

#[test]
fn an_image_is_pulled_and_its_tag_is_the_version() {
    let registry = ImageRegistry::new();
    let agent = Agent::running("rift", AgentOptions::default());
    agent.podman().trust(registry.address());
    let image = registry.push(agent.podman(), "localhost/hello:v2", "team/hello:v2");
    agent.podman().run(&["rmi", "localhost/hello:v2"]);

    let workstation = Workstation::of(&[&agent]);
    let port = free_port();
    let web = Component::new("web", &image).port(port);
    workstation.define("hello", &definition("hello", "rift", &[web]));
    workstation.mcp(&["deploy", "hello"]).ok();

    let (_, body) = until("it answers", || http_get(port, "/"));
    assert!(body.starts_with("hello from v2 on "), "{body}");
    let row = agent.rows("SELECT image, version, observed_state FROM components");
    assert_eq!(row, [format!("{image}|v2|running")]);
}

#[test]
fn a_missing_image_fails_its_component_alone_and_its_old_container_stays() {
    let registry = ImageRegistry::new();
    let agent = Agent::running("rift", AgentOptions::default());
    agent.podman().trust(registry.address());
    let image = registry.push(agent.podman(), "localhost/hello:v1", "hello:v1");

    let workstation = Workstation::of(&[&agent]);
    let components = |image: &str| {
        [
            Component::new("web", image),
            Component::new("worker", "localhost/hello:v1"),
        ]
    };
    workstation.define("hello", &definition("hello", "rift", &components(&image)));
    workstation.mcp(&["deploy", "hello"]).ok();
    let id = |name: &str| agent.podman().inspect(name).expect("it is there")["Id"].clone();
    let (web, worker) = (id("hello-web"), id("hello-worker"));

    let missing = format!("{}/hello:v9", registry.address());
    workstation.define("hello", &definition("hello", "rift", &components(&missing)));
    let reply = workstation.mcp(&["deploy", "hello"]);
    assert_eq!(reply.code, Some(1), "{reply:?}");
    assert!(
        reply.stderr.contains("manifest unknown"),
        "not podman's reason: {}",
        reply.stderr
    );

    assert_eq!(
        id("hello-web"),
        web,
        "the old container went before the new image came"
    );
    assert_eq!(
        agent.podman().status("hello-web").as_deref(),
        Some("running")
    );
    assert_ne!(
        id("hello-worker"),
        worker,
        "the other component was not deployed"
    );
    assert_eq!(agent.podman().names(), ["hello-web", "hello-worker"]);
}
