//! `mcp why`: what is planned for one component, from what, and who may carry it out (S36).

use anyhow::Result;
use jiff::Timestamp;
use mcp_proto::v1;
use serde::Serialize;

use crate::agent::Agent;
use crate::args::Target;
use crate::context::Context;
use crate::definitions;
use crate::fleet::locate;
use crate::human::timestamp;
use crate::problem::{Exit, Problem};
use crate::view::{self, Component, Drift, said};

/// What the agent said.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    pub(super) node: String,
    pub(super) service: String,
    /// What is wanted and what was seen.
    pub(super) component: Component,
    /// What the runtime does by itself when the container ends.
    pub(super) restart_policy: String,
    /// Of the spec that the container was made from, where it is known.
    pub(super) made_from_revision: Option<u64>,
    /// Of the last spec that was deployed successfully.
    pub(super) deployed_revision: Option<u64>,
    /// From the spec that the container was made from to the wanted one.
    pub(super) spec_changes: Vec<Change>,
    /// When the look began that this rests on.
    pub(super) seen_at: Option<Timestamp>,
    pub(super) answered_at: Option<Timestamp>,
    pub(super) drift: Vec<Drift>,
    /// The operation that has its turn on it.
    pub(super) operation: Option<Operation>,
    /// `act`, `nothing` or `wait`.
    pub(super) decision: String,
    /// What the runtime would be asked to do, in order.
    pub(super) actions: Vec<String>,
    /// Who lets it happen: `operation`, `standing` or `none`.
    pub(super) permission: String,
    pub(super) permission_reason: String,
    /// When it is looked at again, if nothing happens before.
    pub(super) next_look: Option<Timestamp>,
    /// Until then hints wait, since the last run failed.
    pub(super) backoff_until: Option<Timestamp>,
    /// When the agent may next act by itself.
    pub(super) next_attempt: Option<Timestamp>,
    /// How often the agent acted by itself within its window, and how often it may.
    pub(super) attempts: u32,
    pub(super) budget: u32,
    /// Who last changed intent, where that is still known.
    pub(super) intent_by: Option<String>,
    pub(super) intent_at: Option<Timestamp>,
    pub(super) intent_message: Option<String>,
    /// The last operation on it that has ended.
    pub(super) last_operation: Option<Operation>,
    pub(super) incidents: Vec<Incident>,
}

/// One field of a spec that differs.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    pub(super) field: String,
    pub(super) before: String,
    pub(super) after: String,
}

/// An operation, as far as it is about one component.
#[derive(Debug, Serialize)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) caller: String,
    pub(super) message: String,
    pub(super) created: Option<Timestamp>,
    pub(super) finished: Option<Timestamp>,
    /// What its step on the component does or did last.
    pub(super) phase: String,
    pub(super) error: String,
}

/// Something that is wrong, and stands.
#[derive(Debug, Serialize)]
pub(super) struct Incident {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) opened: Option<Timestamp>,
    pub(super) cause: String,
}

pub(crate) async fn run(context: &Context, target: &Target) -> Result<Exit> {
    let service = &target.service;
    let definition = definitions::resolve(&context.config.services.dir, None, service)?;
    let node = locate(context, service, definition.as_ref().map(|d| &d.node)).await?;
    let agent = Agent::connect(context, node).await?;
    let component = target.component.as_ref().map_or("", |name| name.as_str());
    let answer = agent.why(service.as_str(), component).await?;
    let explanation = Explanation::of(node.name.as_str(), answer).ok_or_else(|| {
        Problem::new(format!(
            "{} said nothing about {target}: its answer has no component",
            node.name
        ))
    })?;
    context.out.show(&explanation)?;
    Ok(Exit::Fine)
}

impl Explanation {
    fn of(node: &str, wire: v1::WhyResponse) -> Option<Self> {
        let known = |revision: u64| (revision > 0).then_some(revision);
        let component = wire.component?;
        let name = component.name.clone();
        let operation = |wire: v1::OperationInfo| Operation::of(wire, &name);
        Some(Self {
            node: node.to_owned(),
            service: wire.service,
            restart_policy: wire.restart_policy,
            made_from_revision: known(wire.made_from_revision),
            deployed_revision: known(wire.deployed_revision),
            spec_changes: view::all(wire.spec_changes),
            seen_at: timestamp(wire.seen_at.as_ref()),
            answered_at: timestamp(wire.answered_at.as_ref()),
            drift: view::all(wire.drift),
            operation: wire.operation.map(operation),
            decision: wire.decision,
            actions: wire.actions,
            permission: wire.permission,
            permission_reason: wire.permission_reason,
            next_look: timestamp(wire.next_look.as_ref()),
            backoff_until: timestamp(wire.backoff_until.as_ref()),
            next_attempt: timestamp(wire.next_attempt.as_ref()),
            attempts: wire.attempts,
            budget: wire.budget,
            intent_by: said(wire.intent_by),
            intent_at: timestamp(wire.intent_at.as_ref()),
            intent_message: said(wire.intent_message),
            last_operation: wire.last_operation.map(operation),
            incidents: view::all(wire.incidents),
            component: component.into(),
        })
    }
}

impl Operation {
    fn of(wire: v1::OperationInfo, component: &str) -> Self {
        let step = wire
            .steps
            .into_iter()
            .find(|step| step.component == component)
            .unwrap_or_default();
        Self {
            created: timestamp(wire.created.as_ref()),
            finished: timestamp(wire.finished.as_ref()),
            id: wire.id,
            kind: wire.kind,
            state: if step.state.is_empty() {
                wire.state
            } else {
                step.state
            },
            caller: wire.caller,
            message: wire.message,
            phase: step.phase,
            error: step.error,
        }
    }
}

impl From<v1::FieldChange> for Change {
    fn from(wire: v1::FieldChange) -> Self {
        Self {
            field: wire.field,
            before: wire.before,
            after: wire.after,
        }
    }
}

impl From<v1::IncidentInfo> for Incident {
    fn from(wire: v1::IncidentInfo) -> Self {
        Self {
            opened: timestamp(wire.opened.as_ref()),
            id: wire.id,
            kind: wire.kind,
            cause: wire.cause,
        }
    }
}
