//! What an operation has come to, once all its steps have.

use mcp_model::{OperationState, StepState};

/// The state of an operation whose steps are in these states; `None` while one of them is open.
pub(crate) fn settled_state(steps: &[StepState]) -> Option<OperationState> {
    let any = |state| steps.contains(&state);
    if !steps.iter().all(|step| step.is_settled()) {
        return None;
    }
    Some(if any(StepState::Failed) {
        OperationState::Failed
    } else if any(StepState::Expired) {
        OperationState::Expired
    } else if any(StepState::Superseded) {
        OperationState::Superseded
    } else {
        OperationState::Succeeded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_settled_by_its_worst_step() {
        use StepState::{Expired, Failed, Running, Skipped, Succeeded, Superseded, Waiting};
        for (steps, state) in [
            (vec![Waiting, Failed], None),
            (vec![Succeeded, Running], None),
            (vec![Succeeded, Skipped], Some(OperationState::Succeeded)),
            (
                vec![Succeeded, Superseded],
                Some(OperationState::Superseded),
            ),
            (
                vec![Superseded, Expired, Succeeded],
                Some(OperationState::Expired),
            ),
            (
                vec![Expired, Failed, Succeeded],
                Some(OperationState::Failed),
            ),
        ] {
            assert_eq!(settled_state(&steps), state, "{steps:?}");
        }
    }
}
