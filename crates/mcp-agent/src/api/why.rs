//! Why something happens, or does not (S36): the controller's explanation, with who last had a say.

use std::time::Duration;

use mcp_controller::{Explanation, Handle, Verdict};
use mcp_model::{
    ComponentKey, ComponentName, ComponentRecord, Moment, Operation, OperationId, ServiceName,
};
use mcp_plan::auto::Because;
use mcp_plan::drift::Assessment;
use mcp_plan::{Decision, diff, words};
use mcp_proto::convert::field;
use mcp_proto::convert::info::{self, Live};
use mcp_proto::convert::time::stamp_to_wire;
use mcp_proto::v1;
use mcp_registry::{AuditRecord, OperationFilter, Registry};
use tonic::{Request, Status};

use super::answer;

/// How far back the last operation on a component is looked for, in operations of its service.
const OPERATIONS: u32 = 200;
/// How far back whoever changed intent is looked for, in audit records.
const AUDITS: u32 = 1_000;

/// What explanations need.
pub struct Why {
    registry: Registry,
    controller: Handle,
}

/// Who last had a say.
struct Actors {
    intent: Option<AuditRecord>,
    open: Option<Operation>,
    last: Option<Operation>,
}

impl Why {
    /// Explains what `controller` does.
    pub fn new(registry: Registry, controller: Handle) -> Self {
        Self {
            registry,
            controller,
        }
    }

    pub(super) async fn why(
        &self,
        request: Request<v1::WhyRequest>,
    ) -> Result<v1::WhyResponse, Status> {
        let wire = request.get_ref();
        let service: ServiceName = field::required("service", &wire.service)?;
        let component: Option<ComponentName> = field::optional("component", &wire.component)?;
        let key = self.key(service, component).await?;
        let explained = self.controller.explain(key.clone()).await;
        let explained = explained
            .map_err(|failure| Status::unavailable(failure.to_string()))?
            .ok_or_else(|| Status::not_found(format!("{key} is not known on this node")))?;
        let operation = explained.ticket.as_ref().map(|ticket| &ticket.operation);
        let actors = self.actors(&explained.record, operation).await?;
        Ok(response(&explained, &actors))
    }

    /// The component that is meant, or what there is to choose from.
    async fn key(
        &self,
        service: ServiceName,
        component: Option<ComponentName>,
    ) -> Result<ComponentKey, Status> {
        let known = self.registry.service(service.clone()).await;
        let known = known.map_err(answer::registry)?.ok_or_else(|| {
            Status::not_found(format!("service {service} is not known on this node"))
        })?;
        let keys: Vec<&ComponentKey> = known.components.iter().map(|c| &c.key).collect();
        let all: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let all = all.join(", ");
        match (component, keys.as_slice()) {
            (None, [only]) => Ok((*only).clone()),
            (None, _) => Err(Status::invalid_argument(format!(
                "component: service {service} has several, name one of them: {all}"
            ))),
            (Some(name), _) => match keys.iter().find(|key| key.component == name) {
                Some(key) => Ok((*key).clone()),
                None => Err(Status::not_found(format!(
                    "{service}/{name} is not known on this node; service {service} has {all}"
                ))),
            },
        }
    }

    async fn actors(
        &self,
        record: &ComponentRecord,
        open: Option<&OperationId>,
    ) -> Result<Actors, Status> {
        let filter = OperationFilter {
            service: Some(record.key.service.clone()),
            limit: OPERATIONS,
            id: None,
        };
        let operations = self.registry.operations(filter).await;
        let of_component = |operation: &Operation| {
            let mut steps = operation.steps.iter();
            steps.any(|step| step.component == record.key.component)
        };
        let (mut opened, mut last) = (None, None);
        for operation in operations.map_err(answer::registry)? {
            if Some(&operation.id) == open {
                opened = Some(operation);
            } else if last.is_none() && operation.state.is_settled() && of_component(&operation) {
                last = Some(operation);
            }
        }
        let audits = self.registry.audits(AUDITS).await;
        // Intent and the record of who changed it are of one transaction and one moment.
        let intent = audits
            .map_err(answer::registry)?
            .into_iter()
            .find(|record_of| record_of.call.at == record.intent_at.wall);
        Ok(Actors {
            intent,
            open: opened,
            last,
        })
    }
}

fn response(explained: &Explanation, actors: &Actors) -> v1::WhyResponse {
    let record = &explained.record;
    let ticket = explained.ticket.as_ref();
    let held_up = ticket.and_then(|ticket| ticket.progress.held_up());
    let live = Live {
        observed: &explained.observed,
        operation: ticket.map(|ticket| &ticket.operation),
        held_up: held_up.as_deref(),
    };
    let at = |wait: Duration| Some(stamp_to_wire(explained.at.plus(wait).wall));
    let intent = actors.intent.as_ref().map(|audit| &audit.call);
    let (decision, actions) = decision(explained);
    let (permission, permission_reason) = permission(explained);
    v1::WhyResponse {
        service: record.key.service.to_string(),
        component: Some(info::component_info(record, Some(live))),
        restart_policy: record.spec.restart().to_string(),
        made_from_revision: record
            .made_from
            .as_ref()
            .map_or(0, |(revision, _)| *revision),
        deployed_revision: record
            .deployed
            .as_ref()
            .map_or(0, |(revision, _)| *revision),
        spec_changes: spec_changes(record),
        seen_at: explained.seen_at.map(|at| stamp_to_wire(at.wall)),
        answered_at: Some(stamp_to_wire(explained.at.wall)),
        drift: drift(explained),
        operation: actors.open.as_ref().map(info::operation_info),
        decision,
        actions,
        permission,
        permission_reason,
        next_look: at(explained.schedule.next),
        backoff_until: explained.schedule.backing_off.and_then(at),
        next_attempt: next_attempt(explained.verdict).map(|at| stamp_to_wire(at.wall)),
        attempts: explained.attempts,
        budget: explained.budget,
        intent_by: record.intent_by.clone(),
        intent_at: Some(stamp_to_wire(record.intent_at.wall)),
        intent_message: intent.map(|call| call.message.clone()).unwrap_or_default(),
        last_operation: actors.last.as_ref().map(info::operation_info),
        incidents: explained
            .incidents
            .iter()
            .map(|incident| info::incident_info(incident, None))
            .collect(),
    }
}

fn spec_changes(record: &ComponentRecord) -> Vec<v1::FieldChange> {
    let Some((_, made_from)) = &record.made_from else {
        return Vec::new();
    };
    diff::fields(&made_from.effective(), &record.spec.effective())
        .into_iter()
        .map(|change| v1::FieldChange {
            field: change.field,
            before: change.before,
            after: change.after,
        })
        .collect()
}

fn drift(explained: &Explanation) -> Vec<v1::DriftInfo> {
    match &explained.assessment {
        Assessment::Differs { drift, since, .. } => drift
            .iter()
            .map(|drift| info::drift_info(&explained.record.key, drift, since, None))
            .collect(),
        Assessment::Hold | Assessment::InSync | Assessment::Settling(_) => Vec::new(),
    }
}

fn decision(explained: &Explanation) -> (String, Vec<String>) {
    let (word, actions) = match &explained.decision {
        Decision::Wait => ("wait", Vec::new()),
        Decision::Done => ("nothing", Vec::new()),
        Decision::Act(actions) => {
            let image = &explained.spec.image;
            let actions = actions.iter().map(|action| words::action(action, image));
            ("act", actions.collect())
        }
    };
    (word.to_owned(), actions)
}

fn next_attempt(verdict: Verdict) -> Option<Moment> {
    match verdict {
        Verdict::NotBefore(due) | Verdict::Wait(due) => Some(due),
        Verdict::Off | Verdict::Nothing(_) | Verdict::GaveUp | Verdict::Act(_) => None,
    }
}

/// Who lets the plan happen, in one word and in words.
fn permission(explained: &Explanation) -> (String, String) {
    if let Some(ticket) = &explained.ticket {
        let words = format!(
            "operation {} ({}) of {} is {}",
            ticket.operation, ticket.kind, ticket.caller, ticket.state
        );
        return ("operation".to_owned(), words);
    }
    let nothing = explained.decision == Decision::Done;
    let (word, words) = match explained.verdict {
        Verdict::Act(kind) => ("standing", format!("auto-reconcile is about to {kind} it")),
        Verdict::NotBefore(_) => (
            "none",
            "auto-reconcile waits until the difference has settled".to_owned(),
        ),
        Verdict::Wait(_) => (
            "none",
            format!(
                "auto-reconcile backs off after attempt {} of {}",
                explained.attempts, explained.budget
            ),
        ),
        Verdict::GaveUp => (
            "none",
            "auto-reconcile has spent its budget: change the definition, or start, stop or deploy it"
                .to_owned(),
        ),
        Verdict::Nothing(because) => ("none", because_of(because).to_owned()),
        Verdict::Off if nothing => ("none", "nothing is to be permitted".to_owned()),
        Verdict::Off => (
            "none",
            "drift is only told: [reconcile] auto is off".to_owned(),
        ),
    };
    (word.to_owned(), words)
}

fn because_of(because: Because) -> &'static str {
    match because {
        Because::InSync => "nothing is to be permitted",
        Because::NotManaged => "what is orphaned or ignored is left alone",
        Because::Unknown => "nothing is done about what is unknown",
        Because::SpecOnly => "another spec is deployed by mcp deploy only",
        Because::NeverDeployed => "it was never deployed: mcp deploy does it once",
    }
}
