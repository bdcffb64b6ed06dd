//! Requests from the wire: what is accepted becomes the model, what is not names its field (S45).

use mcp_model::Request;
use mcp_model::spec::{MAX_COMPONENTS, MAX_ENTRIES, MAX_VALUE};
use mcp_proto::convert::request::{self, MAX_LISTED, PlanIntent};
use mcp_proto::convert::spec::service_from_wire;
use mcp_proto::{InvalidField, v1};

fn component(name: &str) -> v1::ComponentSpec {
    v1::ComponentSpec {
        name: name.into(),
        image: "localhost/a:1".into(),
        ..Default::default()
    }
}

fn service(name: &str, components: &[&str]) -> v1::ServiceSpec {
    v1::ServiceSpec {
        name: name.into(),
        active: true,
        components: components.iter().map(|name| component(name)).collect(),
    }
}

fn deploy_request() -> v1::DeployRequest {
    v1::DeployRequest {
        service: Some(service("web", &["api", "db"])),
        operation_id: "op01".into(),
        ..Default::default()
    }
}

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

#[test]
fn a_request_that_changes_containers_needs_an_operation_and_a_target() {
    use v1::{RestartServiceRequest, StartServiceRequest, StopServiceRequest, UndeployRequest};
    let good = deploy_request();
    let cases: Vec<(Result<request::Asked, InvalidField>, &str)> = vec![
        (
            request::deploy(v1::DeployRequest {
                operation_id: String::new(),
                ..good.clone()
            }),
            "operation_id",
        ),
        (
            request::deploy(v1::DeployRequest {
                operation_id: "-rf".into(),
                ..good.clone()
            }),
            "operation_id",
        ),
        (
            request::deploy(v1::DeployRequest {
                service: None,
                ..good.clone()
            }),
            "service",
        ),
        (
            request::deploy(v1::DeployRequest {
                component: "cache".into(),
                ..good.clone()
            }),
            "component",
        ),
        (
            request::deploy(v1::DeployRequest {
                component: "A".into(),
                ..good.clone()
            }),
            "component",
        ),
        (
            request::deploy(v1::DeployRequest {
                message: "x".repeat(1025),
                ..good
            }),
            "message",
        ),
        (request::stop(StopServiceRequest::default()), "name"),
        (
            request::stop(StopServiceRequest {
                name: "web".into(),
                ..Default::default()
            }),
            "operation_id",
        ),
        (request::start(StartServiceRequest::default()), "name"),
        (
            request::start(StartServiceRequest {
                name: "web".into(),
                ..Default::default()
            }),
            "operation_id",
        ),
        (request::restart(RestartServiceRequest::default()), "name"),
        (
            request::restart(RestartServiceRequest {
                name: "web".into(),
                ..Default::default()
            }),
            "operation_id",
        ),
        (request::undeploy(UndeployRequest::default()), "service"),
        (
            request::undeploy(UndeployRequest {
                service: "web".into(),
                ..Default::default()
            }),
            "operation_id",
        ),
        (
            request::undeploy(UndeployRequest {
                service: "web".into(),
                component: "-".into(),
                ..Default::default()
            }),
            "component",
        ),
    ];
    for (index, (outcome, field)) in cases.into_iter().enumerate() {
        assert_eq!(outcome.unwrap_err().field, field, "case {index}");
    }
}

#[test]
fn each_call_becomes_its_own_request() {
    let (name, operation_id, message) = ("web".to_owned(), "op01".to_owned(), "why".to_owned());
    let asked = request::stop(v1::StopServiceRequest {
        name: name.clone(),
        operation_id: operation_id.clone(),
        message: message.clone(),
    })
    .unwrap();
    assert_eq!(asked.request, Request::Stop("web".parse().unwrap()));
    assert_eq!((asked.id.as_str(), asked.message.as_str()), ("op01", "why"));

    let (n, o, m) = (name.clone(), operation_id.clone(), message.clone());
    let start = v1::StartServiceRequest {
        name: n,
        operation_id: o,
        message: m,
    };
    assert_eq!(
        request::start(start).unwrap().request,
        Request::Start("web".parse().unwrap())
    );
    let (n, o, m) = (name.clone(), operation_id.clone(), message.clone());
    let restart = v1::RestartServiceRequest {
        name: n,
        operation_id: o,
        message: m,
    };
    assert_eq!(
        request::restart(restart).unwrap().request,
        Request::Restart("web".parse().unwrap())
    );

    for (component, only) in [("", None), ("db", Some("db".parse().unwrap()))] {
        let wire = v1::UndeployRequest {
            service: name.clone(),
            component: component.into(),
            operation_id: operation_id.clone(),
            message: String::new(),
        };
        let service = "web".parse().unwrap();
        let expected = Request::Undeploy {
            service,
            only: only.clone(),
        };
        assert_eq!(request::undeploy(wire).unwrap().request, expected);

        let wire = v1::DeployRequest {
            component: component.into(),
            ..deploy_request()
        };
        let Request::Deploy {
            service,
            only: found,
        } = request::deploy(wire).unwrap().request
        else {
            panic!("not a deploy");
        };
        assert_eq!(found, only);
        assert_eq!(
            service.components.len(),
            2,
            "the spec is recorded as a whole"
        );
    }
}

#[test]
fn a_sync_is_refused_as_a_whole_where_two_services_collide() {
    let sync = |services: Vec<v1::ServiceSpec>| {
        request::sync(v1::SyncDesiredStateRequest {
            services,
            message: String::new(),
            force: false,
        })
    };
    let error = sync(vec![service("a", &["x"]), service("a", &["y"])]).unwrap_err();
    assert_eq!(error.field, "services[1].name");

    // Both containers would be called a-b-c.
    let error = sync(vec![service("a", &["b-c"]), service("a-b", &["c"])]).unwrap_err();
    assert_eq!(error.field, "services");
    assert!(
        error.why.contains("a/b-c") && error.why.contains("a-b/c"),
        "{error}"
    );

    let fine = sync(vec![service("b", &["c"]), service("a", &["b", "c"])]).unwrap();
    let names: Vec<&str> = fine.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["b", "a"], "in the order of the request");
    assert!(
        sync(Vec::new()).unwrap().services.is_empty(),
        "a node may have no services"
    );
}

#[test]
fn a_listing_has_a_limit_whatever_is_asked() {
    for (asked, events, operations) in [(0, 100, 20), (7, 7, 7), (u32::MAX, MAX_LISTED, MAX_LISTED)]
    {
        let wire = v1::ListEventsRequest {
            limit: asked,
            ..Default::default()
        };
        assert_eq!(request::events(&wire).unwrap().limit, events);
        let wire = v1::ListOperationsRequest {
            limit: asked,
            ..Default::default()
        };
        assert_eq!(request::operations(&wire).unwrap().limit, operations);
    }
    let orphan = v1::ListEventsRequest {
        component: "a".into(),
        ..Default::default()
    };
    assert_eq!(request::events(&orphan).unwrap_err().field, "component");
    let bad = v1::ListEventsRequest {
        since: Some(prost_types::Timestamp {
            seconds: 0,
            nanos: -1,
        }),
        ..Default::default()
    };
    assert_eq!(request::events(&bad).unwrap_err().field, "since");
}

#[test]
fn a_preview_needs_no_operation_but_the_same_good_spec() {
    use v1::plan_request::Intent;
    let plan = |intent| request::plan(v1::PlanRequest { intent });
    assert_eq!(plan(None).unwrap_err().field, "intent");

    let mut wire = deploy_request();
    wire.operation_id.clear();
    wire.component = "db".into();
    let PlanIntent::Deploy {
        service: found,
        only,
    } = plan(Some(Intent::Deploy(wire.clone()))).unwrap()
    else {
        panic!("not a deploy");
    };
    assert_eq!(
        (found.name.as_str(), only),
        ("web", Some("db".parse().unwrap()))
    );
    wire.component = "cache".into();
    let error = plan(Some(Intent::Deploy(wire))).unwrap_err();
    assert_eq!(error.field, "deploy.component");

    let sync = |name| v1::SyncDesiredStateRequest {
        services: vec![service(name, &["a"])],
        message: String::new(),
        force: false,
    };
    let good = plan(Some(Intent::Sync(sync("web"))));
    assert!(matches!(good, Ok(PlanIntent::Sync(intent)) if intent.services.len() == 1));
    let error = plan(Some(Intent::Sync(sync("Web")))).unwrap_err();
    assert_eq!(error.field, "sync.services[0].name");
}
