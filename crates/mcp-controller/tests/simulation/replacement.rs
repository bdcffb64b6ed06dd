//! Replacements that meet with something: the old container is the way back until the new one was
//! seen running (S16).

use std::time::Duration;

use mcp_model::{ObservedState, OperationState, Request, RuntimeState};
use mcp_runtime::fake::{Behaviour, Fault};
use mcp_runtime::{Call, RuntimeError};

use crate::operations::calls;
use crate::world::{Sim, pass, service};

fn timed_out(call: Call) -> RuntimeError {
    RuntimeError::TimedOut {
        call,
        object: "shop-web".into(),
        after: Duration::from_mins(1),
    }
}

fn dies() -> Behaviour {
    Behaviour {
        ends: Some((Duration::ZERO, 3)),
        ..Behaviour::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_old_container_stays_until_the_new_one_was_seen_running_also_after_a_second_start() {
    let mut sim = Sim::new();
    sim.fake
        .add_image_that(&"registry.example/app:v3".parse().unwrap(), dies());
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    // Nobody hears whether it came up: what is there is started once more.
    let unheard = Fault::DoThenFail(timed_out(Call::Run));
    sim.fake.next(Call::Run, 1, &unheard);
    let operation = sim.deploy(service("shop", &[("web", "v3", "no")])).await;
    assert_eq!(operation.state, OperationState::Failed, "{operation:?}");
    let now = sim.fake.container("shop-web").unwrap();
    assert_eq!(now.instance.id, old, "{operation:?}");
    assert!(now.instance.pid.is_some(), "the old one runs again");
}

#[tokio::test(start_paused = true)]
async fn a_new_container_that_dies_of_its_first_line_was_seen_running_and_gives_way_all_the_same() {
    let mut sim = Sim::new();
    let dies_soon = Behaviour {
        ends: Some((Duration::from_millis(300), 3)),
        ..Behaviour::default()
    };
    sim.fake
        .add_image_that(&"registry.example/app:v3".parse().unwrap(), dies_soon);
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    let operation = sim.deploy(service("shop", &[("web", "v3", "no")])).await;
    assert_eq!(operation.state, OperationState::Failed, "{operation:?}");
    let now = sim.fake.container("shop-web").unwrap();
    assert_eq!(now.instance.id, old, "{operation:?}");
    assert!(now.instance.pid.is_some(), "the old one runs again");
}

#[tokio::test(start_paused = true)]
async fn a_new_container_that_a_hung_runtime_never_makes_gives_way_to_the_old_one() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    sim.fake.next(Call::Run, 1_000, &Fault::Hang);
    let operation = sim.deploy(service("shop", &[("web", "v2", "no")])).await;
    assert_eq!(operation.state, OperationState::Failed, "{operation:?}");
    let why = &operation.steps[0].error;
    assert!(
        why.contains("no answer") && why.contains("put back"),
        "{why}"
    );
    let now = sim.fake.container("shop-web").unwrap();
    assert_eq!(now.instance.id, old);
    assert!(now.instance.pid.is_some(), "the old one runs again");
    let runs = sim.fake.mutations();
    let runs = runs.iter().filter(|call| call.call == Call::Run).count();
    assert_eq!(runs, 1 + 2, "what hangs is tried once more");
}

#[tokio::test(start_paused = true)]
async fn the_way_back_is_gone_however_long_a_hung_runtime_takes() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    sim.fake.next(Call::Run, 2, &Fault::Hang);
    sim.fake.next(Call::Start, 40, &Fault::Hang);
    let operation = sim.deploy(service("shop", &[("web", "v2", "no")])).await;
    assert_eq!(operation.state, OperationState::Failed, "{operation:?}");
    let now = sim.fake.container("shop-web").unwrap();
    assert_eq!(now.instance.id, old);
    assert!(now.instance.pid.is_some(), "the old one runs again");
}

#[tokio::test(start_paused = true)]
async fn an_old_container_that_cannot_be_removed_is_removed_later_and_the_new_one_runs_on() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    sim.fake.next(Call::Remove, 3, &busy());
    let operation = sim.deploy(service("shop", &[("web", "v2", "no")])).await;
    assert_eq!(operation.state, OperationState::Succeeded, "{operation:?}");
    let now = sim.fake.container("shop-web").unwrap();
    assert_ne!(now.instance.id, old);
    assert_eq!(sim.fake.containers().len(), 1, "nothing is left");
    let runs = sim
        .fake
        .mutations()
        .iter()
        .filter(|call| call.call == Call::Run)
        .count();
    assert_eq!(runs, 2, "nobody was taken down for it");
}

#[tokio::test(start_paused = true)]
async fn an_old_container_that_can_never_be_removed_is_told_and_shown() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.next(Call::Remove, 10_000, &busy());
    let operation = sim.deploy(service("shop", &[("web", "v2", "no")])).await;
    assert_eq!(operation.state, OperationState::Failed);
    let error = &operation.steps[0].error;
    assert!(
        error.contains("device or resource busy") && !error.contains("put back"),
        "{error}"
    );
    sim.until("what was left behind is shown", |view| {
        view.foreign.len() == 1
    })
    .await;
    assert!(
        sim.fake
            .container("shop-web")
            .unwrap()
            .image
            .ends_with(":v2")
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_that_is_replaced_leaves_nothing_behind() {
    // Every death is followed by another start, at whatever moment of the replacement.
    let crashes = Behaviour {
        ends: Some((Duration::from_millis(7), 1)),
        ..Behaviour::default()
    };
    for moment in 0..40u64 {
        let mut sim = Sim::new();
        for tag in ["v3", "v4"] {
            let image = format!("registry.example/app:{tag}");
            sim.fake
                .add_image_that(&image.parse().unwrap(), crashes.clone());
        }
        sim.fake.restart_delay(Duration::from_millis(5));
        for call in [
            Call::Stop,
            Call::Rename,
            Call::Run,
            Call::Inspect,
            Call::Remove,
            Call::Start,
        ] {
            sim.fake.latency(call, Duration::from_millis(3));
        }
        sim.deploy(service("shop", &[("web", "v3", "always")]))
            .await;
        pass(Duration::from_millis(moment)).await;
        sim.deploy(service("shop", &[("web", "v4", "always")]))
            .await;
        let names: Vec<String> = sim.fake.containers().into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["shop-web"], "at {moment}");
    }
}

fn busy() -> Fault {
    Fault::Fail(RuntimeError::Failed {
        call: Call::Remove,
        object: "shop-web".into(),
        exit: Some(125),
        words: "device or resource busy".into(),
    })
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_to_be_put_back_where_nothing_was_left_to_put_back() {
    let mut sim = Sim::new();
    sim.fake
        .add_image_that(&"registry.example/app:v3".parse().unwrap(), dies());
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    // Somebody removes the old container while it is being set aside.
    sim.fake.latency(Call::Stop, Duration::from_millis(10));
    let request = mcp_model::Request::Deploy {
        service: service("shop", &[("web", "v3", "no")]),
        only: None,
    };
    let id = sim.ask(request).await;
    crate::world::pass(Duration::from_millis(5)).await;
    sim.fake.remove_by_hand("shop-web");
    let operation = sim.settled(&id).await;
    assert_eq!(operation.state, OperationState::Failed);
    let error = &operation.steps[0].error;
    assert!(!error.contains("was put back"), "{error}");
    sim.until_state("shop/web", ObservedState::Exited).await;
}

#[tokio::test(start_paused = true)]
async fn what_took_something_down_is_finished_however_late() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    sim.fake.next(Call::Run, 1, &Fault::Hang);
    let request = mcp_model::Request::Deploy {
        service: service("shop", &[("web", "v2", "no")]),
        only: None,
    };
    let id = sim.ask(request).await;
    crate::world::seconds(1).await;
    assert!(sim.fake.container("shop-web").is_none(), "it is set aside");
    sim.kill_agent().await;
    crate::world::seconds(3600).await;
    sim.start_agent();
    let operation = sim.settled(&id).await;
    assert_eq!(operation.state, OperationState::Succeeded, "{operation:?}");
    assert!(
        sim.fake
            .container("shop-web")
            .unwrap()
            .instance
            .pid
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn a_replacement_removes_the_old_container_last() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    sim.fake.forget_calls();
    let operation = sim.deploy(service("shop", &[("web", "v2", "no")])).await;
    assert_eq!(operation.state, OperationState::Succeeded);
    assert_eq!(
        calls(&sim),
        [
            Call::Pull,
            Call::Stop,
            Call::Rename,
            Call::Run,
            Call::Remove
        ]
    );
    let new = sim.fake.container("shop-web").unwrap().instance.id;
    assert_ne!(new, old);
    assert_eq!(sim.fake.containers().len(), 1);
    sim.until("the version of what runs", |view| {
        view.components
            .values()
            .all(|status| status.record.version == "v2")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_pull_leaves_the_old_container_as_it_was() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let old = sim.fake.container("shop-web").unwrap();
    let operation = sim.deploy(service("shop", &[("web", "v3", "no")])).await;
    assert_eq!(operation.state, OperationState::Failed);
    assert!(!operation.steps[0].error.is_empty());
    assert_eq!(sim.fake.container("shop-web").unwrap(), old);
}

#[tokio::test(start_paused = true)]
async fn a_new_container_that_dies_at_once_gives_way_to_the_old_one() {
    let mut sim = Sim::new();
    sim.fake
        .add_image_that(&"registry.example/app:v3".parse().unwrap(), dies());
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    let operation = sim.deploy(service("shop", &[("web", "v3", "no")])).await;
    assert_eq!(operation.state, OperationState::Failed, "{operation:?}");
    let now = sim.fake.container("shop-web").unwrap();
    assert_eq!(now.instance.id, old);
    assert!(now.instance.pid.is_some(), "the old one runs again");
    assert_eq!(sim.fake.containers().len(), 1, "nothing is left beside it");
    let error = &operation.steps[0].error;
    assert!(
        error.contains("3: ended with an error") && error.contains("put back"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_puts_the_old_container_back_and_says_why() {
    let mut sim = Sim::new();
    let refuses = Behaviour {
        fails_to_start: Some("exec: no such file".into()),
        ..Behaviour::default()
    };
    sim.fake
        .add_image_that(&"registry.example/app:v3".parse().unwrap(), refuses);
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    let operation = sim.deploy(service("shop", &[("web", "v3", "no")])).await;
    assert_eq!(operation.state, OperationState::Failed);
    assert!(
        operation.steps[0].error.contains("exec: no such file"),
        "{operation:?}"
    );
    assert_eq!(sim.fake.container("shop-web").unwrap().instance.id, old);
    sim.until_state("shop/web", ObservedState::Running).await;
    // What was deployed successfully is still the old spec (S11).
    let status = sim.status("shop/web");
    assert_eq!(
        status.record.deployed.as_ref().unwrap().1.image.version(),
        "v1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_pull_fails_at_once_also_where_the_old_container_is_half_removed() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    assert!(sim.fake.half_remove("shop-web"));
    let refused = RuntimeError::Failed {
        call: Call::Pull,
        object: "registry.example/app:v2".into(),
        exit: Some(125),
        words: "manifest unknown".into(),
    };
    sim.fake.next(Call::Pull, 1, &Fault::Fail(refused));
    let id = sim.ask(Request::Deploy {
        service: service("shop", &[("web", "v2", "no")]),
        only: None,
    });
    let id = id.await;
    let ended = tokio::time::timeout(Duration::from_secs(5), sim.settled(&id)).await;
    let ended = ended.expect("nothing is tried again");
    assert_eq!(ended.state, OperationState::Failed);
    let error = &ended.steps[0].error;
    assert!(
        error.contains("manifest unknown") && !error.contains("removed"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_container_whose_start_was_cut_off_runs_on_the_way_back() {
    let mut sim = Sim::new();
    sim.fake
        .add_image_that(&"registry.example/app:v3".parse().unwrap(), dies());
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    assert!(sim.fake.half_start("shop-web"));
    sim.handle.look().await.unwrap();
    let operation = sim.deploy(service("shop", &[("web", "v3", "no")])).await;
    assert_eq!(operation.state, OperationState::Failed, "{operation:?}");
    let now = sim.fake.container("shop-web").unwrap();
    assert_eq!(
        (now.state, now.image.as_str()),
        (RuntimeState::Running, "registry.example/app:v1")
    );
}
