//! Readers at every pace, against random histories.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mcp_controller::{Standing, Status, Verdict, View};
use mcp_model::{
    AlertKind, BootId, ComponentKey, ComponentRecord, ComponentSpec, DesiredState, Drift,
    DriftKind, Incident, IncidentId, Moment, Observed, ObservedState, Operation, OperationKind,
    OperationState, Scope, Stamp, Step, StepState,
};
use mcp_proto::v1;
use mcp_registry::News;
use proptest::prelude::*;

use super::{Change, Cursor, Journal, Limits, Reader, Writer};

fn moment(millis: i64) -> Moment {
    Moment {
        wall: Stamp::from_millis(millis),
        boot: Duration::ZERO,
        boot_id: BootId(1),
    }
}

pub(super) fn key(n: u8) -> ComponentKey {
    format!("s{}/c{n}", n % 2).parse().unwrap()
}

pub(super) fn status(key: &ComponentKey, detail: u8, drifts: bool) -> Status {
    let record = ComponentRecord {
        key: key.clone(),
        desired: DesiredState::Running,
        spec: ComponentSpec::of_image("localhost/hello:v1".parse().unwrap()),
        revision: u64::from(detail),
        generation: 1,
        intent_at: moment(1),
        intent_by: String::new(),
        orphaned: false,
        container: None,
        stopped: None,
        made_from: None,
        deployed: None,
        observed: ObservedState::Removed,
        instance: None,
        observed_since: None,
        exit_code: None,
        version: String::new(),
    };
    let drift = Drift {
        kind: DriftKind::State,
        desired: DesiredState::Running,
        observed: ObservedState::Removed,
        cause: format!("cause {detail}"),
        exit_code: None,
    };
    let standing = Standing {
        drift,
        since: moment(2),
        incident: None,
    };
    Status {
        record,
        observed: Observed::Removed,
        drift: drifts.then_some(standing).into_iter().collect(),
        flapping: None,
        operation: None,
        held_up: None,
        auto: Verdict::Off,
        seen_at: moment(3),
    }
}

pub(super) fn operation(n: u8, state: StepState) -> Operation {
    let whole = match state {
        StepState::Waiting => OperationState::Accepted,
        StepState::Running => OperationState::Running,
        _ => OperationState::Succeeded,
    };
    let key = key(n);
    Operation {
        id: format!("op{n:04}").parse().unwrap(),
        kind: OperationKind::Deploy,
        service: key.service,
        state: whole,
        caller: "alice".to_owned(),
        message: String::new(),
        created: Stamp::from_millis(1),
        start_by: Stamp::from_millis(2),
        finished: None,
        steps: vec![Step {
            component: key.component,
            state,
            phase: None,
            error: String::new(),
            revision: 1,
            unchanged: false,
        }],
    }
}

fn incident(n: u8, cause: u8) -> Incident {
    Incident {
        id: IncidentId(format!("i-{n}")),
        scope: if n == 0 { Scope::Node } else { key(n).into() },
        kind: AlertKind::Drift,
        opened: moment(5),
        told: None,
        cause: cause.to_string(),
        desired: DesiredState::Running,
        observed: ObservedState::Removed,
        covered_by: None,
    }
}

/// A node that changes, and the journal that is written of it.
struct World {
    view: View,
    operations: BTreeMap<u8, Operation>,
    incidents: BTreeMap<u8, (Incident, Option<Stamp>)>,
    journal: Journal,
    writer: Writer,
}

#[derive(Debug, Clone)]
enum Deed {
    Show(u8, u8, bool),
    Remove(u8),
    Step(u8, StepState),
    Open(u8, u8),
    Close(u8),
    /// The client reads so many messages.
    Read(u8),
    /// The connection breaks.
    Break,
}

impl World {
    fn new(changes: usize) -> Self {
        let limits = Limits {
            changes,
            bytes: usize::MAX,
        };
        let (journal, writer) = Journal::new(limits);
        writer.start_empty();
        Self {
            view: View::default(),
            operations: BTreeMap::new(),
            incidents: BTreeMap::new(),
            journal,
            writer,
        }
    }

    fn happen(&mut self, deed: &Deed) {
        match deed {
            Deed::Show(n, detail, drifts) => {
                let key = key(*n);
                let status = Arc::new(status(&key, *detail, *drifts));
                self.view.components.insert(key, status);
            }
            Deed::Remove(n) => {
                self.view.components.remove(&key(*n));
            }
            Deed::Step(n, state) => {
                self.operations.insert(*n, operation(*n, *state));
            }
            Deed::Open(n, cause) => {
                self.incidents.insert(*n, (incident(*n, *cause), None));
            }
            Deed::Close(n) => {
                if let Some((_, closed)) = self.incidents.get_mut(n) {
                    *closed = Some(Stamp::from_millis(9));
                }
            }
            Deed::Read(_) | Deed::Break => return,
        }
        let news = News {
            operations: self.operations.values().cloned().collect(),
            incidents: self.incidents.values().cloned().collect(),
            ..News::default()
        };
        self.writer.write(news, &self.view);
        // What is over is told once.
        self.operations.retain(|_, o| !o.state.is_settled());
        self.incidents.retain(|_, (_, closed)| closed.is_none());
    }

    fn reader(&self, client: &Client, service: Option<&str>) -> Reader {
        let service = service.map(|name| name.parse().unwrap());
        self.journal.read(Cursor::from_wire(client.cursor), service)
    }
}

/// What somebody knows who believes every message.
#[derive(Debug, Clone, Default, PartialEq)]
struct Client {
    cursor: u64,
    states: BTreeMap<String, v1::ComponentState>,
    drift: BTreeMap<String, v1::DriftInfo>,
    operations: BTreeMap<String, v1::OperationInfo>,
    incidents: BTreeMap<String, v1::IncidentInfo>,
}

impl Client {
    fn believe(&mut self, message: v1::WatchResponse) {
        if message.cursor != 0 {
            self.cursor = message.cursor;
        }
        match message.change.unwrap() {
            Change::Resync(_) => {
                *self = Self {
                    cursor: self.cursor,
                    ..Self::default()
                }
            }
            Change::State(state) => {
                let component = state.component.as_ref().unwrap();
                let key = format!("{}/{}", state.service, component.name);
                self.states.insert(key, state);
            }
            Change::Removed(gone) => {
                let key = format!("{}/{}", gone.service, gone.component);
                // While everything is told, it may go before its turn has come.
                self.states.remove(&key);
            }
            Change::DriftOpened(drift) => {
                let key = format!("{}/{}", drift.service, drift.component);
                self.drift.insert(key, drift);
            }
            Change::DriftClosed(drift) => {
                let key = format!("{}/{}", drift.service, drift.component);
                self.drift.remove(&key);
            }
            Change::Operation(operation) => {
                if operation.state == "succeeded" {
                    self.operations.remove(&operation.id);
                } else {
                    self.operations.insert(operation.id.clone(), operation);
                }
            }
            Change::Incident(incident) => {
                if incident.closed.is_some() {
                    self.incidents.remove(&incident.id);
                } else {
                    self.incidents.insert(incident.id.clone(), incident);
                }
            }
            Change::Complete(_) => {}
        }
    }

    fn read(&mut self, reader: &mut Reader, most: usize) -> usize {
        let messages = std::iter::from_fn(|| reader.try_next()).take(most);
        messages.map(|message| self.believe(message)).count()
    }

    fn knowledge(&self) -> Self {
        Self {
            cursor: 0,
            ..self.clone()
        }
    }
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let n = 0..6_u8;
    let states = prop::sample::select(vec![
        StepState::Waiting,
        StepState::Running,
        StepState::Succeeded,
    ]);
    let deed = prop_oneof![
        4 => (n.clone(), 0..4_u8, any::<bool>()).prop_map(|(n, d, x)| Deed::Show(n, d, x)),
        1 => n.clone().prop_map(Deed::Remove),
        3 => (n.clone(), states).prop_map(|(n, state)| Deed::Step(n, state)),
        2 => (n.clone(), 0..3_u8).prop_map(|(n, cause)| Deed::Open(n, cause)),
        1 => n.prop_map(Deed::Close),
        6 => (0..6_u8).prop_map(Deed::Read),
        2 => Just(Deed::Break),
    ];
    prop::collection::vec(deed, 0..120)
}

proptest! {
    #[test]
    fn whoever_follows_knows_in_the_end_what_one_who_begins_is_told(
        deeds in deeds(),
        remembered in 1..40_usize,
        one_service in any::<bool>(),
    ) {
        let service = one_service.then_some("s1");
        let mut world = World::new(remembered);
        let mut client = Client::default();
        let mut reader = world.reader(&client, service);
        for deed in &deeds {
            world.happen(deed);
            match deed {
                Deed::Read(most) => {
                    client.read(&mut reader, usize::from(*most));
                }
                Deed::Break => reader = world.reader(&client, service),
                _ => {}
            }
        }
        client.read(&mut reader, usize::MAX);
        let mut fresh = Client::default();
        fresh.read(&mut world.reader(&Client::default(), service), usize::MAX);
        prop_assert_eq!(client.knowledge(), fresh.knowledge());
        let shown = world.view.components.keys();
        let shown = shown.filter(|key| service.is_none_or(|name| key.service.as_str() == name));
        let shown: Vec<String> = shown.map(ToString::to_string).collect();
        let known: Vec<String> = fresh.states.into_keys().collect();
        prop_assert_eq!(known, shown);
    }
}

fn kinds(reader: &mut Reader) -> Vec<(&'static str, bool)> {
    std::iter::from_fn(|| reader.try_next())
        .map(|message| {
            let kind = match message.change.unwrap() {
                Change::Resync(_) => "resync",
                Change::Complete(_) => "complete",
                Change::State(_) => "state",
                Change::Incident(_) => "incident",
                other => panic!("{other:?}"),
            };
            (kind, message.cursor != 0)
        })
        .collect()
}

#[test]
fn a_slow_reader_is_told_everything_anew_and_not_every_change() {
    let mut world = World::new(8);
    let mut reader = world.reader(&Client::default(), None);
    world.happen(&Deed::Show(1, 0, false));
    let all = [("resync", false), ("state", false), ("complete", true)];
    assert_eq!(kinds(&mut reader), all);
    for n in 0..1000_u32 {
        world.happen(&Deed::Show(1, u8::try_from(n % 7).unwrap(), false));
    }
    assert_eq!(kinds(&mut reader), all);
    world.happen(&Deed::Open(0, 0));
    assert_eq!(kinds(&mut reader), [("incident", true)]);
}

#[test]
fn a_look_that_found_nothing_new_says_nothing() {
    let mut world = World::new(8);
    let mut reader = world.reader(&Client::default(), None);
    world.happen(&Deed::Show(1, 0, true));
    world.happen(&Deed::Step(1, StepState::Running));
    assert_eq!(std::iter::from_fn(|| reader.try_next()).count(), 5);
    // Published again, equal and at another place in memory.
    world.happen(&Deed::Show(1, 0, true));
    world.happen(&Deed::Step(1, StepState::Running));
    assert_eq!(reader.try_next(), None);
}

#[test]
fn whoever_breaks_off_while_he_is_told_everything_begins_again() {
    let mut world = World::new(100);
    for n in 0..4 {
        world.happen(&Deed::Show(n, 0, false));
    }
    let mut client = Client::default();
    let mut reader = world.reader(&client, None);
    for n in 0.. {
        let message = reader.try_next().unwrap();
        let complete = message.change == Some(Change::Complete(true));
        client.believe(message);
        if complete {
            break;
        }
        assert_eq!(client.cursor, 0, "nothing to continue from yet");
        if n < 4 {
            world.happen(&Deed::Show(5, n, false));
        }
    }
    assert_ne!(client.cursor, 0);
}

#[test]
fn of_an_operation_only_the_steps_that_changed_are_told() {
    let world = World::new(100);
    let mut reader = world.reader(&Client::default(), None);
    while reader.try_next().is_some() {}
    let mut both = operation(1, StepState::Running);
    let mut other = both.steps[0].clone();
    other.component = "other".parse().unwrap();
    both.steps.push(other);
    let mut told = |operation: &Operation| -> Vec<String> {
        let news = News {
            operations: vec![operation.clone()],
            ..News::default()
        };
        world.writer.write(news, &world.view);
        let Some(Change::Operation(told)) = reader.try_next().unwrap().change else {
            panic!("no operation was told");
        };
        told.steps.into_iter().map(|step| step.component).collect()
    };
    assert_eq!(told(&both), ["c1", "other"]);
    both.steps[1].state = StepState::Succeeded;
    assert_eq!(told(&both), ["other"]);
}

#[test]
fn nothing_is_told_before_it_is_known() {
    let (journal, writer) = Journal::new(Limits::default());
    let mut reader = journal.read(None, None);
    assert_eq!(reader.try_next(), None, "an empty node would be a lie");
    writer.start_empty();
    assert_eq!(kinds(&mut reader), [("resync", false), ("complete", true)]);
}
