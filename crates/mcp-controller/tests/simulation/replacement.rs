//! Replacements that meet with something: the old container is the way back until the new one was
//! seen running (S16).

use std::time::Duration;

use mcp_model::{ObservedState, OperationState};
use mcp_runtime::fake::{Behaviour, Fault};
use mcp_runtime::{Call, RuntimeError};

use crate::world::{Sim, service};

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
async fn a_new_container_that_runs_is_not_taken_down_because_the_old_one_cannot_be_removed() {
    let mut sim = Sim::new();
    sim.deploy(service("shop", &[("web", "v1", "no")])).await;
    let old = sim.fake.container("shop-web").unwrap().instance.id;
    let busy = RuntimeError::Failed {
        call: Call::Remove,
        object: "shop-web".into(),
        exit: Some(125),
        words: "device or resource busy".into(),
    };
    sim.fake.next(Call::Remove, 1, &Fault::Fail(busy));
    let operation = sim.deploy(service("shop", &[("web", "v2", "no")])).await;
    let now = sim.fake.container("shop-web").unwrap();
    assert_ne!(now.instance.id, old, "{operation:?}");
    assert!(now.instance.pid.is_some(), "{operation:?}");
    assert_eq!(operation.state, OperationState::Failed);
    let error = &operation.steps[0].error;
    assert!(error.contains("device or resource busy"), "{error}");
    assert!(!error.contains("put back"), "{error}");
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
