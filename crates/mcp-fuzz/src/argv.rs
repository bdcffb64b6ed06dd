//! Requests as podman's command lines: whatever a request says, podman understands the flags that
//! MCP means, with those values, and no other.

use std::path::PathBuf;

use mcp_model::{ComponentKey, ComponentName, ComponentSpec, ContainerId};
use mcp_proto::convert::spec::component_from_wire;
use mcp_proto::v1;
use mcp_runtime::{MountPolicy, PodmanArgs, RunRequest};
use prost::Message;

use crate::flags::{Understood, understand};

/// Any bytes as a component's spec on the wire, and as a name that somebody else chose.
pub(crate) fn check(data: &[u8]) {
    check_names(&String::from_utf8_lossy(data).replace('\0', ""));
    if let Ok(wire) = v1::ComponentSpec::decode(data)
        && let Ok((name, spec)) = component_from_wire(wire)
    {
        check_run(name, spec, data.len().is_multiple_of(2));
    }
}

fn id() -> ContainerId {
    "0123456789abcdef".repeat(4).parse().expect("64 hex digits")
}

fn flag<T: ToString + ?Sized>(name: &str, value: &T) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// A name of any shape, as foreign containers have them, stays a word or a flag's value.
fn check_names(name: &str) {
    let podman = PodmanArgs::default();
    let id = id();
    for (command, words) in [
        (podman.inspect_name(name), vec![name.to_owned()]),
        (
            podman.rename(&id, name),
            vec![id.to_string(), name.to_owned()],
        ),
    ] {
        let expected = Understood {
            flags: Vec::new(),
            words,
        };
        assert_eq!(understand(&command.args), expected);
    }
    let found = understand(&podman.list_name(name).args);
    assert_eq!(found.words, Vec::<String>::new());
    let names: Vec<_> = found.flags.iter().map(|flag| flag.0.as_str()).collect();
    assert_eq!(names, ["all", "external", "no-trunc", "format", "filter"]);
    assert!(found.flags[4].1.starts_with("name=^") && found.flags[4].1.ends_with('$'));
}

fn check_run(component: ComponentName, spec: ComponentSpec, replace_phantom: bool) {
    let policy = MountPolicy {
        prefixes: vec![PathBuf::from("/")],
        denied: Vec::new(),
        denied_beginnings: Vec::new(),
    };
    // What cannot be resolved or is a socket is refused here, and then there is no command.
    let Ok(mounts) = policy.permit(&spec.volumes) else {
        return;
    };
    let request = RunRequest {
        key: ComponentKey {
            service: "metacrypt".parse().expect("a name"),
            component,
        },
        spec,
        revision: 7,
        operation: "op1234".parse().expect("an id"),
        replace_phantom,
    };
    let podman = PodmanArgs::default();
    let run = podman.run(&request, "agent-1", &mounts);
    assert_eq!(understand(&run.args), meant(&request));
    let image = request.spec.image.to_string();
    let pull = understand(&podman.pull(&request.spec.image).args);
    assert_eq!(pull.flags, [flag("quiet", &true)]);
    assert_eq!(pull.words, [image]);
}

/// What podman is to understand of a request, by the flag table of the specification.
fn meant(request: &RunRequest) -> Understood {
    let spec = request.spec.effective();
    let label =
        |name: &str, value: &dyn ToString| flag("label", &format!("{name}={}", value.to_string()));
    let mut flags = vec![
        flag("detach", &true),
        flag("name", &request.key.container_name()),
        label("mcp.agent", &"agent-1"),
        label("mcp.service", &request.key.service),
        label("mcp.component", &request.key.component),
        label("mcp.revision", &7),
        label("mcp.operation", &"op1234"),
        flag("network", spec.network),
    ];
    if !spec.user.is_empty() {
        flags.push(flag("user", spec.user));
    }
    flags.push(flag("restart", &spec.restart));
    flags.extend(spec.ports.iter().map(|port| flag("publish", port)));
    flags.extend(spec.volumes.iter().map(|volume| flag("volume", volume)));
    let env = spec.env.iter();
    flags.extend(env.map(|(name, value)| flag("env", &format!("{name}={value}"))));
    let grace = request.spec.stop_timeout();
    let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    flags.extend([flag("stop-timeout", &seconds), flag("pull", "never")]);
    if request.replace_phantom {
        flags.push(flag("replace", &true));
    }
    let mut words = vec![spec.image.to_string()];
    words.extend(spec.cmd.iter().cloned());
    Understood { flags, words }
}
