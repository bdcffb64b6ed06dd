//! A service on the wire: what spoils it is named by its place.

use mcp_model::spec::{MAX_COMPONENTS, MAX_ENTRIES, MAX_VALUE};
use mcp_proto::convert::request;
use mcp_proto::convert::spec::service_from_wire;
use mcp_proto::{InvalidField, v1};

use crate::{component, deploy_request, service};

fn span(seconds: i64, nanos: i32) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos }
}

/// One change of a good component, the field that it spoils, and a word of the complaint.
type Spoiled = (fn(&mut v1::ComponentSpec), &'static str, &'static str);

const SPOILED: &[Spoiled] = &[
    (|c| c.name.clear(), "name", "set"),
    (|c| c.name = "-x".into(), "name", "component name"),
    (|c| c.image.clear(), "image", "set"),
    (
        |c| c.image = "--privileged".into(),
        "image",
        "image reference",
    ),
    (|c| c.network = "--net".into(), "network", "begins with '-'"),
    (|c| c.user = "a b".into(), "user", "uid"),
    (|c| c.restart = "never".into(), "restart", "unless-stopped"),
    (
        |c| c.ports = vec!["80:80".into(), "x".into()],
        "ports[1]",
        "host:container",
    ),
    (|c| c.ports = vec![String::new()], "ports[0]", "set"),
    (
        |c| c.ports = vec!["1:1".into(); MAX_ENTRIES + 1],
        "ports",
        "1025 entries",
    ),
    (
        |c| c.volumes = vec!["/a:/b:suid".into()],
        "volumes[0]",
        "options",
    ),
    (
        |c| c.volumes = vec!["/a:/b".into(); MAX_ENTRIES + 1],
        "volumes",
        "1025",
    ),
    (|c| c.cmd = vec!["ok".into(), "a\0".into()], "cmd[1]", "NUL"),
    (
        |c| c.cmd = vec!["x".repeat(MAX_VALUE + 1)],
        "cmd[0]",
        "32769 bytes",
    ),
    (
        |c| c.cmd = vec![String::new(); MAX_ENTRIES + 1],
        "cmd",
        "1025",
    ),
    (|c| c.env = vec!["A".into()], "env[0]", "KEY=value"),
    (
        |c| c.env = vec!["A=1".into(), "1A=b".into()],
        "env[1]",
        "letters, digits",
    ),
    (|c| c.env = vec!["A=\0".into()], "env[0]", "NUL"),
    (
        |c| c.env = vec!["A=1".into(), "A=2".into()],
        "env[1]",
        "set twice",
    ),
    (
        |c| c.env = vec!["A=1".into(); MAX_ENTRIES + 1],
        "env",
        "1025",
    ),
    (
        |c| c.stop_timeout = Some(span(-1, 0)),
        "stop_timeout",
        "negative",
    ),
    (
        |c| c.stop_timeout = Some(span(0, -1)),
        "stop_timeout",
        "negative",
    ),
    (
        |c| c.stop_timeout = Some(span(0, 1_000_000_000)),
        "stop_timeout",
        "nanos",
    ),
    (
        |c| c.pull_timeout = Some(span(86_400, 1)),
        "pull_timeout",
        "24 hours",
    ),
    (
        |c| c.pull_timeout = Some(span(i64::MAX, 0)),
        "pull_timeout",
        "24 hours",
    ),
    (
        |c| c.routes = vec![v1::RouteSpec::default()],
        "routes",
        "not support",
    ),
];

#[test]
fn a_spoiled_field_is_named_by_its_whole_path() {
    for (spoil, field, word) in SPOILED {
        let mut wire = deploy_request();
        spoil(&mut wire.service.as_mut().unwrap().components[1]);
        let error = request::deploy(wire).unwrap_err();
        assert_eq!(
            error.field,
            format!("service.components[1].{field}"),
            "{error}"
        );
        assert!(error.why.contains(word), "{error}");

        let mut spoiled = service("web", &["api"]);
        spoil(&mut spoiled.components[0]);
        let services = vec![service("a", &["b"]), spoiled];
        let wire = v1::SyncDesiredStateRequest {
            services,
            message: String::new(),
            force: false,
        };
        let error = request::sync(wire).unwrap_err();
        assert_eq!(error.field, format!("services[1].components[0].{field}"));
    }
}

#[test]
fn a_refusal_is_an_invalid_argument_that_begins_with_the_field() {
    let status: tonic::Status = InvalidField::new("ports[0]", "no").within("spec").into();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(status.message(), "spec.ports[0]: no");
}

#[test]
fn a_refusal_never_repeats_what_may_be_a_secret() {
    let canary = "hunter2-hunter2";
    for entry in [
        canary.to_owned(),
        format!("{canary}="),
        format!("K={canary}\0"),
        format!("K={}", canary.repeat(9000)),
    ] {
        let mut wire = component("a");
        wire.env = vec![entry.clone()];
        wire.cmd = vec!["fine".into()];
        let mut of_cmd = component("a");
        of_cmd.cmd = vec![format!("{entry}\0")];
        for wire in [wire, of_cmd] {
            let error = mcp_proto::convert::spec::component_from_wire(wire).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}

#[test]
fn a_service_must_make_sense_as_a_whole() {
    let refuse = |wire: v1::ServiceSpec, field: &str, word: &str| {
        let error = service_from_wire(wire).unwrap_err();
        assert_eq!(error.field, field, "{error}");
        assert!(error.why.contains(word), "{error}");
    };
    refuse(service("", &["a"]), "name", "set");
    refuse(service("a/b", &["a"]), "name", "service name");
    refuse(service("web", &[]), "components", "no components");
    refuse(
        service("web", &["a", "b", "a"]),
        "components[2].name",
        "twice",
    );
    refuse(
        service("web", &["a"; MAX_COMPONENTS + 1]),
        "components",
        "257",
    );
}
