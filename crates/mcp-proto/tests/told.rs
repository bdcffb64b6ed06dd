//! What the agent tells: nothing that was not seen, nothing that has gone.

use std::time::Duration;

use mcp_model::{
    AlertKind, BootId, ComponentRecord, ComponentSpec, Condition, Container, DesiredState, Drift,
    DriftKind, Event, Exit, Incident, IncidentId, Instance, Labels, Moment, Observed,
    ObservedState, Operation, OperationKind, OperationState, Phase, RuntimeState, Scope,
    ServiceRecord, Stamp, Step, StepState,
};
use mcp_proto::convert::info::{
    Live, component_info, component_result, drift_info, event_info, foreign_container,
    incident_info, operation_info, service_info,
};
use mcp_proto::convert::time::stamp_to_wire;

fn moment(millis: i64) -> Moment {
    Moment {
        wall: Stamp::from_millis(millis),
        boot: Duration::ZERO,
        boot_id: BootId(1),
    }
}

fn spec(image: &str) -> ComponentSpec {
    ComponentSpec::of_image(image.parse().unwrap())
}

fn instance(id: char, started: i64) -> Instance {
    Instance {
        id: id.to_string().repeat(64).parse().unwrap(),
        pid: Some(7),
        started_at: Some(Stamp::from_millis(started)),
        restart_count: None,
    }
}

fn record() -> ComponentRecord {
    ComponentRecord {
        key: "web/api".parse().unwrap(),
        desired: DesiredState::Running,
        spec: spec("localhost/api:v2"),
        revision: 3,
        generation: 5,
        intent_at: moment(500),
        intent_by: String::new(),
        orphaned: true,
        container: Some(instance('a', 0).id),
        stopped: None,
        made_from: None,
        deployed: Some((2, spec("localhost/api:v1"))),
        observed: ObservedState::Running,
        instance: Some(instance('a', 1000)),
        observed_since: Some(moment(2000)),
        exit_code: Some(137),
        version: "v1".into(),
    }
}

fn present(state: ObservedState, exit: Option<i32>, condition: Option<Condition>) -> Observed {
    let container = Container {
        instance: instance('b', 9000),
        name: "web-api".into(),
        state: RuntimeState::Running,
        exit: exit.map(|code| Exit {
            code,
            out_of_memory: false,
        }),
        finished_at: None,
        image: "localhost/api:v1".into(),
        memory_limit: None,
        labels: Labels::default(),
    };
    Observed::Present {
        state,
        condition,
        container: Box::new(container),
    }
}

#[test]
fn a_record_alone_is_told_as_it_was_stored() {
    let info = component_info(&record(), None);
    assert_eq!(
        (info.name.as_str(), info.image.as_str()),
        ("api", "localhost/api:v2")
    );
    assert_eq!(
        (info.desired_state.as_str(), info.observed_state.as_str()),
        ("running", "running")
    );
    assert_eq!(info.version, "v1", "of what runs, not of what is wanted");
    assert_eq!(info.spec.unwrap().image, "localhost/api:v2");
    assert_eq!(info.deployed_spec.unwrap().image, "localhost/api:v1");
    assert_eq!(
        (info.revision, info.generation, info.orphaned),
        (3, 5, true)
    );
    assert_eq!(info.started, Some(stamp_to_wire(Stamp::from_millis(1000))));
    assert_eq!(info.since, Some(stamp_to_wire(Stamp::from_millis(2000))));
    assert_eq!(info.container_id, "a".repeat(64));
    assert_eq!(info.exit_code, None, "of an earlier life");
}

#[test]
fn what_was_just_seen_wins_over_what_was_stored() {
    let operation = "op01".parse().unwrap();
    let observed = present(ObservedState::Exited, Some(3), Some(Condition::Restarting));
    let live = Live {
        observed: &observed,
        operation: Some(&operation),
        held_up: Some("not now"),
    };
    let info = component_info(&record(), Some(live));
    assert_eq!(
        (info.observed_state.as_str(), info.detail.as_str()),
        ("exited", "restarting")
    );
    assert_eq!(info.exit_code, Some(3));
    assert_eq!(info.container_id, "b".repeat(64));
    assert_eq!(info.started, Some(stamp_to_wire(Stamp::from_millis(9000))));
    assert_eq!(info.since, None, "the stored time is that of another state");
    assert_eq!(info.operation_id, "op01");
}

#[test]
fn what_was_not_seen_or_is_gone_has_no_age_and_no_exit_code() {
    let unknown = Observed::Unknown {
        why: "podman does not answer".into(),
    };
    for (observed, state, detail) in [
        (unknown, "unknown", "podman does not answer"),
        (Observed::Removed, "removed", ""),
    ] {
        let live = Live {
            observed: &observed,
            operation: None,
            held_up: None,
        };
        let info = component_info(&record(), Some(live));
        assert_eq!(
            (info.observed_state.as_str(), info.detail.as_str()),
            (state, detail)
        );
        assert_eq!(
            (info.started, info.since, info.exit_code),
            (None, None, None),
            "{state}"
        );
        assert_eq!(info.container_id.is_empty(), state == "removed", "{state}");
    }
}

#[test]
fn what_holds_up_an_operation_is_told_of_a_component_that_says_nothing_itself() {
    let operation = "op01".parse().unwrap();
    let live = Live {
        observed: &present(ObservedState::Exited, Some(3), None),
        operation: Some(&operation),
        held_up: Some("address already in use"),
    };
    let info = component_info(&record(), Some(live));
    assert_eq!(info.detail, "address already in use");
}

#[test]
fn a_service_tells_each_component_with_its_own_view() {
    let mut other = record();
    other.key = "web/db".parse().unwrap();
    let service = ServiceRecord {
        name: "web".parse().unwrap(),
        active: true,
        components: vec![record(), other],
    };
    let seen = Observed::Removed;
    let info = service_info(&service, |key| {
        (key.component.as_str() == "db").then_some(Live {
            observed: &seen,
            operation: None,
            held_up: None,
        })
    });
    let states: Vec<_> = info
        .components
        .iter()
        .map(|c| c.observed_state.as_str())
        .collect();
    assert_eq!((info.name.as_str(), info.active), ("web", true));
    assert_eq!(states, ["running", "removed"]);
}

#[test]
fn events_and_drift_carry_their_cause() {
    let event = event_info(&Event {
        id: 42,
        key: "web/api".parse().unwrap(),
        prev: ObservedState::Running,
        new: ObservedState::Exited,
        at: moment(1234),
        exit_code: Some(137),
        cause: "137: killed (SIGKILL)".into(),
        operation: Some("op01".parse().unwrap()),
    });
    assert_eq!(
        (event.service.as_str(), event.component.as_str()),
        ("web", "api")
    );
    assert_eq!(
        (event.prev_state.as_str(), event.new_state.as_str()),
        ("running", "exited")
    );
    assert_eq!(
        event.timestamp,
        Some(stamp_to_wire(Stamp::from_millis(1234)))
    );
    assert_eq!((event.id, event.exit_code), (42, Some(137)));
    assert_eq!(
        (event.cause.as_str(), event.operation_id.as_str()),
        ("137: killed (SIGKILL)", "op01")
    );

    let drift = Drift {
        kind: DriftKind::Spec,
        desired: DesiredState::Running,
        observed: ObservedState::Running,
        cause: "the image differs".into(),
        exit_code: None,
    };
    let incident = IncidentId("i1".into());
    let info = drift_info(
        &"web/api".parse().unwrap(),
        &drift,
        &moment(77),
        Some(&incident),
    );
    assert_eq!(
        (info.service.as_str(), info.component.as_str()),
        ("web", "api")
    );
    assert_eq!(
        (info.desired_state.as_str(), info.observed_state.as_str()),
        ("running", "running")
    );
    assert_eq!(
        (info.kind.as_str(), info.cause.as_str()),
        ("spec", "the image differs")
    );
    assert_eq!(info.since, Some(stamp_to_wire(Stamp::from_millis(77))));
    assert_eq!(info.incident_id, "i1");
}

#[test]
fn a_foreign_container_is_always_ignored() {
    let Observed::Present { container, .. } = present(ObservedState::Running, None, None) else {
        unreachable!()
    };
    let info = foreign_container(&container, ObservedState::Running);
    assert_eq!(
        (info.desired_state.as_str(), info.observed_state.as_str()),
        ("ignore", "running")
    );
    assert_eq!(
        (info.name.as_str(), info.image.as_str()),
        ("web-api", "localhost/api:v1")
    );
    assert_eq!(info.container_id, "b".repeat(64));
    assert_eq!(info.started, Some(stamp_to_wire(Stamp::from_millis(9000))));
}

fn step(component: &str, state: StepState, error: &str) -> Step {
    Step {
        component: component.parse().unwrap(),
        state,
        phase: Some(Phase::SettingAside),
        error: error.into(),
        revision: 3,
        unchanged: true,
    }
}

#[test]
fn only_an_observed_result_or_nothing_to_do_is_success() {
    for (state, success, skipped) in [
        (StepState::Succeeded, true, false),
        (StepState::Skipped, true, true),
        (StepState::Failed, false, false),
        (StepState::Expired, false, false),
        (StepState::Superseded, false, false),
        (StepState::Waiting, false, false),
        (StepState::Running, false, false),
    ] {
        for given in ["", "the given reason"] {
            let info = component_info(&record(), None);
            let result = component_result(&step("api", state, given), Some(&info));
            assert_eq!(result.success, success, "{state}");
            assert_eq!(
                result.error.is_empty(),
                success,
                "{state}: a failure has a reason"
            );
            assert_eq!(!result.skipped.is_empty(), skipped, "{state}");
            if !given.is_empty() && state != StepState::Succeeded {
                assert_eq!(
                    format!("{}{}", result.error, result.skipped),
                    given,
                    "{state}"
                );
            }
            assert_eq!((result.name.as_str(), result.unchanged), ("api", true));
            assert_eq!(result.observed_state, "running");
            assert_eq!(result.container_id, "a".repeat(64));
        }
    }
}

#[test]
fn an_operation_sums_up_what_failed_in_it() {
    let operation = Operation {
        id: "op01".parse().unwrap(),
        kind: OperationKind::Deploy,
        service: "web".parse().unwrap(),
        state: OperationState::Failed,
        caller: "bob".into(),
        message: "why".into(),
        created: Stamp::from_millis(1),
        start_by: Stamp::from_millis(2),
        finished: Some(Stamp::from_millis(3)),
        steps: vec![
            step("api", StepState::Failed, "no such image"),
            step("cache", StepState::Skipped, "desired stopped"),
            step("db", StepState::Failed, "port 80 is taken"),
        ],
    };
    let info = operation_info(&operation);
    assert_eq!(info.error, "api: no such image; db: port 80 is taken");
    assert_eq!(
        (info.id.as_str(), info.kind.as_str(), info.state.as_str()),
        ("op01", "deploy", "failed")
    );
    assert_eq!(
        (
            info.service.as_str(),
            info.caller.as_str(),
            info.message.as_str()
        ),
        ("web", "bob", "why")
    );
    let times = [info.created, info.start_by, info.finished];
    assert_eq!(
        times,
        [1, 2, 3].map(|ms| Some(stamp_to_wire(Stamp::from_millis(ms))))
    );
    let step = &info.steps[1];
    assert_eq!(
        (step.component.as_str(), step.state.as_str()),
        ("cache", "skipped")
    );
    assert_eq!(
        (step.phase.as_str(), step.error.as_str(), step.revision),
        ("setting-aside", "desired stopped", 3)
    );
}

#[test]
fn a_token_on_its_way_to_the_operator_shows_in_no_debug_text() {
    let response = mcp_proto::v1::IssueTokenResponse {
        token: "mcp_canary".into(),
        info: None,
    };
    let text = format!("{response:?} {:?}", tonic::Response::new(response.clone()));
    assert!(
        text.contains("IssueTokenResponse") && !text.contains("canary"),
        "{text}"
    );
}

#[test]
fn an_incident_of_the_node_names_no_component_and_no_states() {
    let mut incident = Incident {
        id: IncidentId("i-1".to_owned()),
        scope: "web/api".parse::<mcp_model::ComponentKey>().unwrap().into(),
        kind: AlertKind::Drift,
        opened: moment(500),
        told: None,
        cause: "137: killed (SIGKILL)".to_owned(),
        desired: DesiredState::Running,
        observed: ObservedState::Exited,
        covered_by: None,
    };
    let told = incident_info(&incident, Some(Stamp::from_millis(900)));
    assert_eq!(
        (told.service.as_str(), told.component.as_str()),
        ("web", "api")
    );
    assert_eq!(
        (told.desired.as_str(), told.observed.as_str()),
        ("running", "exited")
    );
    assert_eq!(told.opened, Some(stamp_to_wire(Stamp::from_millis(500))));
    assert_eq!(told.closed, Some(stamp_to_wire(Stamp::from_millis(900))));
    (incident.scope, incident.kind) = (Scope::Node, AlertKind::Outage);
    let told = incident_info(&incident, None);
    for empty in [told.service, told.component, told.desired, told.observed] {
        assert_eq!(empty, "");
    }
    assert_eq!((told.kind.as_str(), told.closed), ("outage", None));
}
