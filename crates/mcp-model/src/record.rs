//! What the registry knows about a service and its components.

use std::time::Duration;

use crate::alert::{Alert, AlertKind, Incident, IncidentId};
use crate::container::{ContainerId, Instance};
use crate::event::Event;
use crate::name::{ComponentKey, ComponentName, ServiceName};
use crate::operation::{OperationId, OperationKind, Phase, Progress, StepState, Ticket};
use crate::spec::ComponentSpec;
use crate::spec::ServiceSpec;
use crate::state::{DesiredState, ObservedState};
use crate::time::{BootId, Moment};

/// A service as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Its name.
    pub name: ServiceName,
    /// Whether its components should run.
    pub active: bool,
    /// Its components, by name.
    pub components: Vec<ComponentRecord>,
}

/// A component as the registry has it: intent on one side, last observation on the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRecord {
    /// Which one.
    pub key: ComponentKey,
    /// What the operator wants.
    pub desired: DesiredState,
    /// The spec as the operator last said it.
    pub spec: ComponentSpec,
    /// Counts specs (S6).
    pub revision: u64,
    /// Counts intents: specs and desired states (S6).
    pub generation: u64,
    /// When intent last changed.
    pub intent_at: Moment,
    /// Who changed it then: [`Origin::name`]. Empty where it was not noted.
    pub intent_by: String,
    /// Its service no longer names it.
    pub orphaned: bool,
    /// The container that MCP made or was given for it.
    pub container: Option<ContainerId>,
    /// The life that MCP stopped on purpose, if it was MCP that stopped it (S22).
    pub stopped: Option<Instance>,
    /// The spec that its present container was made from, with its revision.
    pub made_from: Option<(u64, ComponentSpec)>,
    /// The last spec that was deployed successfully, with its revision (S11).
    pub deployed: Option<(u64, ComponentSpec)>,
    /// What was observed last.
    pub observed: ObservedState,
    /// The life that was observed last.
    pub instance: Option<Instance>,
    /// When `observed` was entered. A first look counts from when intent was stated: as far as
    /// anyone knows, it was so ever since.
    pub observed_since: Option<Moment>,
    /// How its process last ended.
    pub exit_code: Option<i32>,
    /// Taken from the tag of the image that runs.
    pub version: String,
}

/// Everything that is stored about one key and that a reconciliation of it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyState {
    /// The component; absent when nobody wants anything of the key.
    pub record: Option<ComponentRecord>,
    /// The oldest open step on the key: the permission to act.
    pub ticket: Option<Ticket>,
    /// What the operation after that one wants, where one waits for its turn.
    pub next: Option<OperationKind>,
    /// Incidents that stand.
    pub incidents: Vec<Incident>,
    /// When something was last said about the key, per kind of alert: what cooldowns run from.
    pub last_told: Vec<(AlertKind, Moment)>,
}

/// Everything that is stored about the node as a whole (S31).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeState {
    /// The boot whose beginning was dealt with last; absent in a new registry.
    pub boot: Option<BootId>,
    /// Incidents of the node that stand.
    pub incidents: Vec<Incident>,
    /// Components that an incident of the node stands for, by key.
    pub covered: Vec<(IncidentId, ComponentKey)>,
    /// When something was last said about the node, per kind of alert.
    pub last_told: Vec<(AlertKind, Moment)>,
}

/// One reconciliation's new knowledge of a key: stored in one transaction, and only when something
/// changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservationChange {
    /// Of what.
    pub key: ComponentKey,
    /// The state, never `unknown`: what was not observed is not stored.
    pub observed: ObservedState,
    /// When that state was entered.
    pub since: Moment,
    /// The life that was seen.
    pub instance: Option<Instance>,
    /// The container that belongs to the key, and the revision that it was made from, where its
    /// labels tell.
    pub container: Option<(ContainerId, Option<u64>)>,
    /// How its process last ended.
    pub exit_code: Option<i32>,
    /// The version of the image that runs.
    pub version: String,
    /// The life that MCP recorded a stop of runs on, and nobody is at work on it: its end, whenever
    /// that comes, is not of that stop's making (S22).
    pub outlived_stop: bool,
    /// The transitions, in order.
    pub events: Vec<NewEvent>,
}

/// A transition to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What happened.
    pub event: Event,
    /// Whether it counts for flapping: not the second half of a restart (S23), not a first look,
    /// not what an operation did (S28).
    pub counted: bool,
}

/// A change of an incident, stored together with the message that it makes necessary, before that
/// is sent (S31).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentChange {
    /// The incident as it is now.
    pub incident: Incident,
    /// When it closed, if it did.
    pub closed: Option<Moment>,
    /// The message to send.
    pub alert: Option<Alert>,
}

/// What a step stores while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUpdate {
    /// Its operation.
    pub operation: OperationId,
    /// Its component.
    pub key: ComponentKey,
    /// What it is about to do.
    pub phase: Phase,
    /// What it must remember.
    pub progress: Progress,
    /// The life that it is about to stop on purpose (S22).
    pub stopping: Option<Instance>,
}

/// What became of operations that were to begin by now (S13).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expiry {
    /// Keys with a step that expired.
    pub keys: Vec<ComponentKey>,
    /// How long until the next one expires, where one waits.
    pub next: Option<Duration>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    /// Its operation.
    pub operation: OperationId,
    /// Its component.
    pub key: ComponentKey,
    /// A settled state.
    pub state: StepState,
    /// Why it failed or was not needed; empty on success.
    pub error: String,
    /// When.
    pub at: Moment,
}

/// What an operator asks for, as one transaction of intent, operation and audit (S12, S42).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRequest {
    /// Made by the client; a known id attaches to the operation that is there.
    pub id: OperationId,
    /// What is asked.
    pub request: Request,
    /// Who asks, and how: what audit needs.
    pub origin: Origin,
    /// Why, in the operator's words.
    pub message: String,
    /// Overwrite intent that somebody else stated (S10). Only a deploy asks.
    pub force: bool,
    /// When it was accepted.
    pub at: Moment,
}

/// What the controller asks for by itself, under the standing permission (S35): bringing one
/// component back to the intent that is stored. It changes no intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingRequest {
    /// Made by the controller.
    pub id: OperationId,
    /// Which component.
    pub key: ComponentKey,
    /// `Start` or `Stop`.
    pub kind: OperationKind,
    /// The intent that it was decided on. Where that is no longer the intent, nothing is accepted.
    pub generation: u64,
    /// What differs, in plain words.
    pub message: String,
    /// When it was decided.
    pub at: Moment,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Record the spec and replace the containers; only one component where it is named.
    Deploy {
        /// The whole service, as its definition says it.
        service: ServiceSpec,
        /// The component to deploy; all where absent.
        only: Option<ComponentName>,
    },
    /// Desired state `running` for all components.
    Start(ServiceName),
    /// Desired state `stopped` for all components.
    Stop(ServiceName),
    /// A newer life for what is desired `running`.
    Restart(ServiceName),
    /// Containers go, then the records.
    Undeploy {
        /// The service.
        service: ServiceName,
        /// One component; all where absent.
        only: Option<ComponentName>,
    },
}

impl Request {
    /// Its kind.
    pub fn kind(&self) -> OperationKind {
        match self {
            Self::Deploy { .. } => OperationKind::Deploy,
            Self::Start(_) => OperationKind::Start,
            Self::Stop(_) => OperationKind::Stop,
            Self::Restart(_) => OperationKind::Restart,
            Self::Undeploy { .. } => OperationKind::Undeploy,
        }
    }

    /// The service that it is about.
    pub fn service(&self) -> &ServiceName {
        match self {
            Self::Deploy { service, .. } => &service.name,
            Self::Start(name) | Self::Stop(name) | Self::Restart(name) => name,
            Self::Undeploy { service, .. } => service,
        }
    }
}

/// Who made a call, for audit and for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The authenticated subject.
    pub caller: String,
    /// Where the call came from: an address, or the socket.
    pub peer: String,
    /// The RPC's full name.
    pub method: String,
    /// The host that the caller says it works on; empty where it says none. Claimed, not proved:
    /// it tells apart workstations that share a token.
    pub host: String,
}

impl Origin {
    /// Whose intent this is: `<subject>@<host>` (S10).
    pub fn name(&self) -> String {
        match self.host.as_str() {
            "" => self.caller.clone(),
            host => format!("{}@{host}", self.caller),
        }
    }
}
