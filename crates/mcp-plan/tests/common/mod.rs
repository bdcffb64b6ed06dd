//! Makers of inputs, and what actions do to them.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::Duration;

use mcp_model::{
    BootId, ComponentKey, ComponentRecord, ComponentSpec, Condition, Container, ContainerId,
    DesiredState, Exit, Instance, Labels, Moment, Observed, ObservedState, OperationId,
    RuntimeState, Stamp,
};

pub(crate) fn key() -> ComponentKey {
    "shop/web".parse().unwrap()
}

pub(crate) fn id(n: u8) -> ContainerId {
    format!("{n:064x}").parse().unwrap()
}

pub(crate) fn operation() -> OperationId {
    "op01".parse().unwrap()
}

pub(crate) fn at(seconds: u64) -> Moment {
    Moment {
        wall: Stamp::from_millis(1_790_000_000_000 + i64::try_from(seconds).unwrap() * 1000),
        boot: Duration::from_secs(seconds),
        boot_id: BootId(1),
    }
}

pub(crate) fn spec() -> ComponentSpec {
    ComponentSpec::of_image("registry.example/web:v1".parse().unwrap())
}

pub(crate) fn instance(n: u8, life: u32) -> Instance {
    Instance {
        id: id(n),
        pid: Some(100 + life),
        started_at: Some(at(u64::from(life)).wall),
        restart_count: Some(0),
    }
}

pub(crate) fn container(
    n: u8,
    life: u32,
    state: RuntimeState,
    made_by: Option<OperationId>,
) -> Container {
    let lives = matches!(
        state,
        RuntimeState::Running | RuntimeState::Paused | RuntimeState::Stopping
    );
    let ended = matches!(state, RuntimeState::Exited | RuntimeState::Stopped);
    Container {
        instance: Instance {
            pid: lives.then_some(100 + life),
            ..instance(n, life)
        },
        name: key().container_name().to_string(),
        state,
        exit: ended.then_some(Exit {
            code: 137,
            out_of_memory: false,
        }),
        finished_at: None,
        image: "registry.example/web:v1".into(),
        memory_limit: None,
        labels: Labels {
            operation: made_by,
            ..Labels::default()
        },
    }
}

pub(crate) fn seen(container: Container) -> Observed {
    mcp_plan::classify::classify(container, None, ObservedState::Running)
}

pub(crate) fn present(state: ObservedState) -> Observed {
    let raw = match state {
        ObservedState::Running => RuntimeState::Running,
        ObservedState::Stopped => RuntimeState::Created,
        ObservedState::Exited => RuntimeState::Exited,
        ObservedState::Removed => return Observed::Removed,
        ObservedState::Unknown => {
            return Observed::Unknown {
                why: "podman hangs".into(),
            };
        }
    };
    seen(container(1, 1, raw, None))
}

pub(crate) fn record(desired: DesiredState, observed: ObservedState) -> ComponentRecord {
    ComponentRecord {
        key: key(),
        desired,
        spec: spec(),
        revision: 1,
        generation: 1,
        intent_at: at(0),
        intent_by: String::new(),
        orphaned: false,
        container: Some(id(1)),
        stopped: None,
        made_from: Some((1, spec())),
        deployed: Some((1, spec())),
        observed,
        instance: Some(instance(1, 1)),
        observed_since: Some(at(100)),
        exit_code: None,
        version: "v1".into(),
    }
}

pub(crate) const RUNTIME_STATES: [RuntimeState; 10] = [
    RuntimeState::Created,
    RuntimeState::Configured,
    RuntimeState::Initialized,
    RuntimeState::Running,
    RuntimeState::Paused,
    RuntimeState::Stopping,
    RuntimeState::Stopped,
    RuntimeState::Exited,
    RuntimeState::Restarting,
    RuntimeState::Removing,
];

pub(crate) fn condition(observed: &Observed) -> Option<Condition> {
    match observed {
        Observed::Present { condition, .. } => *condition,
        _ => None,
    }
}
