//! A thousand flips a second (S30): looked at no faster than the runtime answers, told a few times,
//! counted to the end.

use std::time::Duration;

use mcp_controller::port::Clock as _;
use mcp_model::AlertEvent;
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
