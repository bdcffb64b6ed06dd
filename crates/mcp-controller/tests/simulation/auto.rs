//! Acting on drift without being asked (S35).

use std::time::Duration;

use mcp_controller::{Settings, Trigger, Verdict};
use mcp_model::operation::AUTO_RECONCILE;
use mcp_model::{
    AlertEvent, AlertKind, ObservedState, OperationKind, OperationState, Request, RuntimeState,
};
use mcp_plan::auto::Allowance;
use mcp_registry::{AuditRecord, OperationFilter};
use mcp_runtime::Call;
use mcp_runtime::fake::Fault;

use crate::world::{Sim, pass, seconds, service};

use AlertEvent::{Closed, Opened};
use ObservedState::{Exited, Removed, Running, Stopped};

const ALLOWANCE: Allowance = Allowance {
    initial: Duration::from_secs(1),
    max: Duration::from_mins(5),
    budget: 5,
    window: Duration::from_mins(10),
};

pub(crate) fn on(settings: &mut Settings) {
    settings.auto = Some(ALLOWANCE);
}

/// A node with auto-reconcile on, on which `shop/web` runs.
async fn running(restart: &str) -> Sim {
    let mut sim = Sim::with(on);
    sim.deploy(service("shop", &[("web", "v1", restart)])).await;
    seconds(1).await;
    sim.fake.forget_calls();
    sim
}

/// What the agent did by itself, oldest first: kind, state, message.
pub(crate) fn own(sim: &Sim) -> Vec<(OperationKind, OperationState, String)> {
    let filter = OperationFilter {
        limit: 1000,
        ..OperationFilter::default()
    };
    let operations = sim.store.database.lock().unwrap().operations(&filter);
    operations
        .unwrap()
        .into_iter()
        .rev()
        .filter(|operation| operation.caller == AUTO_RECONCILE)
        .map(|operation| (operation.kind, operation.state, operation.message))
        .collect()
}

/// Who is on record as having changed something, oldest first: method and caller.
fn audited(sim: &Sim) -> Vec<String> {
    let records = sim.store.database.lock().unwrap().audits(100).unwrap();
    let words = |record: &AuditRecord| {
        let origin = &record.call.origin;
        format!("{} {}", origin.method, origin.caller)
    };
    records.iter().rev().map(words).collect()
}

/// The messages about a spent budget.
fn gave_up(sim: &Sim) -> Vec<(AlertEvent, String)> {
    let told = sim.scribe.told.lock().unwrap();
    told.iter()
        .filter(|alert| alert.kind == AlertKind::GaveUp)
        .map(|alert| (alert.event, alert.reason.clone()))
        .collect()
}

fn runs(sim: &Sim) -> bool {
    let containers = sim.fake.containers();
    containers.iter().any(|c| c.instance.pid.is_some())
}

/// Lets it die as soon as it runs, so often, or until nobody starts it any more.
async fn crash_loop(sim: &Sim, most: usize) -> usize {
    for died in 0..most {
        let mut view = sim.handle.view();
        let comes_up = view.wait_for(|view| {
            let mut all = view.components.values();
            all.any(|status| status.observed.state() == Running)
        });
        let came_up = tokio::time::timeout(Duration::from_hours(1), comes_up)
            .await
            .is_ok();
        if !came_up {
            return died;
        }
        pass(Duration::from_millis(200)).await;
        sim.fake.kill("shop-web", 1);
        sim.until_state("shop/web", Exited).await;
    }
    most
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_start_left_half_way_is_brought_back() {
    let sim = running("no").await;
    assert!(sim.fake.half_start("shop-web"));
    sim.until_state("shop/web", Stopped).await;
    sim.until_state("shop/web", Running).await;
    seconds(60).await;
    let container = sim.fake.container("shop-web").unwrap();
    assert_eq!(container.state, RuntimeState::Running);
    let why =
        "set up and, says podman, not started: where a start was cut off, it may run all the same";
    let done = (OperationKind::Start, OperationState::Succeeded, why.into());
    assert_eq!(own(&sim), [done]);
}

#[tokio::test(start_paused = true)]
async fn what_exited_or_is_gone_is_brought_back_by_an_operation_that_says_who_and_why() {
    let sim = running("no").await;
    let generation = sim.status("shop/web").record.generation;
    sim.fake.kill("shop-web", 137);
    sim.until_state("shop/web", Exited).await;
    sim.until_state("shop/web", Running).await;
    seconds(60).await;
    sim.fake.remove_by_hand("shop-web");
    sim.until_state("shop/web", Removed).await;
    sim.until_state("shop/web", Running).await;
    let done = |why: &str| (OperationKind::Start, OperationState::Succeeded, why.into());
    assert_eq!(
        own(&sim),
        [done("137: killed (SIGKILL)"), done("its container is gone")]
    );
    let record = &sim.status("shop/web").record;
    assert_eq!(record.generation, generation, "intent is not touched");
    assert_eq!(
        audited(&sim),
        [
            "test alice",
            "auto-reconcile auto-reconcile",
            "auto-reconcile auto-reconcile"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_runs_though_it_was_stopped_is_stopped_and_a_declared_stop_is_never_undone() {
    let mut sim = running("no").await;
    let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    sim.settled(&stop).await;
    seconds(7200).await;
    assert_eq!(own(&sim), [], "it stays stopped");
    sim.fake.start_by_hand("shop-web");
    seconds(1).await;
    assert!(!runs(&sim));
    assert_eq!(sim.status("shop/web").observed.state(), Stopped);
    let why = "running, though it is meant to be stopped";
    let expected = (OperationKind::Stop, OperationState::Succeeded, why.into());
    assert_eq!(own(&sim), [expected]);
    sim.fake.remove_by_hand("shop-web");
    seconds(7200).await;
    assert_eq!(own(&sim).len(), 1, "what is gone is stopped as well");
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_races_with_it_wins() {
    // From before the death is seen to long after it was mended, a call taking 20 ms.
    for delay in [0, 1, 15, 25, 45, 65, 85, 200] {
        let mut sim = running("no").await;
        for call in [Call::Inspect, Call::Start, Call::Stop] {
            sim.fake.latency(call, Duration::from_millis(20));
        }
        sim.fake.kill("shop-web", 1);
        pass(Duration::from_millis(delay)).await;
        let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
        let stop = sim.settled(&stop).await;
        assert_eq!(stop.state, OperationState::Succeeded, "after {delay} ms");
        seconds(3600).await;
        assert!(!runs(&sim), "after {delay} ms: {:?}", own(&sim));
        assert!(own(&sim).len() <= 1, "after {delay} ms: {:?}", own(&sim));
    }
}

/// Its own operation gave way to the operator's, and nothing was made.
fn assert_gave_way(sim: &Sim) {
    let states: Vec<_> = own(sim).into_iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, [OperationState::Superseded]);
    let made = sim
        .fake
        .mutations()
        .into_iter()
        .filter(|c| c.call == Call::Run);
    assert_eq!(made.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_during_its_pull_keeps_it_from_starting_anything() {
    let mut sim = running("no").await;
    sim.fake.latency(Call::Pull, Duration::from_mins(5));
    sim.fake.remove_by_hand("shop-web");
    sim.until_state("shop/web", Removed).await;
    seconds(10).await;
    let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    sim.settled(&stop).await;
    assert_gave_way(&sim);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_accepted_before_a_kill_is_not_undone_by_what_is_resumed() {
    let mut sim = running("no").await;
    sim.fake.latency(Call::Pull, Duration::from_mins(5));
    sim.fake.remove_by_hand("shop-web");
    sim.until_state("shop/web", Removed).await;
    seconds(10).await;
    let stop = sim.ask(Request::Stop("shop".parse().unwrap())).await;
    sim.kill_agent().await;
    sim.start_agent();
    assert_eq!(sim.settled(&stop).await.state, OperationState::Succeeded);
    assert_gave_way(&sim);
}

#[tokio::test(start_paused = true)]
async fn what_a_restart_policy_mends_is_left_to_it() {
    let sim = running("always").await;
    for _ in 0..3 {
        sim.fake.crash("shop-web", 1, false);
        seconds(30).await;
    }
    assert_eq!(sim.status("shop/web").observed.state(), Running);
    assert_eq!(own(&sim), []);
    // A `podman kill` by hand is not mended by podman.
    sim.fake.kill("shop-web", 1);
    sim.until_state("shop/web", Exited).await;
    seconds(1).await;
    assert_eq!(own(&sim), [], "it is given its time");
    seconds(2).await;
    assert_eq!(own(&sim).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn attempts_back_off_whatever_events_come_until_the_budget_is_spent_and_that_is_told_once() {
    let sim = running("no").await;
    let began = tokio::time::Instant::now();
    let mut starts = Vec::new();
    sim.fake.kill("shop-web", 1);
    while starts.len() < 5 {
        sim.until_state("shop/web", Exited).await;
        // A storm of hints asks for nothing but looks.
        while sim.status("shop/web").observed.state() == Exited {
            let key = "shop/web".parse().unwrap();
            sim.handle.trigger(vec![key], Trigger::Hint).await;
            pass(Duration::from_millis(20)).await;
        }
        starts.push(began.elapsed());
        sim.fake.kill("shop-web", 1);
    }
    let waits: Vec<f64> = starts
        .windows(2)
        .map(|w| w[1].saturating_sub(w[0]).as_secs_f64())
        .collect();
    for (wait, doubled) in waits.iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert!(
            (doubled * 0.75 - 0.05..doubled + 0.2).contains(wait),
            "{waits:?}"
        );
    }
    seconds(86_400).await;
    assert_eq!(own(&sim).len(), 5, "spent is spent, however long it lasts");
    assert_eq!(sim.status("shop/web").auto, Verdict::GaveUp);
    let why = "5 attempts within 600 s did not last, nothing more is tried until something \
               changes: 1: ended with an error";
    assert_eq!(gave_up(&sim), [(Opened, why.to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_survives_a_restart_of_the_agent() {
    let mut sim = running("no").await;
    assert_eq!(
        crash_loop(&sim, 100).await,
        6,
        "five attempts and the deploy"
    );
    sim.restart_agent().await;
    seconds(3600).await;
    assert_eq!(own(&sim).len(), 5);
    assert_eq!(sim.status("shop/web").auto, Verdict::GaveUp);
    assert_eq!(gave_up(&sim).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_back_off_survives_a_restart_of_the_agent() {
    let mut sim = running("no").await;
    crash_loop(&sim, 4).await;
    let attempts = own(&sim).len();
    assert_eq!(attempts, 3);
    for _ in 0..5 {
        sim.restart_agent().await;
        pass(Duration::from_millis(500)).await;
    }
    assert_eq!(
        own(&sim).len(),
        attempts,
        "the fourth is due 3 s after the third"
    );
    seconds(2).await;
    assert_eq!(own(&sim).len(), attempts + 1);
}

#[tokio::test(start_paused = true)]
async fn new_intent_or_an_operators_operation_is_a_fresh_start() {
    let mut sim = running("no").await;
    for (attempts, again) in [
        (
            5,
            Request::Deploy {
                service: service("shop", &[("web", "v2", "no")]),
                only: None,
            },
        ),
        (10, Request::Start("shop".parse().unwrap())),
    ] {
        crash_loop(&sim, 100).await;
        assert_eq!(own(&sim).len(), attempts);
        assert_eq!(sim.status("shop/web").auto, Verdict::GaveUp);
        let id = sim.ask(again).await;
        sim.settled(&id).await;
        seconds(1).await;
        assert_eq!(sim.status("shop/web").observed.state(), Running);
        assert_eq!(gave_up(&sim).last().unwrap().0, Closed);
        seconds(1200).await;
    }
    sim.fake.kill("shop-web", 1);
    sim.until_state("shop/web", Running).await;
    seconds(3600).await;
    assert_eq!(own(&sim).len(), 11, "and it holds");
}

#[tokio::test(start_paused = true)]
async fn unknown_is_never_acted_on() {
    let sim = running("no").await;
    for call in [Call::List, Call::Inspect, Call::InspectName] {
        sim.fake.next(call, 100, &Fault::Hang);
    }
    sim.fake.kill("shop-web", 1);
    seconds(300).await;
    assert!(sim.status("shop/web").observed.is_unknown());
    assert_eq!(own(&sim), []);
    assert_eq!(sim.fake.mutations(), []);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_managed_and_was_deployed_is_brought_back_and_no_spec_is_deployed() {
    let mut sim = running("no").await;
    let wanted = [("web", "v2", "no"), ("new", "v1", "no")];
    sim.sync(vec![service("shop", &wanted)]).await;
    seconds(3600).await;
    assert_eq!(
        own(&sim),
        [],
        "another spec and what never ran are the operator's"
    );
    sim.sync(vec![service("shop", &[("new", "v1", "no")])])
        .await;
    sim.fake.kill("shop-web", 1);
    seconds(3600).await;
    assert_eq!(own(&sim), [], "an orphan is left alone");
    assert_eq!(sim.fake.mutations(), []);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_in_the_middle_resumes_and_starts_nothing_twice() {
    let mut sim = running("no").await;
    sim.fake.latency(Call::Pull, Duration::from_secs(30));
    sim.fake.remove_by_hand("shop-web");
    sim.until("an operation is open", |view| {
        view.components
            .values()
            .any(|status| status.operation.is_some())
    })
    .await;
    sim.kill_agent().await;
    sim.start_agent();
    sim.until_state("shop/web", Running).await;
    seconds(3600).await;
    assert_eq!(own(&sim).len(), 1);
    let made = sim
        .fake
        .mutations()
        .into_iter()
        .filter(|c| c.call == Call::Run);
    assert_eq!(made.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_flips_makes_no_more_changes_than_the_budget_holds() {
    let sim = running("no").await;
    sim.fake.latency(Call::Inspect, Duration::from_millis(25));
    for _ in 0..1000 {
        sim.fake.kill("shop-web", 137);
        pass(Duration::from_micros(500)).await;
        sim.fake.start_by_hand("shop-web");
        pass(Duration::from_micros(500)).await;
        sim.fake.kill("shop-web", 137);
        pass(Duration::from_millis(50)).await;
    }
    seconds(60).await;
    let changes = sim.fake.mutations().len();
    assert!((1..=5).contains(&changes), "{changes}");
    assert!(gave_up(&sim).len() <= 2, "{:?}", gave_up(&sim));
}
