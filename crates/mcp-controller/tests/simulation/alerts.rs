//! Who is told what, and how often (S28–S31, S33).

use std::time::Duration;

use mcp_model::{AlertEvent, AlertKind, DesiredState, ObservedState, Request};
use mcp_runtime::Call;
use mcp_runtime::fake::Fault;

use crate::world::{Sim, seconds, service};

use AlertEvent::{Closed, Opened, Reminder};

fn drift(event: AlertEvent) -> (AlertEvent, String) {
    (event, "drift shop/web".to_owned())
}

#[tokio::test(start_paused = true)]
async fn one_incident_is_one_message_when_it_opens_and_one_when_it_closes() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake
        .write_line("shop-web", "panic: \u{1b}[31mno disk\n");
    sim.fake.kill("shop-web", 137);
    sim.until_told(1).await;
    seconds(3600).await;
    assert_eq!(
        sim.told(),
        [drift(Opened)],
        "told once, not a hundred times"
    );
    let alert = sim.scribe.told.lock().unwrap()[0].clone();
    assert_eq!(
        (alert.desired, alert.prev, alert.observed),
        (
            DesiredState::Running,
            ObservedState::Running,
            ObservedState::Exited
        )
    );
    assert_eq!(alert.exit_code, Some(137));
    assert_eq!(
        alert.reason,
        "137: killed (SIGKILL); last output: panic: \\u{1b}[31mno disk"
    );
    sim.fake.start_by_hand("shop-web");
    sim.until_told(2).await;
    assert_eq!(sim.told(), [drift(Opened), drift(Closed)]);
    let ids: Vec<_> = sim
        .scribe
        .told
        .lock()
        .unwrap()
        .iter()
        .map(|alert| alert.incident.clone())
        .collect();
    assert_eq!(ids[0], ids[1], "one incident, one id");
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_holds_back_and_reminds_once_if_it_still_stands() {
    let mut sim = Sim::with(|settings| settings.flap_threshold = 1000);
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    for _ in 0..3 {
        sim.fake.kill("shop-web", 1);
        seconds(10).await;
        sim.fake.start_by_hand("shop-web");
        seconds(10).await;
    }
    assert_eq!(sim.told(), [drift(Opened), drift(Closed)]);
    sim.fake.kill("shop-web", 1);
    seconds(700).await;
    assert_eq!(sim.told().len(), 2, "the cooldown of 15 min holds it back");
    seconds(300).await;
    assert_eq!(sim.told()[2..], [drift(Reminder)]);
    seconds(7200).await;
    assert_eq!(sim.told().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_agent_between_an_alert_and_its_close_repeats_nothing() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.kill("shop-web", 137);
    sim.until_told(1).await;
    sim.restart_agent().await;
    seconds(300).await;
    assert_eq!(sim.told(), [drift(Opened)]);
    sim.stop_agent().await;
    sim.fake.start_by_hand("shop-web");
    sim.restart_agent().await;
    sim.until_told(2).await;
    assert_eq!(sim.told(), [drift(Opened), drift(Closed)]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_stored_and_not_sent_is_sent_by_the_next_agent() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    *sim.scribe.hangs.lock().unwrap() = Some(Duration::from_hours(2));
    sim.fake.kill("shop-web", 137);
    sim.until("the incident is stored", |view| {
        view.components
            .values()
            .any(|s| s.drift.iter().any(|d| d.incident.is_some()))
    })
    .await;
    seconds(1).await;
    sim.kill_agent().await;
    *sim.scribe.hangs.lock().unwrap() = None;
    sim.start_agent();
    sim.until_told(1).await;
    seconds(300).await;
    assert_eq!(sim.told(), [drift(Opened)]);
}

#[tokio::test(start_paused = true)]
async fn a_hung_alert_command_holds_nothing_up() {
    let mut sim = Sim::new();
    let wanted = [
        ("a", "v1", "no"),
        ("b", "v1", "no"),
        ("c", "v1", "no"),
        ("d", "v1", "no"),
        ("e", "v1", "no"),
        ("f", "v1", "no"),
    ];
    sim.deploy(service("shop", &wanted)).await;
    *sim.scribe.hangs.lock().unwrap() = Some(Duration::from_secs(10));
    for (name, ..) in wanted {
        sim.fake.kill(&format!("shop-{name}"), 1);
    }
    let before = tokio::time::Instant::now();
    for (name, ..) in wanted {
        sim.until_state(&format!("shop/{name}"), ObservedState::Exited)
            .await;
    }
    assert!(before.elapsed() < Duration::from_secs(1));
    // Three tries of each, four at a time.
    seconds(180).await;
    assert_eq!(
        sim.store.database.lock().unwrap().undelivered(10).unwrap(),
        []
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_policy_that_mends_it_in_time_is_no_drift_and_counts_for_flapping() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "always")]))
        .await;
    for _ in 0..3 {
        sim.fake.crash("shop-web", 1, false);
        seconds(20).await;
    }
    assert_eq!(sim.told(), [(Opened, "flapping shop/web".to_owned())]);
    let alert = sim.scribe.told.lock().unwrap()[0].clone();
    assert_eq!(alert.kind, AlertKind::Flapping);
    assert!(alert.transitions > 3);
    let shown = sim
        .status("shop/web")
        .flapping
        .clone()
        .expect("it is shown");
    assert_eq!(shown.id, alert.incident);
    seconds(1200).await;
    assert_eq!(
        sim.told().len(),
        2,
        "closed once it was calm for a window: {:?}",
        sim.told()
    );
    assert_eq!(sim.status("shop/web").flapping, None);
}

#[tokio::test(start_paused = true)]
async fn flapping_is_not_told_to_have_ended_while_nobody_can_see_it() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "always")]))
        .await;
    for _ in 0..3 {
        sim.fake.crash("shop-web", 1, false);
        seconds(20).await;
    }
    for call in [Call::List, Call::Inspect, Call::InspectName] {
        sim.fake.next(call, 10_000, &Fault::Hang);
    }
    seconds(3600).await;
    let about = |sim: &Sim| -> Vec<AlertEvent> {
        let told = sim.told().into_iter();
        told.filter(|(_, what)| what == "flapping shop/web")
            .map(|(event, _)| event)
            .collect()
    };
    assert_eq!(about(&sim), [Opened], "it may be flapping still");
    assert!(sim.status("shop/web").flapping.is_some());
    sim.fake.forget_faults();
    sim.fake.release();
    seconds(1200).await;
    assert_eq!(about(&sim), [Opened, Closed]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_policy_that_does_not_mend_it_is_drift_after_the_settling_time() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "always")]))
        .await;
    sim.fake.restart_delay(Duration::from_hours(1));
    let before = tokio::time::Instant::now();
    sim.fake.crash("shop-web", 1, false);
    sim.until_told(1).await;
    assert_eq!(sim.told(), [drift(Opened)]);
    assert!(before.elapsed() >= Duration::from_secs(2));
    assert!(
        before.elapsed() < Duration::from_secs(3),
        "{:?}",
        before.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn drift_that_intent_has_made_is_shown_at_once_and_told_after_an_interval() {
    let mut sim = Sim::new();
    sim.sync(vec![service("shop", &[("web", "v1", "no")])])
        .await;
    sim.until("it is shown", |view| {
        view.components.values().any(|s| !s.drift.is_empty())
    })
    .await;
    let drift_shown = sim.status("shop/web").drift[0].drift.clone();
    assert_eq!(drift_shown.observed, ObservedState::Removed);
    seconds(50).await;
    assert_eq!(sim.told(), []);
    seconds(15).await;
    assert_eq!(sim.told(), [drift(Opened)]);
}

#[tokio::test(start_paused = true)]
async fn intent_that_is_followed_by_a_deploy_tells_nobody() {
    let mut sim = Sim::new();
    sim.sync(vec![service("shop", &[("web", "v1", "no")])])
        .await;
    seconds(30).await;
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    seconds(3600).await;
    assert_eq!(sim.told(), []);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_moves_no_cooldown_and_no_window() {
    let mut sim = Sim::with(|settings| settings.flap_threshold = 1000);
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.kill("shop-web", 1);
    sim.until_told(1).await;
    sim.fake.start_by_hand("shop-web");
    sim.until_told(2).await;
    for jump in [-4_000_000_000_000i64, 8_000_000_000_000] {
        sim.clock.set_wall_back(jump);
        sim.fake.kill("shop-web", 1);
        seconds(5).await;
        sim.fake.start_by_hand("shop-web");
        seconds(5).await;
    }
    assert_eq!(
        sim.told().len(),
        2,
        "still within the cooldown: {:?}",
        sim.told()
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_that_was_stopped_on_purpose_and_runs_is_drift() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    sim.settled(&stop).await;
    seconds(5).await;
    sim.fake.start_by_hand("shop-web");
    sim.until_told(1).await;
    assert_eq!(sim.told(), [drift(Opened)]);
}

#[tokio::test(start_paused = true)]
async fn silence_about_closings_can_be_asked_for() {
    let mut sim = Sim::with(|settings| settings.notify_close = false);
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.kill("shop-web", 1);
    sim.until_told(1).await;
    sim.fake.start_by_hand("shop-web");
    seconds(300).await;
    assert_eq!(sim.told(), [drift(Opened)]);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_command_ran_and_was_not_marked_is_sent_again_under_its_id() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    *sim.scribe.lingers.lock().unwrap() = Some(Duration::from_secs(5));
    sim.fake.kill("shop-web", 137);
    sim.until_told(1).await;
    sim.kill_agent().await;
    *sim.scribe.lingers.lock().unwrap() = None;
    sim.start_agent();
    sim.until_told(2).await;
    seconds(3600).await;
    assert_eq!(sim.told(), [drift(Opened), drift(Opened)]);
    let told = sim.scribe.told.lock().unwrap();
    assert_eq!(told[0], told[1], "the same message, under the same id");
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_until_its_opening_was_sent_and_holds_up_nobody_else() {
    let mut sim = Sim::new();
    let wanted = [("web", "v1", "no"), ("api", "v1", "no")];
    sim.deploy(service("shop", &wanted)).await;
    *sim.scribe.lingers.lock().unwrap() = Some(Duration::from_secs(8));
    *sim.scribe.fails_about.lock().unwrap() = Some("shop/web".to_owned());
    sim.fake.kill("shop-web", 1);
    sim.until_told(1).await;
    sim.fake.start_by_hand("shop-web");
    seconds(1).await;
    sim.fake.kill("shop-api", 1);
    sim.until_told(2).await;
    // The opening failed for the first time after 8 s, and is tried again after 5 more.
    seconds(9).await;
    let api = |event| (event, "drift shop/api".to_owned());
    assert_eq!(sim.told(), [drift(Opened), api(Opened)]);
    *sim.scribe.fails_about.lock().unwrap() = None;
    sim.until_told(4).await;
    assert_eq!(sim.told()[2..], [drift(Opened), drift(Closed)]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_is_tried_three_times_and_then_shown_as_given_up() {
    let mut sim = Sim::new();
    let wanted = [("web", "v1", "no"), ("api", "v1", "no")];
    sim.deploy(service("shop", &wanted)).await;
    *sim.scribe.fails_about.lock().unwrap() = Some("shop/web".to_owned());
    sim.fake.kill("shop-web", 1);
    seconds(3600).await;
    assert_eq!(sim.told(), vec![drift(Opened); 3]);
    let failure = sim.handle.seen().delivery.failure.clone();
    assert_eq!(failure.as_deref(), Some("exit status: 3"));
    let waiting = sim.store.database.lock().unwrap().undelivered(9).unwrap();
    assert_eq!(waiting, []);
    sim.fake.kill("shop-api", 1);
    sim.until_told(4).await;
    seconds(1).await;
    let delivery = sim.handle.seen().delivery.clone();
    assert!(
        delivery.failure.is_none() && delivery.sent.is_some(),
        "{delivery:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_sending_breaks_down_is_tried_again_like_one_that_fails() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.scribe.breaks.next(2);
    sim.fake.kill("shop-web", 1);
    seconds(3600).await;
    assert_eq!(sim.told(), vec![drift(Opened); 3]);
    assert_eq!(sim.handle.seen().delivery.failure, None);
    sim.scribe.breaks.next(10_000);
    sim.fake.start_by_hand("shop-web");
    seconds(3600).await;
    assert_eq!(sim.told()[3..], vec![drift(Closed); 3]);
    let failure = sim.handle.seen().delivery.failure.clone();
    assert_eq!(failure.as_deref(), Some("it panicked"));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_breaks_down_over_messages_loses_and_doubles_none() {
    for broken in 1..6 {
        let mut sim = Sim::new();
        sim.deploy(service("shop", &[("web", "v1", "no")])).await;
        sim.store.breaks.next(broken);
        sim.fake.kill("shop-web", 1);
        seconds(3600).await;
        assert_eq!(sim.told(), [drift(Opened)], "{broken}");
        let waiting = sim.store.database.lock().unwrap().undelivered(9).unwrap();
        assert_eq!(waiting, [], "{broken}");
    }
}
