//! What was taken down comes back, whatever the runtime says at first (S13, S16), and what never
//! began or never happened leaves nothing behind (S13, S22).

use std::time::Duration;

use mcp_model::{ObservedState, OperationId, OperationState, Request, RuntimeState};
use mcp_runtime::fake::{Behaviour, Fake, Fault};
use mcp_runtime::{Call, RuntimeError};

use crate::world::{Sim, pass, seconds, service};

fn refused(call: Call) -> Fault {
    Fault::Fail(RuntimeError::Failed {
        call,
        object: "shop-web".into(),
        exit: Some(126),
        words: "address already in use".into(),
    })
}

/// `shop/web` runs at v1; v3 dies at once.
async fn stage() -> Sim {
    let mut sim = Sim::new();
    let dies = Behaviour {
        ends: Some((Duration::ZERO, 3)),
        ..Behaviour::default()
    };
    sim.fake
        .add_image_that(&"registry.example/app:v3".parse().unwrap(), dies);
    sim.fake.latency(Call::Run, Duration::from_millis(10));
    sim.fake.latency(Call::Start, Duration::from_millis(10));
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim
}

async fn ask_deploy(sim: &mut Sim, version: &str) -> OperationId {
    sim.ask(Request::Deploy {
        service: service("shop", &[("web", version, "no")]),
        only: None,
    })
    .await
}

/// Until the old container is out of its place and the new one is being made.
async fn set_aside(sim: &Sim) {
    while sim.fake.container("shop-web").is_some() {
        pass(Duration::from_millis(1)).await;
    }
}

fn error(sim: &Sim, id: &OperationId) -> String {
    sim.operation(id).steps[0].error.clone()
}

fn names(sim: &Sim) -> Vec<String> {
    sim.fake.containers().into_iter().map(|c| c.name).collect()
}

/// In the operation, in status and where it is asked for the reason.
async fn says_what_holds_it_up(sim: &Sim, id: &OperationId) {
    let key = || "shop/web".parse().unwrap();
    let explained = sim.handle.explain(key()).await.unwrap();
    let ticket = explained.and_then(|explained| explained.ticket);
    let told = [
        Some(error(sim, id)),
        sim.status("shop/web").held_up.clone(),
        ticket.and_then(|ticket| ticket.progress.held_up()),
    ];
    for why in told {
        let why = why.expect("it is held up");
        assert!(
            why.contains("not back yet") && why.contains("address already in use"),
            "{why}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_container_whose_start_is_refused_for_a_while_runs_again() {
    let mut sim = stage().await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    sim.fake.next(Call::Start, 4, &refused(Call::Start));
    let id = ask_deploy(&mut sim, "v3").await;
    let operation = sim.settled(&id).await;
    assert_eq!(operation.state, OperationState::Failed);
    assert!(error(&sim, &id).contains("was put back"), "{operation:?}");
    let now = sim.fake.container("shop-web").unwrap().instance;
    assert!(now.id == old && now.pid.is_some(), "{now:?}");
    assert_eq!(names(&sim), ["shop-web"]);
}

#[tokio::test(start_paused = true)]
async fn an_old_container_that_never_starts_again_is_in_its_place_and_told() {
    let mut sim = stage().await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    sim.fake.next(Call::Start, 10_000, &refused(Call::Start));
    let id = ask_deploy(&mut sim, "v3").await;
    assert_eq!(sim.settled(&id).await.state, OperationState::Failed);
    let error = error(&sim, &id);
    assert!(
        error.contains("does not start") && error.contains("address already in use"),
        "{error}"
    );
    assert_eq!(sim.fake.container("shop-web").unwrap().instance.id, old);
    assert_eq!(names(&sim), ["shop-web"]);
    sim.until_told(1).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_container_is_put_back_however_long_that_is_refused_and_somebody_is_told() {
    let mut sim = stage().await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    let id = ask_deploy(&mut sim, "v3").await;
    set_aside(&sim).await;
    sim.fake.next(Call::Rename, 10_000, &refused(Call::Rename));
    sim.until_told(1).await;
    assert_eq!(sim.operation(&id).state, OperationState::Running);
    says_what_holds_it_up(&sim, &id).await;
    // Also by an agent that has to find out first.
    sim.kill_agent().await;
    seconds(24 * 3600).await;
    sim.start_agent();
    seconds(3600).await;
    assert_eq!(sim.operation(&id).state, OperationState::Running);
    says_what_holds_it_up(&sim, &id).await;
    sim.fake.forget_faults();
    assert_eq!(sim.settled(&id).await.state, OperationState::Failed);
    sim.until("nothing is held up", |view| {
        view.components
            .values()
            .all(|status| status.held_up.is_none())
    })
    .await;
    let now = sim.fake.container("shop-web").unwrap().instance;
    assert!(now.id == old && now.pid.is_some(), "{now:?}");
    assert_eq!(names(&sim), ["shop-web"]);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_waits_takes_over_from_a_way_back_that_is_refused() {
    let mut sim = stage().await;
    sim.fake.next(Call::Start, 10_000, &refused(Call::Start));
    let first = ask_deploy(&mut sim, "v3").await;
    seconds(30).await;
    assert_eq!(sim.operation(&first).state, OperationState::Running);
    let second = ask_deploy(&mut sim, "v2").await;
    let operation = sim.settled(&second).await;
    assert_eq!(operation.state, OperationState::Succeeded, "{operation:?}");
    assert_eq!(sim.operation(&first).state, OperationState::Failed);
    let error = error(&sim, &first);
    assert!(error.contains("the deploy that waits"), "{error}");
    assert_eq!(names(&sim), ["shop-web"]);
}

#[tokio::test(start_paused = true)]
async fn a_way_back_that_is_not_refused_is_gone_to_its_end_whoever_waits() {
    let shop = || "shop".parse().unwrap();
    let undeploy = Request::Undeploy {
        service: shop(),
        only: None,
    };
    for (next, starts) in [(Request::Restart(shop()), 2), (undeploy, 1)] {
        let mut sim = stage().await;
        let first = ask_deploy(&mut sim, "v3").await;
        set_aside(&sim).await;
        // A run knows who waits when it begins.
        sim.kill_agent().await;
        let second = sim.ask(next.clone()).await;
        sim.start_agent();
        assert_eq!(sim.settled(&second).await.state, OperationState::Succeeded);
        let error = error(&sim, &first);
        assert!(error.ends_with("was put back"), "{next:?}: {error}");
        let calls = sim.fake.mutations().into_iter();
        let started = calls.filter(|call| call.call == Call::Start).count();
        assert_eq!(started, starts, "{next:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_undeploy_ends_a_way_back_that_is_refused_and_leaves_nothing() {
    let mut sim = stage().await;
    let first = ask_deploy(&mut sim, "v3").await;
    set_aside(&sim).await;
    sim.fake.next(Call::Rename, 10_000, &refused(Call::Rename));
    seconds(30).await;
    assert_eq!(sim.operation(&first).state, OperationState::Running);
    let undeploy = Request::Undeploy {
        service: "shop".parse().unwrap(),
        only: None,
    };
    let second = sim.ask(undeploy).await;
    assert_eq!(sim.settled(&second).await.state, OperationState::Succeeded);
    assert_eq!(sim.operation(&first).state, OperationState::Failed);
    assert!(names(&sim).is_empty(), "{:?}", names(&sim));
}

#[tokio::test(start_paused = true)]
async fn a_restart_whose_start_is_refused_for_a_while_comes_up() {
    let mut sim = stage().await;
    sim.fake.next(Call::Start, 4, &refused(Call::Start));
    let id = sim.ask(Request::Restart("shop".parse().unwrap())).await;
    let operation = sim.settled(&id).await;
    assert_eq!(operation.state, OperationState::Succeeded, "{operation:?}");
    let now = sim.fake.container("shop-web").unwrap().instance;
    assert!(now.pid.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_behind_a_long_one_expires_in_time() {
    let mut sim = stage().await;
    sim.fake.next(Call::Stop, 10_000, &Fault::Hang);
    let first = sim.ask(Request::Restart("shop".parse().unwrap())).await;
    while sim.operation(&first).state != OperationState::Running {
        pass(Duration::from_millis(1)).await;
    }
    seconds(60).await;
    let second = sim.ask(Request::Restart("shop".parse().unwrap())).await;
    seconds(9 * 60 + 59).await;
    assert_eq!(sim.operation(&second).state, OperationState::Accepted);
    // Whoever waits for it is woken.
    let told = tokio::time::timeout(Duration::from_secs(2), sim.settled(&second)).await;
    assert_eq!(told.unwrap().state, OperationState::Expired);
    assert_eq!(sim.operation(&first).state, OperationState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_death_long_after_a_stop_that_failed_was_not_meant() {
    let mut sim = stage().await;
    sim.fake.next(Call::Stop, 1, &refused(Call::Stop));
    let id = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    assert_eq!(sim.settled(&id).await.state, OperationState::Failed);
    seconds(1).await;
    sim.fake.crash("shop-web", 1, false);
    sim.until_state("shop/web", ObservedState::Exited).await;
}

#[tokio::test(start_paused = true)]
async fn a_death_of_what_is_still_being_stopped_was_meant_though_the_stop_failed() {
    let mut sim = stage().await;
    let stays = Behaviour {
        ignores_term: true,
        ..Behaviour::default()
    };
    sim.fake
        .add_image_that(&"registry.example/app:v4".parse().unwrap(), stays);
    sim.deploy(service("shop", &[("web", "v4", "no")])).await;
    let id = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    while sim.fake.container("shop-web").unwrap().state != RuntimeState::Stopping {
        pass(Duration::from_millis(1)).await;
    }
    sim.kill_agent().await;
    sim.fake.next(Call::Stop, 10, &refused(Call::Stop));
    sim.start_agent();
    assert_eq!(sim.settled(&id).await.state, OperationState::Failed);
    sim.handle.look().await.unwrap();
    seconds(1).await;
    sim.fake.crash("shop-web", 143, false);
    seconds(1).await;
    let state = sim.status("shop/web").observed.state();
    assert_eq!(state, ObservedState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_start_has_left_does_not_fail_the_start_that_is_resumed() {
    what_is_left_fails_nothing(Call::Start).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_stop_has_left_does_not_fail_the_stop_that_is_resumed() {
    what_is_left_fails_nothing(Call::Stop).await;
}

async fn what_is_left_fails_nothing(call: Call) {
    let mut sim = stage().await;
    sim.fake.latency(Call::Stop, Duration::from_millis(50));
    let id = sim.ask(Request::Restart("shop".parse().unwrap())).await;
    while sim.operation(&id).state != OperationState::Running {
        pass(Duration::from_millis(1)).await;
    }
    sim.kill_agent().await;
    sim.fake.next(call, 3, &refused(call));
    sim.start_agent();
    let resumed = tokio::time::timeout(Duration::from_secs(5), sim.settled(&id)).await;
    assert_eq!(resumed.unwrap().state, OperationState::Succeeded);
    sim.fake.forget_faults();
}

/// Which call the killed agent was in, and what that left.
type Left = (&'static str, Call, fn(&Fake) -> bool);

/// A podman that is killed half way leaves what podman refuses to start (measured).
const LEFT: [Left; 4] = [
    ("restart", Call::Start, |fake| fake.half_start("shop-web")),
    ("restart", Call::Stop, |fake| fake.half_stop("shop-web")),
    ("start", Call::Start, |fake| fake.half_start("shop-web")),
    ("deploy", Call::Run, |fake| fake.half_start("shop-web")),
];

#[tokio::test(start_paused = true)]
async fn what_a_killed_call_left_half_way_is_stopped_and_then_runs() {
    for (what, call, leave) in LEFT {
        let mut sim = stage().await;
        if what == "start" {
            let stopped = sim.ask(Request::Stop("shop".parse().unwrap())).await;
            sim.settled(&stopped).await;
        }
        sim.fake.forget_calls();
        let id = match what {
            "deploy" => ask_deploy(&mut sim, "v2").await,
            "start" => sim.ask(Request::Start("shop".parse().unwrap())).await,
            _ => sim.ask(Request::Restart("shop".parse().unwrap())).await,
        };
        until_called(&sim, call).await;
        if call == Call::Run {
            while sim.fake.container("shop-web").is_none() {
                pass(Duration::from_millis(1)).await;
            }
        }
        sim.kill_agent().await;
        if !leave(&sim.fake) {
            assert!(sim.fake.start_by_hand("shop-web"), "{what}");
            assert!(leave(&sim.fake), "{what}");
        }
        sim.start_agent();
        let resumed = tokio::time::timeout(Duration::from_secs(5), sim.settled(&id)).await;
        let resumed = resumed.unwrap_or_else(|_| panic!("{what}: {:?}", sim.operation(&id)));
        assert_eq!(
            resumed.state,
            OperationState::Succeeded,
            "{what}: {resumed:?}"
        );
        runs_alone(&sim);
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_container_whose_start_was_cut_off_is_stopped_and_then_runs_again() {
    let mut sim = stage().await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    let id = ask_deploy(&mut sim, "v3").await;
    until_called(&sim, Call::Start).await;
    sim.kill_agent().await;
    let by_hand = sim.fake.start_by_hand("shop-web");
    assert!(by_hand && sim.fake.half_start("shop-web"));
    sim.start_agent();
    let resumed = tokio::time::timeout(Duration::from_secs(5), sim.settled(&id)).await;
    assert_eq!(resumed.unwrap().state, OperationState::Failed);
    assert!(
        error(&sim, &id).contains("was put back"),
        "{}",
        error(&sim, &id)
    );
    assert_eq!(sim.fake.container("shop-web").unwrap().instance.id, old);
    runs_alone(&sim);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_stopping_is_removed_before_it_has_stopped() {
    // The component's container, and one that was set aside and came back to life.
    for name in ["shop-web", "aside"] {
        let mut sim = stage().await;
        let undeploy = Request::Undeploy {
            service: "shop".parse().unwrap(),
            only: None,
        };
        sim.fake.latency(Call::Remove, Duration::from_millis(10));
        let id = if name == "aside" {
            ask_deploy(&mut sim, "v2").await
        } else {
            sim.ask(undeploy).await
        };
        until_called(&sim, Call::Remove).await;
        sim.kill_agent().await;
        let left = names(&sim).into_iter().find(|n| n != "shop-web");
        let left = left.unwrap_or_else(|| "shop-web".to_owned());
        assert!(
            sim.fake.start_by_hand(&left) && sim.fake.half_stop(&left),
            "{left}"
        );
        if name == "aside" {
            // The new container runs: that the old one cannot be stopped yet is no way back.
            sim.fake.next(Call::Stop, 6, &refused(Call::Stop));
        }
        sim.start_agent();
        let resumed = sim.settled(&id).await;
        assert_eq!(resumed.state, OperationState::Succeeded, "{resumed:?}");
        assert_eq!(sim.fake.runaways(), [], "{left}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_removal_left_is_removed_and_the_way_goes_on() {
    for (back, name) in [(true, "shop-web"), (false, "shop-web"), (false, "aside")] {
        let mut sim = stage().await;
        sim.fake.latency(Call::Remove, Duration::from_millis(10));
        let undeploy = Request::Undeploy {
            service: "shop".parse().unwrap(),
            only: None,
        };
        let id = match (back, name) {
            (true, _) => ask_deploy(&mut sim, "v3").await,
            (_, "aside") => ask_deploy(&mut sim, "v2").await,
            _ => sim.ask(undeploy).await,
        };
        until_called(&sim, Call::Remove).await;
        sim.kill_agent().await;
        let left = names(&sim).into_iter().find(|n| {
            let is_aside = n != "shop-web";
            is_aside == (name == "aside")
        });
        assert!(sim.fake.half_remove(&left.unwrap()), "{back} {name}");
        sim.start_agent();
        let resumed = tokio::time::timeout(Duration::from_secs(5), sim.settled(&id)).await;
        let resumed = resumed.unwrap_or_else(|_| panic!("{back} {name}: {:?}", sim.operation(&id)));
        if back {
            assert!(
                error(&sim, &id).ends_with("the old container was put back"),
                "{resumed:?}"
            );
        } else {
            assert_eq!(
                resumed.state,
                OperationState::Succeeded,
                "{name}: {resumed:?}"
            );
        }
        let remain: &[&str] = if back || name == "aside" {
            &["shop-web"]
        } else {
            &[]
        };
        assert_eq!(names(&sim), remain, "{back} {name}");
    }
}

async fn until_called(sim: &Sim, call: Call) {
    while !sim.fake.mutations().iter().any(|made| made.call == call) {
        pass(Duration::from_millis(1)).await;
    }
}

fn runs_alone(sim: &Sim) {
    let now = sim.fake.container("shop-web").unwrap();
    assert_eq!(now.state, RuntimeState::Running, "{now:?}");
    assert_eq!(names(sim), ["shop-web"]);
    assert_eq!(sim.fake.runaways(), []);
}
