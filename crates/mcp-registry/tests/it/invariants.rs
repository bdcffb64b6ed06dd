//! What holds after any sequence of calls.

use std::collections::BTreeMap;

use mcp_model::{ComponentKey, ComponentSpec, OperationId, Request, ServiceSpec, StepState};
use mcp_registry::{Database, OperationFilter};
use proptest::prelude::*;

use crate::support::{
    deploy, deploy_only, minutes, outcome, request, restart, service, start, stop, sync, undeploy,
    update,
};

#[derive(Debug, Clone)]
enum Call {
    Accept(Request),
    Sync(ServiceSpec),
    /// Works on the ticket of one of the keys.
    Step(usize),
    Settle(usize, StepState),
    Expire,
}

fn wanted() -> impl Strategy<Value = ServiceSpec> {
    (1..8usize, 0..3u8, any::<bool>()).prop_map(|(which, tag, active)| {
        let tag = tag.to_string();
        let components: Vec<_> = ["x", "y", "z"]
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| which & (1 << bit) != 0)
            .map(|(_, name)| (name, tag.as_str()))
            .collect();
        ServiceSpec {
            active,
            ..service("a", &components)
        }
    })
}

fn call() -> impl Strategy<Value = Call> {
    let settled = prop::sample::select(vec![
        StepState::Succeeded,
        StepState::Succeeded,
        StepState::Failed,
        StepState::Skipped,
    ]);
    prop_oneof![
        2 => wanted().prop_map(|s| Call::Accept(deploy(&s))),
        1 => wanted().prop_map(|s| {
            let only = s.components.keys().next().unwrap().to_string();
            Call::Accept(deploy_only(&s, &only))
        }),
        3 => prop::sample::select(vec![
            start("a"), stop("a"), restart("a"), undeploy("a", None), undeploy("a", Some("x")),
        ]).prop_map(Call::Accept),
        1 => wanted().prop_map(Call::Sync),
        4 => (0..3usize).prop_map(Call::Step),
        6 => ((0..3usize), settled).prop_map(|(key, state)| Call::Settle(key, state)),
        1 => Just(Call::Expire),
    ]
}

/// What was pinned when each step was accepted.
type Pinned = BTreeMap<(OperationId, ComponentKey), ComponentSpec>;

fn perform(db: &mut Database, call: &Call, turn: u64) {
    let operation = format!("op{turn:02}");
    let ticket = |db: &Database, place: usize| {
        let key = db.keys().unwrap().get(place).cloned()?;
        db.load(&key).unwrap().ticket
    };
    match call {
        // Refusals are fine here: nothing may change by them, which the invariants see.
        Call::Accept(what) => {
            let _ = db.accept(&request(&operation, what.clone(), minutes(turn)));
        }
        Call::Sync(service) => {
            db.sync(&sync(std::slice::from_ref(service), minutes(turn)))
                .unwrap();
        }
        Call::Step(place) => {
            if let Some(ticket) = ticket(db, *place) {
                db.step(&update(ticket.operation.as_str(), &ticket.key))
                    .unwrap();
            }
        }
        Call::Settle(place, state) => {
            if let Some(ticket) = ticket(db, *place) {
                db.settle(&outcome(ticket.operation.as_str(), &ticket.key, *state))
                    .unwrap();
            }
        }
        Call::Expire => {
            db.expire(&minutes(turn)).unwrap();
        }
    }
}

fn check(db: &Database, pinned: &mut Pinned) -> Result<(), TestCaseError> {
    let all = OperationFilter {
        limit: 1_000,
        ..OperationFilter::default()
    };
    let operations = db.operations(&all).unwrap();
    let audits = db.audits(1_000).unwrap();
    let mut oldest: BTreeMap<ComponentKey, OperationId> = BTreeMap::new();
    for operation in &operations {
        let open: Vec<_> = operation
            .steps
            .iter()
            .filter(|s| !s.state.is_settled())
            .collect();
        prop_assert_eq!(
            operation.state.is_settled(),
            open.is_empty(),
            "{:?}",
            operation
        );
        prop_assert_eq!(operation.state.is_settled(), operation.finished.is_some());
        let audit = audits
            .iter()
            .find(|a| a.call.operation.as_ref() == Some(&operation.id));
        let told = audit.and_then(|a| a.outcome.as_deref());
        prop_assert_eq!(
            told,
            operation
                .state
                .is_settled()
                .then(|| operation.state.as_str())
        );
        // Newest first: the last one that is entered is the oldest.
        for step in open {
            let key = ComponentKey::new(operation.service.clone(), step.component.clone());
            oldest.insert(key, operation.id.clone());
        }
    }
    for key in db.keys().unwrap() {
        let state = db.load(&key).unwrap();
        let ticket = state.ticket.as_ref();
        prop_assert_eq!(ticket.map(|t| &t.operation), oldest.get(&key), "{}", key);
        // Nobody has permission to act on what nobody knows.
        prop_assert!(state.record.is_some(), "{} has a ticket and no record", key);
        if let Some(ticket) = ticket {
            let first = pinned
                .entry((ticket.operation.clone(), key.clone()))
                .or_insert_with(|| ticket.spec.clone());
            prop_assert_eq!(&*first, &ticket.spec, "a pinned spec changed");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_leaves_operations_whole(calls in prop::collection::vec(call(), 1..30)) {
        let mut db = Database::in_memory().unwrap();
        let mut pinned = Pinned::new();
        for (turn, call) in (0u64..).zip(&calls) {
            perform(&mut db, call, turn);
            check(&db, &mut pinned)?;
        }
    }
}
