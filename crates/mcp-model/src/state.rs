//! Desired and observed state: two things that are never copied into each other.

use serde::{Deserialize, Serialize};

use crate::container::Container;

/// A word that is not one of the words of its enumeration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}")]
pub struct UnknownWord {
    /// What was wanted.
    pub what: &'static str,
    /// What was given.
    pub text: String,
}

/// Gives an enumeration its stored and shown words.
macro_rules! words {
    ($type:ident, $what:literal, { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that is stored, sent and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::state::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text).ok_or_else(|| {
                    $crate::state::UnknownWord { what: $what, text: text.to_owned() }
                })
            }
        }
    };
}
pub(crate) use words;

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesiredState {
    /// It should run.
    Running,
    /// It was stopped on purpose.
    Stopped,
    /// Seen, but nobody's business here.
    Ignore,
}

words!(DesiredState, "desired state", {
    Running => "running", Stopped => "stopped", Ignore => "ignore",
});

/// What the runtime was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObservedState {
    /// Its process runs.
    Running,
    /// The container is there and does not run, on purpose.
    Stopped,
    /// The container is there and its process ended by itself.
    Exited,
    /// There is no container, and a look by id confirmed it.
    Removed,
    /// It could not be observed. Never drift, never a reason to act.
    Unknown,
}

words!(ObservedState, "observed state", {
    Running => "running", Stopped => "stopped", Exited => "exited", Removed => "removed",
    Unknown => "unknown",
});

/// What a container is passing through; its state stays what it was meanwhile (S22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Made, never started.
    Created,
    /// Set up to be started. Its process may run already, where the start was cut off.
    Initialized,
    /// Frozen.
    Paused,
    /// On its way to a stop.
    Stopping,
    /// About to be started again by the runtime.
    Restarting,
    /// On its way out.
    Removing,
}

words!(Condition, "condition", {
    Created => "created", Initialized => "initialized", Paused => "paused", Stopping => "stopping", Restarting => "restarting",
    Removing => "removing",
});

/// One component as last observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Could not be observed, and why.
    Unknown {
        /// In words for the operator.
        why: String,
    },
    /// Confirmed to have no container.
    Removed,
    /// Has a container.
    Present {
        /// `running`, `stopped`, `exited`, or `unknown` for a container in a state that MCP cannot read.
        state: ObservedState,
        /// What it is passing through.
        condition: Option<Condition>,
        /// The container itself.
        container: Box<Container>,
    },
}

impl Observed {
    /// The state in one word.
    pub fn state(&self) -> ObservedState {
        match self {
            Self::Unknown { .. } => ObservedState::Unknown,
            Self::Removed => ObservedState::Removed,
            Self::Present { state, .. } => *state,
        }
    }

    /// The container, where there is one.
    pub fn container(&self) -> Option<&Container> {
        match self {
            Self::Present { container, .. } => Some(container),
            _ => None,
        }
    }

    /// Whether nothing may be concluded from it.
    pub fn is_unknown(&self) -> bool {
        self.state() == ObservedState::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_as_what_they_stand_for() {
        for state in DesiredState::ALL {
            assert_eq!(state.as_str().parse::<DesiredState>().unwrap(), *state);
        }
        for state in ObservedState::ALL {
            assert_eq!(state.as_str().parse::<ObservedState>().unwrap(), *state);
        }
        assert!("Running".parse::<DesiredState>().is_err());
    }
}
