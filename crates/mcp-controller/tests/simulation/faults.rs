//! A runtime that hangs, lies or fails, and a key that panics (S25, S35).

use std::time::Duration;

use mcp_model::{Observed, ObservedState};
use mcp_runtime::fake::Fault;
use mcp_runtime::{Call, RuntimeError};

use crate::world::{Sim, many, seconds, service};

use ObservedState::{Exited, Running, Unknown};

fn broken(call: Call) -> Fault {
    Fault::Fail(RuntimeError::TimedOut {
        call,
        object: "podman".into(),
        after: Duration::from_secs(30),
    })
}

#[tokio::test(start_paused = true)]
async fn unreachable_runtime_never_triggers_a_removal() {
    let mut sim = Sim::new();
    sim.deploy(service(
        "shop",
        &[("web", "v1", "no"), ("api", "v1", "always")],
    ))
    .await;
    sim.fake.forget_calls();
    for call in [Call::List, Call::Inspect, Call::InspectName] {
        sim.fake.next(call, 40, &broken(call));
    }
    sim.until_state("shop/web", Unknown).await;
    let view = sim.handle.view().borrow().clone();
    assert!(view.observation_error.is_some());
    assert!(
        view.components
            .values()
            .all(|status| status.drift.is_empty()),
        "unknown is no drift"
    );
    sim.until_state("shop/web", Running).await;
    assert_eq!(sim.fake.mutations(), []);
    let about: Vec<String> = sim.told().into_iter().map(|(_, about)| about).collect();
    assert!(
        about.iter().all(|about| about == "outage node"),
        "{about:?}"
    );
    assert_eq!(
        sim.events(),
        [(Unknown, Running), (Unknown, Running)],
        "an outage is no event"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_listing_is_tried_again_and_then_looked_at_one_by_one() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no"), ("api", "v1", "no")]))
        .await;
    seconds(5).await;
    sim.fake.forget_calls();
    sim.fake.next(Call::List, 2, &broken(Call::List));
    sim.handle.look().await.unwrap();
    let count = |call| sim.fake.calls().iter().filter(|c| c.call == call).count();
    assert_eq!((count(Call::List), count(Call::Inspect)), (2, 2));
    assert_eq!(sim.status("shop/web").observed.state(), Running);
}

#[tokio::test(start_paused = true)]
async fn a_hung_runtime_holds_up_nobody_who_reads() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    for call in [Call::List, Call::Inspect, Call::InspectName] {
        sim.fake.next(call, 100, &Fault::Hang);
    }
    seconds(70).await;
    let before = tokio::time::Instant::now();
    let view = sim.handle.view().borrow().clone();
    assert_eq!(before.elapsed(), Duration::ZERO);
    let age = mcp_controller::port::Clock::now(&sim.clock).since(&view.observed_at.unwrap());
    assert!(age >= Duration::from_mins(1), "and it says how old it is");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_key_is_that_keys_failure_and_nothing_else() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no"), ("api", "v1", "no")]))
        .await;
    *sim.store.panics_on.lock().unwrap() = Some("shop/web".parse().unwrap());
    sim.fake.kill("shop-web", 137);
    sim.fake.kill("shop-api", 137);
    sim.until_state("shop/api", Exited).await;
    assert_eq!(
        sim.status("shop/web").observed.state(),
        Unknown,
        "it was not looked at"
    );
    *sim.store.panics_on.lock().unwrap() = None;
    sim.until_state("shop/web", Exited).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_end_leaves_its_key_unknown_and_not_as_it_was() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    *sim.store.observes_for.lock().unwrap() = Duration::from_hours(1);
    sim.fake.kill("shop-web", 137);
    sim.until_state("shop/web", Unknown).await;
    assert!(sim.status("shop/web").drift.is_empty());
    *sim.store.observes_for.lock().unwrap() = Duration::ZERO;
    sim.until_state("shop/web", Exited).await;
}

#[tokio::test(start_paused = true)]
async fn drift_alone_changes_nothing() {
    let mut sim = Sim::new();
    let names = ["exited", "gone", "spec", "both", "orphan", "fine"];
    let wanted = names.map(|name| (name, "v1", "no"));
    sim.deploy(service("shop", &wanted)).await;
    sim.deploy(service("quiet", &[("web", "v1", "no")])).await;
    let stop = sim
        .ask(mcp_model::Request::Stop("quiet".parse().unwrap()))
        .await;
    sim.settled(&stop).await;
    sim.fake.forget_calls();
    // Runs, though it is meant to be stopped.
    sim.fake.start_by_hand("quiet-web");
    sim.fake.kill("shop-exited", 1);
    sim.fake.crash("shop-both", 137, true);
    sim.fake.remove_by_hand("shop-gone");
    let mut changed = wanted.to_vec();
    changed.retain(|(name, ..)| *name != "orphan");
    for (name, version, _) in &mut changed {
        if ["spec", "both"].contains(name) {
            *version = "v2";
        }
    }
    changed.push(("new", "v1", "no"));
    sim.sync(vec![service("shop", &changed)]).await;
    let mut inactive = service("idle", &[("web", "v1", "no")]);
    sim.sync(vec![inactive.clone()]).await;
    inactive.active = false;
    sim.sync(vec![inactive]).await;
    sim.fake.kill("shop-orphan", 1);
    seconds(7200).await;
    let mut told: Vec<String> = sim.told().into_iter().map(|(_, what)| what).collect();
    told.sort();
    let drift = [
        "quiet/web",
        "shop/both",
        "shop/exited",
        "shop/gone",
        "shop/new",
        "shop/spec",
    ];
    assert_eq!(
        told,
        drift.map(|key| format!("drift {key}")),
        "each is told"
    );
    assert_eq!(sim.fake.mutations(), [], "and nothing is done");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_cannot_write_loses_no_transition() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    *sim.store.fails.lock().unwrap() = true;
    sim.fake.kill("shop-web", 137);
    seconds(300).await;
    let status = sim.status("shop/web");
    assert_eq!(status.observed.state(), Unknown, "it is not what it was");
    let Observed::Unknown { why } = &status.observed else {
        unreachable!()
    };
    assert!(why.contains("the disk is full"), "{why}");
    *sim.store.fails.lock().unwrap() = false;
    sim.until_told(1).await;
    assert_eq!(sim.events(), [(Unknown, Running), (Running, Exited)]);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_flips_is_bounded_and_told_once() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.latency(Call::Inspect, Duration::from_millis(25));
    for _ in 0..1000 {
        sim.fake.kill("shop-web", 137);
        crate::world::pass(Duration::from_micros(500)).await;
        sim.fake.start_by_hand("shop-web");
        crate::world::pass(Duration::from_micros(500)).await;
    }
    seconds(60).await;
    let flapping = sim
        .told()
        .iter()
        .filter(|(_, what)| what.starts_with("flapping"))
        .count();
    assert_eq!(flapping, 1, "{:?}", sim.told());
    assert!(sim.told().len() <= 4, "{:?}", sim.told());
    // A look takes 25 ms, so that a second holds 40 of them at most.
    assert!(sim.events().len() <= 2 * 41 + 3, "{}", sim.events().len());
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_first_listing_brings_every_key_back() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    for call in [Call::List, Call::Inspect, Call::InspectName] {
        sim.fake.next(call, 10_000, &broken(call));
    }
    seconds(3600).await;
    assert_eq!(sim.status("shop/web").observed.state(), Unknown);
    sim.fake.forget_faults();
    let asked = tokio::time::Instant::now();
    sim.handle.look().await.unwrap();
    assert_eq!(sim.status("shop/web").observed.state(), Running);
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_look_is_answered_while_a_key_waits_out_its_back_off() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no"), ("api", "v1", "no")]))
        .await;
    sim.fake.hide_from_listing("shop-web", true);
    sim.fake.next(Call::Inspect, 10_000, &broken(Call::Inspect));
    seconds(3600).await;
    let asked = tokio::time::Instant::now();
    sim.handle.look().await.unwrap();
    assert_eq!(asked.elapsed(), Duration::ZERO);
    assert_eq!(sim.status("shop/web").observed.state(), Unknown);
    assert_eq!(sim.status("shop/api").observed.state(), Running);
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_hung_calls_in_every_place_costs_no_time_of_the_processor() {
    let mut sim = Sim::new();
    sim.deploy(many("looked", 10)).await;
    sim.fake.next(Call::Inspect, 1, &broken(Call::Inspect));
    sim.fake.kill("looked-c9", 1);
    seconds(0).await;
    // c9 waits out its back-off; now every worker of both lanes hangs.
    for call in [Call::Inspect, Call::Pull] {
        sim.fake.next(call, 1000, &Fault::Hang);
    }
    for n in 0..8 {
        sim.fake.kill(&format!("looked-c{n}"), 1);
    }
    let deploy = mcp_model::Request::Deploy {
        service: many("slow", 80),
        only: None,
    };
    sim.ask(deploy).await;
    seconds(3600).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_slow_pulls() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.latency(Call::Pull, Duration::from_mins(5));
    let deploy = mcp_model::Request::Deploy {
        service: many("slow", 20),
        only: None,
    };
    sim.ask(deploy).await;
    seconds(1).await;
    let asked = tokio::time::Instant::now();
    let stop = sim
        .ask(mcp_model::Request::Stop("shop".parse().unwrap()))
        .await;
    sim.settled(&stop).await;
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_large_redeploy_has_only_so_many_containers_down_at_once() {
    let mut sim = Sim::new();
    sim.deploy(many("big", 40)).await;
    for call in [Call::Stop, Call::Run] {
        sim.fake.latency(call, Duration::from_secs(5));
    }
    let deploy = mcp_model::Request::Deploy {
        service: many("big", 40),
        only: None,
    };
    let operation = sim.ask(deploy).await;
    let mut most_down = 0;
    while !sim.operation(&operation).state.is_settled() {
        let runs = |c: &mcp_model::Container| c.instance.pid.is_some();
        let up = sim.fake.containers().iter().filter(|c| runs(c)).count();
        most_down = most_down.max(40 - up.min(40));
        seconds(1).await;
    }
    assert!((1..=16).contains(&most_down), "{most_down}");
}

#[tokio::test(start_paused = true)]
async fn pruning_a_long_log_holds_up_no_look() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    seconds(1800).await;
    // Within the next half hour it prunes again.
    *sim.store.prunes_for.lock().unwrap() = Duration::from_hours(1);
    seconds(2400).await;
    let asked = tokio::time::Instant::now();
    sim.fake.kill("shop-web", 1);
    sim.until_state("shop/web", Exited).await;
    assert!(asked.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_look_does_not_wait_for_operations_that_wait_for_their_turn() {
    let mut sim = Sim::new();
    sim.fake.latency(Call::Pull, Duration::from_mins(5));
    let deploy = mcp_model::Request::Deploy {
        service: many("slow", 20),
        only: None,
    };
    sim.ask(deploy).await;
    seconds(1).await;
    let asked = tokio::time::Instant::now();
    sim.handle.look().await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn operations_that_are_resumed_hold_up_no_look() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.latency(Call::Pull, Duration::from_mins(5));
    let request = mcp_model::Request::Deploy {
        service: many("slow", 20),
        only: None,
    };
    sim.ask(request).await;
    sim.restart_agent().await;
    seconds(1).await;
    let died = tokio::time::Instant::now();
    sim.fake.kill("shop-web", 1);
    sim.until_state("shop/web", Exited).await;
    assert!(died.elapsed() < Duration::from_secs(1));
}
