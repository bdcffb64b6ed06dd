//! What the controller may accept by itself (S35).

use mcp_model::{ComponentRecord, DesiredState, OperationKind, StandingRequest, StepState};

use super::PlannedStep;

/// The permission that `request` comes to, given what is stored of its component. None where intent
/// is not what it was decided on: whatever was said since wins.
pub(crate) fn decide_standing(
    request: &StandingRequest,
    record: &ComponentRecord,
) -> Option<PlannedStep> {
    let wanted = match request.kind {
        OperationKind::Start => DesiredState::Running,
        OperationKind::Stop => DesiredState::Stopped,
        OperationKind::Deploy | OperationKind::Restart | OperationKind::Undeploy => return None,
    };
    let same_intent = record.generation == request.generation && record.desired == wanted;
    if !same_intent || record.orphaned {
        return None;
    }
    // As an operator's start and stop pin it.
    let (revision, spec) = match (request.kind, &record.deployed) {
        (OperationKind::Start, Some(deployed)) => deployed.clone(),
        _ => (record.revision, record.spec.clone()),
    };
    Some(PlannedStep {
        key: request.key.clone(),
        state: StepState::Waiting,
        reason: String::new(),
        desired: record.desired,
        spec,
        revision,
        generation: record.generation,
        unchanged: false,
    })
}
