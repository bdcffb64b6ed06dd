//! Why something happens, or does not (S36): the explanation is what the next run does.

use std::time::Duration;

use mcp_controller::port::Clock as _;
use mcp_controller::{Explanation, Verdict};
use mcp_model::{AlertKind, ObservedState, OperationKind, Request};
use mcp_plan::auto::{Allowance, Because};
use mcp_plan::{Action, Decision};
use mcp_runtime::Call;
use mcp_runtime::fake::Fault;

use crate::world::{Sim, pass, seconds, service};

use ObservedState::{Exited, Removed};

async fn why(sim: &Sim) -> Explanation {
    let key = "shop/web".parse().unwrap();
    let explained = sim.handle.explain(key).await.unwrap();
    explained.expect("it has a record")
}

#[tokio::test(start_paused = true)]
async fn what_why_says_is_what_the_next_run_does() {
    let mut sim = Sim::with(|settings| {
        settings.auto = Some(Allowance {
            initial: Duration::from_mins(1),
            max: Duration::from_mins(5),
            budget: 2,
            window: Duration::from_hours(1),
        });
    });
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    seconds(1).await;
    let fine = why(&sim).await;
    assert_eq!(fine.decision, Decision::Done);
    assert_eq!(fine.verdict, Verdict::Nothing(Because::InSync));

    sim.fake.kill("shop-web", 1);
    seconds(2).await;
    sim.fake.kill("shop-web", 1);
    sim.until_state("shop/web", Exited).await;
    let id = sim.fake.container("shop-web").unwrap().instance.id;
    let waiting = why(&sim).await;
    assert_eq!(
        waiting.decision,
        Decision::Act(vec![Action::Start(id.clone())])
    );
    assert_eq!((waiting.attempts, waiting.budget), (1, 2));
    let Verdict::Wait(due) = waiting.verdict else {
        panic!("{:?}", waiting.verdict);
    };
    sim.fake.forget_calls();
    pass(
        waiting
            .at
            .until(&due)
            .saturating_sub(Duration::from_millis(5)),
    )
    .await;
    assert_eq!(sim.fake.mutations(), [], "not before it said");
    pass(Duration::from_millis(50)).await;
    let done: Vec<_> = sim.fake.mutations().into_iter().map(|c| c.call).collect();
    assert_eq!(done, [Call::Start], "then, and what it said");

    sim.fake.kill("shop-web", 1);
    seconds(1).await;
    let spent = why(&sim).await;
    assert_eq!(spent.verdict, Verdict::GaveUp);
    let kinds: Vec<_> = spent
        .incidents
        .iter()
        .map(|incident| incident.kind)
        .collect();
    assert!(kinds.contains(&AlertKind::GaveUp), "{kinds:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_standing_permission_the_plan_is_shown_and_nothing_permits_it() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.remove_by_hand("shop-web");
    sim.until_state("shop/web", Removed).await;
    let explained = why(&sim).await;
    assert_eq!(explained.verdict, Verdict::Off);
    let Decision::Act(actions) = explained.decision else {
        panic!("{:?}", explained.decision);
    };
    assert!(matches!(actions[..], [Action::Pull { .. }, Action::Run]));
}

#[tokio::test(start_paused = true)]
async fn an_open_operation_is_explained_by_its_own_plan() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.latency(Call::Pull, Duration::from_mins(5));
    let request = Request::Deploy {
        service: service("shop", &[("web", "v2", "no")]),
        only: None,
    };
    sim.ask(request).await;
    seconds(10).await;
    let explained = why(&sim).await;
    let ticket = explained.ticket.expect("it is open");
    assert_eq!(
        (ticket.kind, ticket.caller.as_str()),
        (OperationKind::Deploy, "alice")
    );
    let Decision::Act(actions) = explained.decision else {
        panic!("{:?}", explained.decision);
    };
    let old = sim.fake.container("shop-web").unwrap().instance;
    assert!(
        matches!(&actions[..], [
        Action::Pull { .. },
        Action::Stop { instance, .. },
        Action::SetAside(id),
        Action::Run,
    ] if *instance == old && *id == old.id),
        "{actions:?}"
    );
    assert!(explained.schedule.running);
}

#[tokio::test(start_paused = true)]
async fn what_is_unknown_waits_and_says_until_when_it_backs_off() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let broken = Fault::Fail(mcp_runtime::RuntimeError::TimedOut {
        call: Call::List,
        object: "podman".into(),
        after: Duration::from_secs(30),
    });
    for call in [Call::List, Call::Inspect, Call::InspectName] {
        sim.fake.next(call, 1000, &broken);
    }
    seconds(300).await;
    let explained = why(&sim).await;
    assert!(explained.observed.is_unknown());
    assert_eq!(explained.decision, Decision::Wait);
    let back_off = explained.schedule.backing_off.expect("it backs off");
    assert!(explained.schedule.next >= back_off);
}

#[tokio::test(start_paused = true)]
async fn an_old_look_is_not_passed_off_as_a_new_one() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    // The listing that follows a deploy is over, the next resync far away.
    seconds(5).await;
    let looked = sim.clock.now();
    seconds(20).await;
    sim.sync(vec![service("shop", &[("web", "v2", "no")])])
        .await;
    sim.until("what the file changed is shown", |view| {
        view.components.values().any(|s| !s.drift.is_empty())
    })
    .await;
    let seen_at = why(&sim).await.seen_at.expect("it was looked at");
    assert!(looked.has_reached(&seen_at), "{seen_at:?}, {looked:?}");
    seconds(70).await;
    let seen_at = why(&sim).await.seen_at.expect("it was looked at");
    assert!(!looked.has_reached(&seen_at), "a listing confirmed it");
}
