//! Hints and looks (S23–S27): losing a hint costs time, never truth.

use std::time::Duration;

use mcp_model::ObservedState;
use mcp_runtime::fake::HintPolicy;
use mcp_runtime::{Call, ContainerRuntime as _};

use crate::world::{Sim, seconds, service};

use ObservedState::{Exited, Removed, Running, Unknown};

#[tokio::test(start_paused = true)]
async fn a_death_is_seen_when_it_happens_and_by_one_look_at_one_container() {
    let mut sim = Sim::new();
    let others: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
    let mut components = vec![("web", "v1", "no")];
    components.extend(others.iter().map(|name| (name.as_str(), "v1", "no")));
    sim.deploy(service("shop", &components)).await;
    seconds(5).await;
    sim.fake.forget_calls();
    let before = tokio::time::Instant::now();
    sim.fake.kill("shop-web", 137);
    sim.until_state("shop/web", Exited).await;
    assert!(
        before.elapsed() < Duration::from_millis(50),
        "not at the next resync"
    );
    let inspects = sim
        .fake
        .calls()
        .iter()
        .filter(|call| call.call == Call::Inspect)
        .count();
    assert_eq!(inspects, 1);
}

#[tokio::test(start_paused = true)]
async fn lost_hints_cost_at_most_one_resync() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.hint_policy(HintPolicy {
        copies: 0,
        delay: Duration::ZERO,
    });
    seconds(5).await;
    let before = tokio::time::Instant::now();
    sim.fake.kill("shop-web", 137);
    sim.until_state("shop/web", Exited).await;
    assert!(before.elapsed() <= sim.settings.interval.mul_f64(1.1));
}

#[tokio::test(start_paused = true)]
async fn duplicated_and_late_hints_change_nothing() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.hint_policy(HintPolicy {
        copies: 50,
        delay: Duration::from_secs(3),
    });
    sim.fake.kill("shop-web", 137);
    sim.fake.start_by_hand("shop-web");
    seconds(300).await;
    // One death and one start, seen late as one change of life.
    assert_eq!(
        sim.events(),
        [(Unknown, Running), (Running, Exited), (Exited, Running)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_resync_in_which_nothing_changed_writes_nothing() {
    let mut sim = Sim::new();
    sim.deploy(service(
        "shop",
        &[("web", "v1", "no"), ("api", "v1", "always")],
    ))
    .await;
    seconds(600).await;
    let (before, looks) = (sim.writes(), sim.fake.calls().len());
    sim.fake.forget_calls();
    seconds(3000).await;
    assert!(looks > 0 && sim.fake.calls().len() >= 40, "it did list");
    assert!(
        sim.fake.calls().iter().all(|call| call.call == Call::List),
        "and needed no more"
    );
    assert_eq!(sim.writes(), before);
}

#[tokio::test(start_paused = true)]
async fn a_stale_listing_does_not_overrule_a_look() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.latency(Call::List, Duration::from_secs(20));
    let handle = sim.handle.clone();
    let mut asked = tokio::task::JoinSet::new();
    asked.spawn(async move { handle.look().await });
    seconds(1).await;
    // The listing under way has seen it running; the death comes while it is slow.
    sim.fake.kill("shop-web", 137);
    sim.until_state("shop/web", Exited).await;
    asked.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(sim.status("shop/web").observed.state(), Exited);
    seconds(300).await;
    assert_eq!(sim.events(), [(Unknown, Running), (Running, Exited)]);
}

#[tokio::test(start_paused = true)]
async fn absence_from_a_listing_is_confirmed_before_it_is_believed() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.hide_from_listing("shop-web", true);
    seconds(300).await;
    assert_eq!(sim.status("shop/web").observed.state(), Running);
    sim.fake.remove_by_hand("shop-web");
    sim.until_state("shop/web", Removed).await;
    assert_eq!(sim.events(), [(Unknown, Running), (Running, Removed)]);
}

#[tokio::test(start_paused = true)]
async fn a_new_life_is_a_death_and_a_start() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "always")]))
        .await;
    sim.fake.hint_policy(HintPolicy {
        copies: 0,
        delay: Duration::ZERO,
    });
    sim.fake.crash("shop-web", 1, false);
    seconds(200).await;
    assert_eq!(
        sim.events(),
        [(Unknown, Running), (Running, Exited), (Exited, Running)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_pid_used_again_does_not_hide_a_new_life() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    seconds(10).await;
    sim.fake.reuse_pid_of("shop-web");
    sim.fake.kill("shop-web", 137);
    sim.fake.start_by_hand("shop-web");
    seconds(200).await;
    assert_eq!(
        sim.events(),
        [(Unknown, Running), (Running, Exited), (Exited, Running)]
    );
}

#[tokio::test(start_paused = true)]
async fn foreign_containers_are_shown_and_neither_stored_nor_told() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    for n in 0..250 {
        sim.fake
            .add_foreign(&format!("Odd_{n:03}.name"), "somebody/else:1");
    }
    sim.until("they are listed", |view| {
        view.foreign.len() == mcp_controller::MAX_FOREIGN
    })
    .await;
    let view = sim.handle.view();
    assert_eq!(view.borrow().foreign_omitted, 50);
    assert!(
        view.borrow()
            .foreign
            .iter()
            .all(|container| container.name.starts_with("Odd_"))
    );
    sim.fake.kill("Odd_000.name", 1);
    seconds(300).await;
    assert_eq!(
        sim.store.database.lock().unwrap().services().unwrap().len(),
        1
    );
    assert_eq!(sim.told(), []);
    assert_eq!(sim.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_answers_after_what_changed_was_looked_at() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.hint_policy(HintPolicy {
        copies: 0,
        delay: Duration::ZERO,
    });
    sim.fake.latency(Call::List, Duration::from_millis(80));
    sim.fake.latency(Call::Inspect, Duration::from_millis(30));
    sim.fake.kill("shop-web", 137);
    sim.handle.look().await.unwrap();
    assert_eq!(sim.status("shop/web").observed.state(), Exited);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_the_registry_does_not_know_is_written_once() {
    let mut sim = Sim::new();
    sim.sync(vec![service("shop", &[("web", "v1", "no")])])
        .await;
    // Made under a registry that was replaced by an older copy since.
    let request = mcp_runtime::RunRequest {
        key: "shop/web".parse().unwrap(),
        spec: service("shop", &[("web", "v1", "no")])
            .components
            .into_values()
            .next()
            .unwrap(),
        revision: 99,
        operation: "op99".parse().unwrap(),
        replace_phantom: false,
    };
    sim.fake
        .pull(&request.spec.image, Duration::from_mins(1))
        .await
        .unwrap();
    sim.fake.run(&request).await.unwrap();
    sim.until_state("shop/web", Running).await;
    seconds(120).await;
    let writes = sim.writes();
    seconds(3600).await;
    assert_eq!(sim.writes(), writes);
}
