//! Wire ⇄ model.

pub mod field;
pub mod info;
pub mod request;
pub mod spec;
pub mod time;

/// A field of a request that cannot be accepted. Shown as `field: why`, where the field is written
/// as a path from the request: `service.components[2].ports[0]`.
///
/// Secrets may stand in arguments and environment values; `why` never repeats those.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct InvalidField {
    /// Which field.
    pub field: String,
    /// What is wrong with it.
    pub why: String,
}

impl InvalidField {
    /// A complaint about one field.
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            why: why.into(),
        }
    }

    /// The same complaint, seen from the message that holds the field's message as `parent`.
    #[must_use]
    pub fn within(self, parent: impl std::fmt::Display) -> Self {
        Self {
            field: format!("{parent}.{}", self.field),
            why: self.why,
        }
    }
}

impl From<InvalidField> for tonic::Status {
    fn from(invalid: InvalidField) -> Self {
        Self::invalid_argument(invalid.to_string())
    }
}
