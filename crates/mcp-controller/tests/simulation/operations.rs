//! Operations, from ticket to settled (S4, S12–S19, S28).

use std::time::Duration;

use mcp_controller::port::Clock;
use mcp_model::{ObservedState, OperationState, Request, StepState};
use mcp_runtime::fake::{Behaviour, Fault};
use mcp_runtime::{Call, ContainerRuntime, RuntimeError};

use crate::world::{Sim, pass, seconds, service};

use ObservedState::{Running, Stopped, Unknown};

pub(crate) fn calls(sim: &Sim) -> Vec<Call> {
    sim.fake.mutations().iter().map(|call| call.call).collect()
}

#[tokio::test(start_paused = true)]
async fn a_first_deploy_pulls_runs_and_ends_when_it_was_seen_running() {
    let mut sim = Sim::new();
    let operation = sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    assert_eq!(operation.state, OperationState::Succeeded);
    assert_eq!(calls(&sim), [Call::Pull, Call::Run]);
    sim.until_state("shop/web", ObservedState::Running).await;
    let status = sim.status("shop/web");
    assert_eq!(status.record.version, "v1");
    assert_eq!(status.record.deployed.as_ref().unwrap().0, 1);
    assert!(status.drift.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deploy_with_nothing_there_looks_once_and_only_after_the_start() {
    let mut sim = Sim::new();
    sim.until("a first look", |view| view.observed_at.is_some())
        .await;
    sim.fake.forget_calls();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let calls: Vec<Call> = sim.fake.calls().iter().map(|call| call.call).collect();
    // What follows is the listing that the runtime's own change asked for.
    assert_eq!(calls[..3], [Call::Pull, Call::Run, Call::Inspect]);
}

#[tokio::test(start_paused = true)]
async fn one_component_fails_and_the_others_go_on() {
    let mut sim = Sim::new();
    let wanted = service(
        "shop",
        &[
            ("api", "v1", "no"),
            ("bad", "v9", "no"),
            ("web", "v1", "no"),
        ],
    );
    let operation = sim.deploy(wanted).await;
    let states: Vec<StepState> = operation.steps.iter().map(|step| step.state).collect();
    assert_eq!(
        states,
        [
            StepState::Succeeded,
            StepState::Failed,
            StepState::Succeeded
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_rest_sees_a_death_that_was_hinted_at() {
    let mut sim = Sim::new();
    let dies = Behaviour {
        ends: Some((Duration::from_millis(30), 3)),
        ..Behaviour::default()
    };
    sim.fake
        .add_image_that(&"registry.example/app:v3".parse().unwrap(), dies);
    // It dies while the look that finds it running is under way.
    sim.fake.latency(Call::Inspect, Duration::from_millis(50));
    let operation = sim.deploy(service("shop", &[("web", "v3", "no")])).await;
    assert_eq!(operation.state, OperationState::Succeeded);
    sim.handle
        .rest(vec!["shop/web".parse().unwrap()])
        .await
        .unwrap();
    assert_eq!(
        sim.status("shop/web").observed.state(),
        ObservedState::Exited
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_key_that_never_rests() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.latency(Call::Inspect, Duration::from_millis(25));
    let handle = sim.handle.clone();
    let mut waiting = tokio::task::JoinSet::new();
    sim.fake.kill("shop-web", 1);
    pass(Duration::from_millis(1)).await;
    waiting.spawn(async move { handle.rest(vec!["shop/web".parse().unwrap()]).await });
    let mut flips = 0;
    while waiting.try_join_next().is_none() {
        sim.fake.start_by_hand("shop-web");
        pass(Duration::from_millis(5)).await;
        sim.fake.kill("shop-web", 1);
        pass(Duration::from_millis(5)).await;
        flips += 1;
        assert!(flips < 1000, "still waiting");
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_holder_of_the_name_is_refused_and_left_alone() {
    let mut sim = Sim::new();
    let foreign = sim.fake.add_foreign("shop-web", "somebody/else:1");
    let operation = sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    assert_eq!(operation.state, OperationState::Failed);
    assert!(
        operation.steps[0].error.contains("adopt it or rename it"),
        "{operation:?}"
    );
    assert_eq!(sim.fake.container("shop-web").unwrap().instance.id, foreign);
    assert!(!calls(&sim).contains(&Call::Remove));
}

#[tokio::test(start_paused = true)]
async fn a_name_taken_since_the_last_look_is_seen_before_it_is_refused() {
    let mut sim = Sim::new();
    sim.until("a first look", |view| view.observed_at.is_some())
        .await;
    sim.fake.hint_policy(mcp_runtime::fake::HintPolicy {
        copies: 0,
        delay: Duration::ZERO,
    });
    let foreign = sim.fake.add_foreign("shop-web", "somebody/else:1");
    let operation = sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    assert!(
        operation.steps[0].error.contains("adopt it or rename it"),
        "{operation:?}"
    );
    assert_eq!(sim.fake.container("shop-web").unwrap().instance.id, foreign);
}

#[tokio::test(start_paused = true)]
async fn a_phantom_is_cleared() {
    let mut sim = Sim::new();
    sim.fake.add_phantom("shop-web");
    let operation = sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    assert_eq!(operation.state, OperationState::Succeeded, "{operation:?}");
    assert!(!sim.fake.is_phantom("shop-web").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn stop_start_and_restart_do_what_they_say_and_open_no_drift() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "unless-stopped")]))
        .await;
    let first = sim.fake.container("shop-web").unwrap().instance;
    let restart = sim.ask(Request::Restart("shop".parse().unwrap())).await;
    assert_eq!(sim.settled(&restart).await.state, OperationState::Succeeded);
    let second = sim.fake.container("shop-web").unwrap().instance;
    assert_eq!(second.id, first.id);
    assert!(!second.is_same_life(&first));

    let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    assert_eq!(sim.settled(&stop).await.state, OperationState::Succeeded);
    sim.until_state("shop/web", ObservedState::Stopped).await;

    let start = sim.ask(Request::Start("shop".parse().unwrap())).await;
    assert_eq!(sim.settled(&start).await.state, OperationState::Succeeded);
    sim.until_state("shop/web", ObservedState::Running).await;
    assert_eq!(
        sim.fake.container("shop-web").unwrap().instance.id,
        first.id,
        "revived, not remade"
    );

    seconds(3600).await;
    assert_eq!(sim.told(), [], "operations are no drift and no flapping");
    assert_eq!(
        sim.events(),
        [
            (Unknown, Running),
            (Running, ObservedState::Exited),
            (ObservedState::Exited, Running),
            (Running, Stopped),
            (Stopped, Running),
        ],
        "a stop that was meant is never seen as a death"
    );
    assert_eq!(
        sim.status("shop/web").record.revision,
        1,
        "stop and start are not specs"
    );
}

#[tokio::test(start_paused = true)]
async fn start_makes_a_missing_container_from_what_was_deployed_last() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.sync(vec![service("shop", &[("web", "v2", "no")])])
        .await;
    sim.fake.remove_by_hand("shop-web");
    sim.until_state("shop/web", ObservedState::Removed).await;
    let start = sim.ask(Request::Start("shop".parse().unwrap())).await;
    assert_eq!(sim.settled(&start).await.state, OperationState::Succeeded);
    assert!(
        sim.fake
            .container("shop-web")
            .unwrap()
            .image
            .ends_with(":v1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_operation_on_a_key_waits_for_its_turn() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.next(Call::Stop, 1, &Fault::Hang);
    let first = sim.ask(Request::Restart("shop".parse().unwrap())).await;
    while sim.operation(&first).state != OperationState::Running {
        pass(Duration::from_millis(1)).await;
    }
    let second = sim.ask(Request::Restart("shop".parse().unwrap())).await;
    seconds(5).await;
    assert_eq!(sim.operation(&second).state, OperationState::Accepted);
    sim.fake.release();
    assert_eq!(sim.settled(&first).await.state, OperationState::Succeeded);
    assert_eq!(sim.settled(&second).await.state, OperationState::Succeeded);
    let stops = sim
        .fake
        .mutations()
        .iter()
        .filter(|call| call.call == Call::Stop)
        .count();
    assert_eq!(stops, 2, "each restarted once");
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_was_not_begun_in_time_expires() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.stop_agent().await;
    let late = sim.ask(Request::Restart("shop".parse().unwrap())).await;
    seconds(601).await;
    sim.fake.forget_calls();
    sim.restart_agent().await;
    assert_eq!(sim.settled(&late).await.state, OperationState::Expired);
    assert_eq!(calls(&sim), []);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_times_out_is_followed_by_a_look() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let timed_out = RuntimeError::TimedOut {
        call: Call::Stop,
        object: "shop-web".into(),
        after: Duration::from_secs(40),
    };
    sim.fake.next(Call::Stop, 1, &Fault::DoThenFail(timed_out));
    let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    assert_eq!(sim.settled(&stop).await.state, OperationState::Succeeded);
    let stops = calls(&sim)
        .iter()
        .filter(|call| **call == Call::Stop)
        .count();
    assert_eq!(stops, 1, "what was done is not done again");
}

#[tokio::test(start_paused = true)]
async fn undeploy_removes_the_container_and_then_the_record() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let undeploy = Request::Undeploy {
        service: "shop".parse().unwrap(),
        only: None,
    };
    let operation = sim.ask(undeploy).await;
    assert_eq!(
        sim.settled(&operation).await.state,
        OperationState::Succeeded
    );
    assert!(sim.fake.containers().is_empty());
    sim.until("the record is gone", |view| view.components.is_empty())
        .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_stopped_on_purpose_is_restarted() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    sim.settled(&stop).await;
    assert!(
        sim.try_ask(Request::Restart("shop".parse().unwrap()))
            .await
            .is_err()
    );
    assert_eq!(sim.clock.now().boot_id, mcp_model::BootId(1));
}

#[tokio::test(start_paused = true)]
async fn newer_intent_while_an_operation_still_looks_is_no_failure_and_hides_nothing() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.until_state("shop/web", Running).await;
    sim.fake.latency(Call::Inspect, Duration::from_secs(1));
    sim.fake.latency(Call::Stop, Duration::from_secs(30));
    sim.fake.forget_calls();
    let restart = sim.ask(Request::Restart("shop".parse().unwrap())).await;
    pass(Duration::from_millis(500)).await;
    assert_eq!(sim.operation(&restart).steps[0].state, StepState::Waiting);
    let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    for _ in 0..100 {
        pass(Duration::from_millis(100)).await;
        assert_ne!(sim.status("shop/web").observed.state(), Unknown);
    }
    assert_eq!(calls(&sim), [Call::Stop], "the stop alone does something");
    assert_eq!(sim.settled(&stop).await.state, OperationState::Succeeded);
    let restart = sim.operation(&restart);
    assert_eq!(restart.state, OperationState::Superseded);
}
