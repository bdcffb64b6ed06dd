//! Requests from the wire: what is accepted becomes the model, what is not names its field (S45).

mod specs;

use mcp_model::Request;
use mcp_proto::convert::request::{self, MAX_LISTED, PlanIntent};
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
