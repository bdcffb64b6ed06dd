//! What the agents answered, in the shapes that `--output json` promises.
//!
//! Fields are only ever added. Times are RFC 3339 in UTC, ages are in seconds, and what is not
//! known is `null`. Every command that asks nodes answers with `nodes`, one entry for each node
//! asked, in the order of the configuration; `error` says why a node has no data.

use jiff::Timestamp;
use mcp_proto::v1;
use serde::Serialize;

use crate::human::timestamp;
use crate::table::{Table, Value};

/// One service as a node knows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) active: bool,
    pub(crate) components: Vec<Component>,
}

/// One component: what is wanted and what was seen.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) version: String,
    pub(crate) desired: String,
    pub(crate) observed: String,
    /// When the observed state was entered.
    pub(crate) since: Option<Timestamp>,
    /// When the container's process began.
    pub(crate) started: Option<Timestamp>,
    /// Why the state is unknown, or what the container is passing through.
    pub(crate) detail: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) revision: u64,
    pub(crate) generation: u64,
    /// Its service no longer names it.
    pub(crate) orphaned: bool,
    pub(crate) container_id: String,
    /// The operation that is open on it; empty where there is none.
    pub(crate) operation_id: String,
}

/// A container that nobody gave to MCP.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Foreign {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) desired: String,
    pub(crate) observed: String,
    pub(crate) container_id: String,
    pub(crate) started: Option<Timestamp>,
}

/// A difference between what is wanted and what is.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Drift {
    pub(crate) service: String,
    pub(crate) component: String,
    /// `state` or `spec`.
    pub(crate) kind: String,
    pub(crate) desired: String,
    pub(crate) observed: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) cause: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) incident_id: String,
    /// When the agent tries next to mend it by itself.
    pub(crate) next_attempt: Option<Timestamp>,
    /// The agent has tried in vain, and waits until something changes.
    pub(crate) gave_up: bool,
}

/// A component that changes its state too often.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Flapping {
    pub(crate) service: String,
    pub(crate) component: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) cause: String,
    pub(crate) incident_id: String,
}

/// Something that stands about a node as a whole.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Incident {
    pub(crate) id: String,
    /// `outage` or `reboot`.
    pub(crate) kind: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) cause: String,
}

/// Something that is wrong with a component or with the node, as it opens, changes and closes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct IncidentChange {
    pub(crate) id: String,
    /// `drift`, `flapping`, `gave-up`, `outage` or `reboot`.
    pub(crate) kind: String,
    /// Empty, like the component, for what concerns the node.
    pub(crate) service: String,
    pub(crate) component: String,
    pub(crate) opened: Option<Timestamp>,
    /// `null` while it stands.
    pub(crate) closed: Option<Timestamp>,
    pub(crate) cause: String,
    pub(crate) desired: String,
    pub(crate) observed: String,
}

impl IncidentChange {
    /// Whom it concerns.
    pub(crate) fn subject(&self) -> String {
        if self.service.is_empty() {
            "the node".to_owned()
        } else {
            format!("{}/{}", self.service, self.component)
        }
    }
}

/// An operation with its steps.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) service: String,
    pub(crate) state: String,
    pub(crate) caller: String,
    pub(crate) message: String,
    pub(crate) created: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) error: String,
    pub(crate) steps: Vec<Step>,
}

/// What an operation does to one component.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    pub(crate) component: String,
    pub(crate) state: String,
    pub(crate) phase: String,
    pub(crate) error: String,
}

/// A change of an observed state.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Event {
    pub(crate) id: i64,
    pub(crate) service: String,
    pub(crate) component: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) at: Option<Timestamp>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) cause: String,
    pub(crate) operation_id: String,
}

/// One source of observations, and how fresh it is.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) healthy: bool,
    pub(crate) last_seen: Option<Timestamp>,
    pub(crate) detail: String,
}

/// What became of one component in an operation.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outcome {
    pub(crate) component: String,
    pub(crate) success: bool,
    pub(crate) error: String,
    /// The spec had not changed; the container was replaced all the same.
    pub(crate) unchanged: bool,
    pub(crate) container_id: String,
    pub(crate) observed: String,
    /// Why nothing needed to be done; empty where something was.
    pub(crate) skipped: String,
}

impl From<v1::ServiceInfo> for Service {
    fn from(wire: v1::ServiceInfo) -> Self {
        Self {
            name: wire.name,
            active: wire.active,
            components: wire.components.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<v1::ComponentInfo> for Component {
    fn from(wire: v1::ComponentInfo) -> Self {
        Self {
            since: timestamp(wire.since.as_ref()),
            started: timestamp(wire.started.as_ref()),
            name: wire.name,
            image: wire.image,
            version: wire.version,
            desired: wire.desired_state,
            observed: wire.observed_state,
            detail: wire.detail,
            exit_code: wire.exit_code,
            revision: wire.revision,
            generation: wire.generation,
            orphaned: wire.orphaned,
            container_id: wire.container_id,
            operation_id: wire.operation_id,
        }
    }
}

impl Component {
    /// What the operator should know about it beside its states; empty where there is nothing.
    pub(crate) fn note(&self) -> String {
        let mut notes = Vec::new();
        if !self.detail.is_empty() {
            notes.push(self.detail.clone());
        }
        if self.orphaned {
            notes.push("orphaned: its service no longer names it".to_owned());
        }
        if !self.operation_id.is_empty() {
            notes.push(format!("operation {} is at work", self.operation_id));
        }
        notes.join("; ")
    }

    /// Whether nothing may be concluded from it. A word that this CLI does not know is no better.
    pub(crate) fn is_unknown(&self) -> bool {
        !matches!(
            self.observed.as_str(),
            "running" | "stopped" | "exited" | "removed"
        )
    }

    /// Whether it is seen to be other than wanted, and nothing is at work on it. Where that is no
    /// drift, the agent gives it a moment (S29).
    pub(crate) fn is_settling(&self) -> bool {
        let runs = self.observed == "running";
        let amiss = match self.desired.as_str() {
            "running" => !runs,
            "stopped" => runs,
            _ => false,
        };
        amiss && !self.is_unknown() && !self.orphaned && self.operation_id.is_empty()
    }
}

impl From<v1::ForeignContainer> for Foreign {
    fn from(wire: v1::ForeignContainer) -> Self {
        Self {
            started: timestamp(wire.started.as_ref()),
            name: wire.name,
            image: wire.image,
            desired: wire.desired_state,
            observed: wire.observed_state,
            container_id: wire.container_id,
        }
    }
}

impl From<v1::FlappingInfo> for Flapping {
    fn from(wire: v1::FlappingInfo) -> Self {
        Self {
            service: wire.service,
            component: wire.component,
            since: timestamp(wire.since.as_ref()),
            cause: wire.cause,
            incident_id: wire.incident_id,
        }
    }
}

impl From<v1::IncidentInfo> for Incident {
    fn from(wire: v1::IncidentInfo) -> Self {
        Self {
            since: timestamp(wire.opened.as_ref()),
            id: wire.id,
            kind: wire.kind,
            cause: wire.cause,
        }
    }
}

impl From<v1::DriftInfo> for Drift {
    fn from(wire: v1::DriftInfo) -> Self {
        Self {
            next_attempt: timestamp(wire.next_attempt.as_ref()),
            gave_up: wire.gave_up,
            since: timestamp(wire.since.as_ref()),
            service: wire.service,
            component: wire.component,
            kind: wire.kind,
            desired: wire.desired_state,
            observed: wire.observed_state,
            cause: wire.cause,
            exit_code: wire.exit_code,
            incident_id: wire.incident_id,
        }
    }
}

impl From<v1::EventInfo> for Event {
    fn from(wire: v1::EventInfo) -> Self {
        Self {
            at: timestamp(wire.timestamp.as_ref()),
            id: wire.id,
            service: wire.service,
            component: wire.component,
            from: wire.prev_state,
            to: wire.new_state,
            exit_code: wire.exit_code,
            cause: wire.cause,
            operation_id: wire.operation_id,
        }
    }
}

impl From<v1::IncidentInfo> for IncidentChange {
    fn from(wire: v1::IncidentInfo) -> Self {
        Self {
            opened: timestamp(wire.opened.as_ref()),
            closed: timestamp(wire.closed.as_ref()),
            id: wire.id,
            kind: wire.kind,
            service: wire.service,
            component: wire.component,
            cause: wire.cause,
            desired: wire.desired,
            observed: wire.observed,
        }
    }
}

impl From<v1::OperationInfo> for Operation {
    fn from(wire: v1::OperationInfo) -> Self {
        Self {
            created: timestamp(wire.created.as_ref()),
            finished: timestamp(wire.finished.as_ref()),
            id: wire.id,
            kind: wire.kind,
            service: wire.service,
            state: wire.state,
            caller: wire.caller,
            message: wire.message,
            error: wire.error,
            steps: all(wire.steps),
        }
    }
}

impl From<v1::OperationStep> for Step {
    fn from(wire: v1::OperationStep) -> Self {
        Self {
            component: wire.component,
            state: wire.state,
            phase: wire.phase,
            error: wire.error,
        }
    }
}

impl From<v1::SourceHealth> for Source {
    fn from(wire: v1::SourceHealth) -> Self {
        Self {
            last_seen: timestamp(wire.last_seen.as_ref()),
            name: wire.name,
            healthy: wire.healthy,
            detail: wire.detail,
        }
    }
}

impl From<v1::ComponentResult> for Outcome {
    fn from(wire: v1::ComponentResult) -> Self {
        Self {
            component: wire.name,
            success: wire.success,
            error: wire.error,
            unchanged: wire.unchanged,
            container_id: wire.container_id,
            observed: wire.observed_state,
            skipped: wire.skipped,
        }
    }
}

/// Converts a whole list.
pub(crate) fn all<W, V: From<W>>(wire: Vec<W>) -> Vec<V> {
    wire.into_iter().map(V::from).collect()
}

/// A text that the wire leaves empty where there is none.
pub(crate) fn said(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The section of containers that are not MCP's.
#[derive(Debug)]
pub(crate) struct ForeignTable {
    table: Table,
    omitted: u32,
}

impl Default for ForeignTable {
    fn default() -> Self {
        Self {
            table: Table::new(&["[NODE]", "CONTAINER", "DESIRED", "OBSERVED", "IMAGE"]),
            omitted: 0,
        }
    }
}

impl ForeignTable {
    /// Adds the containers of one node; `node` is empty where only one is shown.
    pub(crate) fn add(&mut self, node: &str, containers: &[Foreign], omitted: u32) {
        self.omitted = self.omitted.saturating_add(omitted);
        for container in containers {
            self.table.row([
                node.into(),
                container.name.as_str().into(),
                Value::state("ignore"),
                Value::state(&container.observed),
                container.image.as_str().into(),
            ]);
        }
    }

    /// The section; nothing where there are no such containers.
    pub(crate) fn render(&self) -> String {
        if self.table.is_empty() {
            return String::new();
        }
        let more = match self.omitted {
            0 => String::new(),
            more => format!("and {more} more\n"),
        };
        format!("\nNot managed by MCP\n{}{more}", self.table.render())
    }
}
