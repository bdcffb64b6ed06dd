//! A thousand flips a second (S30): looked at no faster than the runtime answers, told a few times,
//! counted to the end.

use std::time::Duration;

use mcp_controller::port::Clock as _;
use mcp_model::{AlertEvent, Request};
use mcp_runtime::Call;

use crate::world::{Sim, pass, seconds, service};

/// What a look costs right after a death.
const LOOK: Duration = Duration::from_millis(83);

#[tokio::test(start_paused = true)]
async fn a_thousand_flips_a_second_are_coalesced_told_once_and_counted() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    seconds(5).await;
    sim.fake.latency(Call::Inspect, LOOK);
    sim.fake.forget_calls();
    for _ in 0..30_000 {
        sim.fake.kill("shop-web", 1);
        pass(Duration::from_millis(1)).await;
        sim.fake.start_by_hand("shop-web");
        pass(Duration::from_millis(1)).await;
    }
    let looks = sim
        .fake
        .calls()
        .iter()
        .filter(|call| call.call == Call::Inspect)
        .count();
    assert!(looks <= 60_000 / 83 + 10, "one after the other: {looks}");
    let flapping = |event| (event, "flapping shop/web".to_owned());
    assert!(sim.told().contains(&flapping(AlertEvent::Opened)));
    assert!(sim.told().len() <= 3, "{:?}", sim.told());
    assert!(
        sim.events().len() <= 2 * looks + 2,
        "{}",
        sim.events().len()
    );
    // The first drift was over before there was any flapping. From then on it is one.
    assert_eq!(sim.incidents(), ["drift", "drift", "flapping"]);
    let shown = sim
        .status("shop/web")
        .flapping
        .clone()
        .expect("it is shown");
    let counted: u32 = shown
        .cause
        .split(' ')
        .find_map(|word| word.parse().ok())
        .unwrap();
    assert!(
        counted > 100,
        "with the count as it is now: {}",
        shown.cause
    );

    seconds(1500).await;
    let told = sim.scribe.told.lock().unwrap().clone();
    let last = told.last().unwrap();
    assert_eq!(
        (last.event, last.incident.clone()),
        (AlertEvent::Closed, shown.id)
    );
    // The last word counts what was not told one by one.
    let key = "shop/web".parse().unwrap();
    let (now, ever) = (sim.clock.now(), Duration::from_hours(24));
    let database = sim.store.database.lock().unwrap();
    assert_eq!(
        last.transitions,
        database.transitions(&key, &now, ever).unwrap()
    );
    assert!(last.transitions >= counted);
    assert_eq!(database.undelivered(9).unwrap(), []);
}

/// Goes up and down until that is flapping.
async fn flap(sim: &Sim) {
    for _ in 0..4 {
        sim.fake.kill("shop-web", 1);
        seconds(5).await;
        sim.fake.start_by_hand("shop-web");
        seconds(5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn drift_of_what_flaps_is_one_incident_that_ends_when_it_has_been_calm() {
    let mut sim = Sim::with(|settings| settings.cooldown = Duration::ZERO);
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    seconds(5).await;
    flap(&sim).await;
    flap(&sim).await;
    let about = |event, kind: &str| (event, format!("{kind} shop/web"));
    let opened = |kind| about(AlertEvent::Opened, kind);
    let closed = |kind| about(AlertEvent::Closed, kind);
    // The first of them was over before there was any flapping.
    let once = [
        opened("drift"),
        closed("drift"),
        opened("drift"),
        opened("flapping"),
    ];
    assert_eq!(sim.told(), once);
    assert!(sim.status("shop/web").drift.is_empty(), "it runs");
    seconds(1200).await;
    assert_eq!(sim.told().len(), 6);
    assert!(sim.told()[4..].contains(&closed("drift")));
    assert!(sim.told()[4..].contains(&closed("flapping")));
}

#[tokio::test(start_paused = true)]
async fn drift_of_what_flaps_ends_at_once_where_intent_changes() {
    let mut sim = Sim::with(|settings| settings.cooldown = Duration::ZERO);
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    seconds(5).await;
    flap(&sim).await;
    sim.fake.kill("shop-web", 1);
    seconds(5).await;
    let told = sim.told().len();
    let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    sim.settled(&stop).await;
    seconds(5).await;
    let closed = (AlertEvent::Closed, "drift shop/web".to_owned());
    assert_eq!(sim.told()[told..], [closed]);
}
