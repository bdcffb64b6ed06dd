//! What concerns the whole node is told once (S31).

use std::time::Duration;

use mcp_model::{AlertEvent, AlertKind, ObservedState, Request};
use mcp_runtime::fake::Fault;
use mcp_runtime::{Call, RuntimeError};

use crate::auto;
use crate::world::{Sim, many, seconds, service};

use AlertEvent::{Closed, Opened, Reminder};
use ObservedState::{Exited, Running, Unknown};

const CALLS: [Call; 3] = [Call::List, Call::Inspect, Call::InspectName];

fn break_runtime(sim: &Sim) {
    for call in CALLS {
        let fault = Fault::Fail(RuntimeError::TimedOut {
            call,
            object: "podman".into(),
            after: Duration::from_secs(30),
        });
        sim.fake.next(call, 1_000_000, &fault);
    }
}

fn outage(event: AlertEvent) -> (AlertEvent, String) {
    (event, "outage node".to_owned())
}

fn reboot(event: AlertEvent) -> (AlertEvent, String) {
    (event, "reboot node".to_owned())
}

async fn fifty() -> Sim {
    let mut sim = Sim::new();
    sim.deploy(many("shop", 50)).await;
    seconds(5).await;
    sim
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_runtime_is_one_incident_of_the_node() {
    let sim = fifty().await;
    break_runtime(&sim);
    sim.until_told(1).await;
    let view = sim.handle.seen();
    assert!(
        view.components
            .values()
            .all(|status| status.drift.is_empty())
    );
    let [shown] = &view.node[..] else {
        panic!("{:?}", view.node);
    };
    assert_eq!(shown.kind, AlertKind::Outage);
    assert!(
        shown.cause.starts_with("the runtime does not answer: "),
        "{shown:?}"
    );
    sim.until_state("shop/c0", Unknown).await;
    seconds(7200).await;
    assert_eq!(sim.told(), [outage(Opened)]);
    sim.fake.forget_faults();
    sim.until_told(2).await;
    sim.until_state("shop/c0", Running).await;
    seconds(60).await;
    assert_eq!(sim.told(), [outage(Opened), outage(Closed)]);
    assert_eq!(sim.handle.seen().node, []);
    let told = sim.scribe.told.lock().unwrap();
    assert_eq!(told[0].incident, told[1].incident);
    assert_eq!((told[0].observed, told[0].scope.key()), (Unknown, None));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_failed_for_a_moment_is_asked_again_and_no_outage() {
    let sim = fifty().await;
    let fails = Fault::Fail(RuntimeError::TimedOut {
        call: Call::List,
        object: "podman".into(),
        after: Duration::from_secs(30),
    });
    sim.fake.next(Call::List, 2, &fails);
    sim.handle.look().await.unwrap();
    assert!(sim.handle.seen().observation_error.is_some());
    seconds(11).await;
    assert_eq!(
        sim.handle.seen().observation_error,
        None,
        "asked again soon"
    );
    seconds(600).await;
    assert_eq!(sim.told(), []);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_though_judging_it_broke_down_before() {
    let sim = fifty().await;
    sim.store.node_breaks.next(3);
    break_runtime(&sim);
    sim.until_told(1).await;
    assert_eq!(sim.told(), [outage(Opened)]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_outlives_the_agent_and_is_not_told_twice() {
    let mut sim = fifty().await;
    break_runtime(&sim);
    sim.until_told(1).await;
    sim.restart_agent().await;
    seconds(7200).await;
    assert_eq!(sim.told(), [outage(Opened)]);
    assert_eq!(
        sim.handle.seen().node.len(),
        1,
        "it is shown by the next agent too"
    );
    sim.stop_agent().await;
    sim.fake.forget_faults();
    sim.restart_agent().await;
    sim.until_told(2).await;
    assert_eq!(sim.told(), [outage(Opened), outage(Closed)]);
}

#[tokio::test(start_paused = true)]
async fn what_died_during_an_outage_is_told_when_the_runtime_answers_again() {
    let sim = fifty().await;
    break_runtime(&sim);
    sim.until_told(1).await;
    sim.fake.kill("shop-c3", 1);
    seconds(600).await;
    sim.fake.forget_faults();
    sim.until_told(3).await;
    seconds(600).await;
    let mut told = sim.told();
    told.sort();
    let drift = (Opened, "drift shop/c3".to_owned());
    assert_eq!(told, [drift, outage(Opened), outage(Closed)]);
}

/// The node goes down and comes up with these containers back.
async fn rebooted(sim: &mut Sim, back: &[&str]) {
    sim.kill_agent().await;
    sim.reboot();
    for container in sim.fake.containers() {
        sim.fake.kill(&container.name, 137);
    }
    for name in back {
        sim.fake.start_by_hand(name);
    }
    sim.start_agent();
}

#[tokio::test(start_paused = true)]
async fn a_reboot_is_one_incident_that_names_what_did_not_come_back() {
    let mut sim = fifty().await;
    rebooted(&mut sim, &["shop-c0", "shop-c1"]).await;
    sim.until_state("shop/c9", Exited).await;
    assert_eq!(sim.told(), [], "it has a moment to come back by itself");
    sim.until_told(1).await;
    seconds(7200).await;
    assert_eq!(sim.told(), [reboot(Opened)]);
    let alert = sim.scribe.told.lock().unwrap()[0].clone();
    assert_eq!(
        alert.reason,
        "the node was rebooted and 48 components did not come back: \
         shop/c10, shop/c11, shop/c12, shop/c13, shop/c14 and 43 more"
    );
    let drift = &sim.status("shop/c9").drift;
    assert_eq!(drift[0].incident.as_ref(), Some(&alert.incident));
    assert_eq!(sim.handle.seen().node[0].id, alert.incident);

    // All but one are started, and one is no longer wanted.
    for n in 2..49 {
        sim.fake.start_by_hand(&format!("shop-c{n}"));
    }
    seconds(3600).await;
    assert_eq!(sim.told(), [reboot(Opened)], "one is still missing");
    sim.restart_agent().await;
    sim.fake.start_by_hand("shop-c49");
    sim.until_told(2).await;
    seconds(3600).await;
    assert_eq!(sim.told(), [reboot(Opened), reboot(Closed)]);
    assert_eq!(sim.handle.seen().node, []);
}

#[tokio::test(start_paused = true)]
async fn a_reboot_after_which_everything_comes_back_is_told_nobody() {
    let mut sim = fifty().await;
    rebooted(&mut sim, &[]).await;
    seconds(40).await;
    for n in 0..50 {
        sim.fake.start_by_hand(&format!("shop-c{n}"));
    }
    seconds(7200).await;
    assert_eq!(sim.told(), []);
    assert_eq!(sim.handle.seen().node, []);
}

#[tokio::test(start_paused = true)]
async fn after_a_reboot_a_component_speaks_for_itself_once_it_was_back() {
    let mut sim = fifty().await;
    rebooted(&mut sim, &[]).await;
    sim.until_told(1).await;
    sim.fake.start_by_hand("shop-c7");
    seconds(60).await;
    sim.fake.kill("shop-c7", 1);
    sim.until_told(2).await;
    assert_eq!(
        sim.told(),
        [reboot(Opened), (Opened, "drift shop/c7".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_down_before_a_reboot_keeps_its_own_incident() {
    let mut sim = fifty().await;
    sim.fake.kill("shop-c7", 1);
    sim.until_told(1).await;
    let back: Vec<String> = (0..50)
        .filter(|n| *n != 7)
        .map(|n| format!("shop-c{n}"))
        .collect();
    let back: Vec<&str> = back.iter().map(String::as_str).collect();
    rebooted(&mut sim, &back).await;
    seconds(7200).await;
    sim.fake.start_by_hand("shop-c7");
    sim.until_told(2).await;
    let drift = |event| (event, "drift shop/c7".to_owned());
    assert_eq!(sim.told(), [drift(Opened), drift(Closed)]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_while_a_reboot_settles_tells_it_once_all_the_same() {
    let mut sim = fifty().await;
    rebooted(&mut sim, &["shop-c0"]).await;
    for wait in [1, 20, 59, 61, 62] {
        seconds(wait).await;
        sim.kill_agent().await;
        sim.start_agent();
    }
    sim.until_told(1).await;
    seconds(7200).await;
    assert_eq!(sim.told(), [reboot(Opened)]);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_changes_after_a_reboot_ends_the_nodes_incident() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.deploy(service("blog", &[("web", "v1", "no")])).await;
    sim.deploy(service("mail", &[("web", "v1", "no")])).await;
    seconds(5).await;
    rebooted(&mut sim, &[]).await;
    sim.until_told(1).await;
    let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    sim.settled(&stop).await;
    let undeploy = Request::Undeploy {
        service: "mail".parse().unwrap(),
        only: None,
    };
    let undeploy = sim.ask(undeploy).await;
    sim.settled(&undeploy).await;
    seconds(600).await;
    assert_eq!(sim.told(), [reboot(Opened)], "the blog is still down");
    // Another spec is wanted of it now, and still it is down.
    sim.sync(vec![service("blog", &[("web", "v2", "no")])])
        .await;
    sim.until_told(3).await;
    seconds(7200).await;
    let mut told = sim.told();
    told.sort();
    let drift = (Reminder, "drift blog/web".to_owned());
    assert_eq!(told, [reboot(Opened), reboot(Closed), drift]);
}

#[tokio::test(start_paused = true)]
async fn a_second_reboot_adds_to_the_incident_of_the_first_and_says_so() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no"), ("api", "v1", "no")]))
        .await;
    seconds(5).await;
    rebooted(&mut sim, &["shop-api"]).await;
    sim.until_told(1).await;
    seconds(1800).await;
    rebooted(&mut sim, &[]).await;
    sim.until_told(2).await;
    seconds(3600).await;
    assert_eq!(sim.told(), [reboot(Opened), reboot(Reminder)]);
    let told = sim.scribe.told.lock().unwrap().clone();
    assert_eq!(told[0].incident, told[1].incident);
    assert!(
        told[1].reason.contains("2 components did not come back"),
        "{}",
        told[1].reason
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_reboot_took_down_is_brought_back_before_anybody_is_told() {
    let mut sim = Sim::with(auto::on);
    sim.deploy(many("shop", 10)).await;
    seconds(5).await;
    rebooted(&mut sim, &[]).await;
    seconds(7200).await;
    assert_eq!(sim.told(), []);
    assert_eq!(auto::own(&sim).len(), 10, "each was started once");
    let containers = sim.fake.containers();
    assert!(containers.iter().all(|c| c.instance.pid.is_some()));
}

#[tokio::test(start_paused = true)]
async fn what_auto_reconcile_cannot_bring_back_after_a_reboot_is_told_once_of_each_kind() {
    let mut sim = Sim::with(auto::on);
    sim.deploy(many("shop", 3)).await;
    seconds(5).await;
    let refused = Fault::Fail(RuntimeError::ImageMissing {
        call: Call::Start,
        object: "a container".into(),
        words: "it was pruned".into(),
    });
    sim.fake.next(Call::Start, 1_000_000, &refused);
    rebooted(&mut sim, &["shop-c0", "shop-c2"]).await;
    sim.until_told(2).await;
    seconds(7200).await;
    let gave_up = (Opened, "gave-up shop/c1".to_owned());
    assert_eq!(sim.told(), [gave_up, reboot(Opened)]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_and_goes_while_a_reboot_settles_does_not_count_for_flapping() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    seconds(5).await;
    rebooted(&mut sim, &[]).await;
    // It waits for another one, as things do when everything starts at once.
    for _ in 0..5 {
        seconds(3).await;
        sim.fake.start_by_hand("shop-web");
        seconds(3).await;
        sim.fake.kill("shop-web", 1);
    }
    seconds(3).await;
    sim.fake.start_by_hand("shop-web");
    seconds(7200).await;
    assert_eq!(sim.told(), []);
}
