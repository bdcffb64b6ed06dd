//! Errors of the layers below as gRPC statuses.

use std::error::Error;

use mcp_registry::{AcceptError, RegistryError};
use tonic::Status;

/// The whole chain in one line: a status has no sources.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The registry did not do what was asked. What time or another try may heal is `UNAVAILABLE`.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
pub(super) fn registry(error: RegistryError) -> Status {
    let text = chain(&error);
    match error {
        RegistryError::Busy { .. } | RegistryError::Closed { .. } => Status::unavailable(text),
        _ => Status::failed_precondition(text),
    }
}

/// Intent was not accepted; nothing was stored and nothing was done.
pub(super) fn refused(error: AcceptError) -> Status {
    let text = chain(&error);
    match error {
        AcceptError::NoService(_) | AcceptError::NoComponent(_) => Status::not_found(text),
        AcceptError::IdTaken { .. } => Status::already_exists(text),
        AcceptError::NothingToDo { .. } | AcceptError::Overwrites(_) => {
            Status::failed_precondition(text)
        }
        AcceptError::DuplicateService(_) | AcceptError::Spec(_) => Status::invalid_argument(text),
        AcceptError::Registry(error) => registry(error),
    }
}
