//! The agent is killed before and after any call to the world, and at any moment in between
//! (S13–S16). `SIM_KILLS` says how often.

use std::time::Duration;

use mcp_model::{Container, OperationState, Request, ServiceSpec};
use mcp_runtime::Call;
use mcp_runtime::fake::Behaviour;
use tokio::time::Instant;

use crate::world::{Sim, pass, seconds, service};

/// Enough to meet every call of every operation every few runs.
const SHORT: usize = 140;

#[derive(Debug, Clone, Copy)]
enum Scenario {
    FirstDeploy,
    Replacement,
    Restore,
    Restart,
    Stop,
    Start,
    Undeploy,
}

const ALL: [Scenario; 7] = [
    Scenario::FirstDeploy,
    Scenario::Replacement,
    Scenario::Restore,
    Scenario::Restart,
    Scenario::Stop,
    Scenario::Start,
    Scenario::Undeploy,
];

impl Scenario {
    fn request(self) -> Request {
        let shop = || "shop".parse().unwrap();
        let deploy = |version| Request::Deploy {
            service: shop_at(version),
            only: None,
        };
        match self {
            Self::FirstDeploy => deploy("v1"),
            Self::Replacement => deploy("v2"),
            Self::Restore => deploy("v3"),
            Self::Restart => Request::Restart(shop()),
            Self::Stop => Request::Stop(shop()),
            Self::Start => Request::Start(shop()),
            Self::Undeploy => Request::Undeploy {
                service: shop(),
                only: None,
            },
        }
    }

    /// How many lives begin for each component.
    fn lives(self) -> usize {
        match self {
            Self::FirstDeploy | Self::Replacement | Self::Restart | Self::Start => 1,
            Self::Restore => 2,
            Self::Stop | Self::Undeploy => 0,
        }
    }

    fn ends_as(self) -> OperationState {
        match self {
            Self::Restore => OperationState::Failed,
            _ => OperationState::Succeeded,
        }
    }

    fn leaves(self) -> &'static [&'static str] {
        match self {
            Self::Undeploy => &["other-web", "stranger"],
            _ => &["other-web", "shop-api", "shop-web", "stranger"],
        }
    }
}

fn shop_at(version: &str) -> ServiceSpec {
    service("shop", &[("api", version, "no"), ("web", version, "no")])
}

async fn stage() -> Sim {
    let mut sim = Sim::new();
    let dies = Behaviour {
        ends: Some((Duration::ZERO, 3)),
        ..Behaviour::default()
    };
    sim.fake
        .add_image_that(&"registry.example/app:v3".parse().unwrap(), dies);
    for call in [Call::Pull, Call::Stop, Call::Rename, Call::Run] {
        sim.fake.latency(call, Duration::from_millis(3));
    }
    for call in [Call::Inspect, Call::InspectName, Call::Remove, Call::Start] {
        sim.fake.latency(call, Duration::from_millis(2));
    }
    sim.deploy(service("other", &[("web", "v1", "no")])).await;
    sim.fake.add_foreign("stranger", "registry.example/app:v1");
    sim
}

fn bystanders(sim: &Sim) -> Vec<Container> {
    ["other-web", "stranger"]
        .map(|name| sim.fake.container(name).unwrap())
        .to_vec()
}

/// Carries an operation out, through as many deaths as `deaths` says; how many calls' ends and
/// beginnings it passed and how long it took.
async fn carry_out(
    sim: &mut Sim,
    scenario: Scenario,
    deaths: &[Death],
    what: &str,
) -> (usize, Duration) {
    // Nothing is left of the operation before.
    sim.handle.look().await.unwrap();
    let before = bystanders(sim);
    let fate = sim.store.fate.clone();
    let (lives, passed, start) = (fate.lives(), fate.passed(), Instant::now());
    let id = sim.ask(scenario.request()).await;
    for death in deaths {
        match *death {
            Death::AtCall(count) => fate.strike_after(count),
            Death::After(_) => {}
        }
        let moment = match *death {
            Death::AtCall(_) => Duration::from_hours(1),
            Death::After(moment) => moment,
        };
        tokio::select! {
            () = fate.struck() => {}
            () = pass(moment) => {}
            _ = sim.settled(&id) => {}
        }
        sim.kill_agent().await;
        sim.start_agent();
    }
    let settled = tokio::time::timeout(Duration::from_secs(5), sim.settled(&id)).await;
    let Ok(operation) = settled else {
        panic!("{what}: not settled in time: {:?}", sim.operation(&id));
    };
    let took = start.elapsed();
    assert_eq!(operation.state, scenario.ends_as(), "{what}: {operation:?}");
    let new = (fate.lives() - lives) / 2;
    assert_eq!(new, scenario.lives(), "{what}: {:?}", sim.fake.mutations());
    let mut names: Vec<String> = sim.fake.containers().into_iter().map(|c| c.name).collect();
    names.sort();
    assert_eq!(names, scenario.leaves(), "{what}");
    assert_eq!(fate.doubled(), Vec::<String>::new(), "{what}");
    assert_eq!(bystanders(sim), before, "{what}");
    sim.fake.forget_calls();
    (fate.passed() - passed, took)
}

#[derive(Debug, Clone, Copy)]
enum Death {
    /// Before or after a call of a port.
    AtCall(usize),
    /// In the middle of anything.
    After(Duration),
}

#[tokio::test(start_paused = true)]
async fn an_agent_killed_before_or_after_any_call_finishes_each_operation_once() {
    let kills = std::env::var("SIM_KILLS").map_or(SHORT, |text| text.parse().unwrap());
    let seed =
        std::env::var("SIM_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sim = stage().await;
    let mut rehearsed = Vec::new();
    for scenario in ALL {
        rehearsed.push(carry_out(&mut sim, scenario, &[], "rehearsal").await);
    }
    let (mut done, mut round) = (0, 0);
    while done < kills {
        for (scenario, (passes, took)) in ALL.into_iter().zip(&rehearsed) {
            // Also killed while it resumes.
            let deaths: Vec<Death> = (0..=random.usize(..2))
                .map(|_| {
                    if random.bool() {
                        Death::AtCall(random.usize(..*passes))
                    } else {
                        Death::After(took.mul_f64(random.f64()))
                    }
                })
                .collect();
            let what = format!("SIM_SEED={seed}, round {round}, {scenario:?}, {deaths:?}");
            carry_out(&mut sim, scenario, &deaths, &what).await;
            done += deaths.len();
        }
        round += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_stopped_in_the_middle_resumes_and_restarts_nothing_twice() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let first = sim.fake.container("shop-web").unwrap().instance;
    // The restart is done, but nobody could store that it was.
    sim.fake.latency(Call::Start, Duration::from_millis(10));
    let operation = sim.ask(Request::Restart("shop".parse().unwrap())).await;
    while sim
        .fake
        .container("shop-web")
        .unwrap()
        .instance
        .is_same_life(&first)
        || sim
            .fake
            .container("shop-web")
            .unwrap()
            .instance
            .pid
            .is_none()
    {
        pass(Duration::from_millis(1)).await;
    }
    *sim.store.fails.lock().unwrap() = true;
    seconds(1).await;
    let second = sim.fake.container("shop-web").unwrap().instance;
    *sim.store.fails.lock().unwrap() = false;
    sim.restart_agent().await;
    assert_eq!(
        sim.settled(&operation).await.state,
        OperationState::Succeeded
    );
    assert_eq!(sim.fake.container("shop-web").unwrap().instance, second);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_at_any_moment_of_a_replacement_finishes_it_after_its_start() {
    for moment in 0..60 {
        let mut sim = Sim::new();
        let two = [("api", "v1", "no"), ("web", "v1", "no")];
        sim.deploy(service("shop", &two)).await;
        let bystander = sim.fake.container("shop-api").unwrap().instance;
        for call in [
            Call::Pull,
            Call::Stop,
            Call::Rename,
            Call::Run,
            Call::Inspect,
            Call::Remove,
        ] {
            sim.fake.latency(call, Duration::from_millis(10));
        }
        let request = Request::Deploy {
            service: service("shop", &[("api", "v1", "no"), ("web", "v2", "no")]),
            only: Some("web".parse().unwrap()),
        };
        let operation = sim.ask(request).await;
        pass(Duration::from_millis(moment * 2)).await;
        sim.kill_agent().await;
        sim.start_agent();
        let settled = sim.settled(&operation).await;
        assert_eq!(
            settled.state,
            OperationState::Succeeded,
            "killed at {moment}: {settled:?}"
        );
        let web = sim.fake.container("shop-web").unwrap();
        assert!(
            web.image.ends_with(":v2") && web.instance.pid.is_some(),
            "killed at {moment}"
        );
        assert_eq!(
            sim.fake.containers().len(),
            2,
            "killed at {moment}: something is left"
        );
        let api = sim.fake.container("shop-api").unwrap().instance;
        assert_eq!(
            api, bystander,
            "killed at {moment}: a bystander was touched"
        );
        let runs = sim
            .fake
            .mutations()
            .iter()
            .filter(|c| c.call == Call::Run)
            .count();
        assert!(runs <= 4, "killed at {moment}: made {runs} times");
    }
}
