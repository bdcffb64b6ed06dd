//! What a step finds that is resumed: lives that it began, and lives that others began (S14).

use std::time::Duration;

use mcp_model::{Instance, OperationId, OperationState, Request, StepState};
use mcp_runtime::Call;
use mcp_runtime::fake::Behaviour;

use crate::operations::calls;
use crate::world::{Sim, many, pass, seconds, service};

fn deploy(version: &str) -> Request {
    Request::Deploy {
        service: service("shop", &[("web", version, "no")]),
        only: None,
    }
}

/// What is done to `shop/web`, which runs at v1; v3 dies at once.
#[derive(Debug, Clone, Copy)]
enum Scenario {
    FirstDeploy,
    Replacement,
    WayBack,
    Restart,
    Start,
}

impl Scenario {
    fn request(self) -> Request {
        match self {
            Self::FirstDeploy => deploy("v1"),
            Self::Replacement => deploy("v2"),
            Self::WayBack => deploy("v3"),
            Self::Restart => Request::Restart("shop".parse().unwrap()),
            Self::Start => Request::Start("shop".parse().unwrap()),
        }
    }

    async fn stage(self) -> Sim {
        let mut sim = Sim::new();
        let dies = Behaviour {
            ends: Some((Duration::ZERO, 3)),
            ..Behaviour::default()
        };
        sim.fake
            .add_image_that(&"registry.example/app:v3".parse().unwrap(), dies);
        if !matches!(self, Self::FirstDeploy) {
            sim.deploy(service("shop", &[("web", "v1", "no")])).await;
        }
        if matches!(self, Self::Start) {
            let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
            sim.settled(&stop).await;
        }
        // What is told apart by whole seconds is.
        seconds(2).await;
        sim.fake.latency(Call::Stop, Duration::from_millis(10));
        sim.fake.latency(Call::Inspect, Duration::from_millis(100));
        sim
    }

    /// Kills the agent as soon as the life runs that the step is to end with.
    async fn killed_once_it_runs(self) -> (Sim, OperationId) {
        let mut sim = self.stage().await;
        let old = sim.fake.container("shop-web").map(|c| c.instance);
        let id = sim.ask(self.request()).await;
        let is_back = |now: &Instance| Some(&now.id) == old.as_ref().map(|old| &old.id);
        let runs = |now: &Instance| {
            let newer = old.as_ref().is_none_or(|old| !old.is_same_life(now));
            now.pid.is_some() && newer && (!matches!(self, Self::WayBack) || is_back(now))
        };
        let instance = |sim: &Sim| sim.fake.container("shop-web").map(|c| c.instance);
        while !instance(&sim).is_some_and(|now| runs(&now)) {
            pass(Duration::from_millis(1)).await;
        }
        sim.kill_agent().await;
        assert!(!sim.operation(&id).state.is_settled(), "{self:?}");
        sim.fake.forget_calls();
        (sim, id)
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_that_a_step_began_and_that_has_ended_is_not_begun_again() {
    let put_back = [Call::Stop, Call::Remove, Call::Rename, Call::Start];
    let cases: [(_, &[Call]); 5] = [
        (Scenario::FirstDeploy, &[]),
        (Scenario::Replacement, &put_back),
        (Scenario::WayBack, &[]),
        (Scenario::Restart, &[]),
        (Scenario::Start, &[]),
    ];
    for (scenario, expected) in cases {
        let (mut sim, id) = scenario.killed_once_it_runs().await;
        sim.fake.crash("shop-web", 3, false);
        sim.start_agent();
        let operation = sim.settled(&id).await;
        assert_eq!(operation.state, OperationState::Failed, "{scenario:?}");
        let why = &operation.steps[0].error;
        assert!(
            why.contains("3: ended with an error"),
            "{scenario:?}: {why}"
        );
        assert_eq!(calls(&sim), expected, "{scenario:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_that_a_reboot_has_ended_is_begun_again() {
    for scenario in [Scenario::FirstDeploy, Scenario::Restart, Scenario::Start] {
        let (mut sim, id) = scenario.killed_once_it_runs().await;
        sim.fake.crash("shop-web", 255, false);
        sim.reboot();
        sim.start_agent();
        let operation = sim.settled(&id).await;
        assert_eq!(operation.state, OperationState::Succeeded, "{scenario:?}");
        assert_eq!(calls(&sim), [Call::Start], "{scenario:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_that_began_and_ended_while_a_step_waited_for_its_turn_is_not_the_steps() {
    let mut sim = Sim::new();
    let shop = || "shop".parse().unwrap();
    sim.deploy(many("shop", 17)).await;
    let stopping = sim.ask(Request::Stop(shop())).await;
    sim.settled(&stopping).await;
    sim.fake.latency(Call::Start, Duration::from_secs(10));
    let starting = sim.ask(Request::Start(shop())).await;
    seconds(1).await;
    let waiting: Vec<String> = sim
        .operation(&starting)
        .steps
        .iter()
        .filter(|step| step.state == StepState::Waiting)
        .map(|step| step.component.to_string())
        .collect();
    let [waits] = &waiting[..] else {
        panic!("{waiting:?}")
    };
    let name = format!("shop-{waits}");
    sim.fake.start_by_hand(&name);
    sim.fake.crash(&name, 3, false);
    let operation = sim.settled(&starting).await;
    assert_eq!(operation.state, OperationState::Succeeded, "{operation:?}");
}
