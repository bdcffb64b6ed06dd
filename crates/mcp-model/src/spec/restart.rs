//! Restart policies.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::SpecError;
use super::value::refuse;

/// When the runtime brings a container back by itself.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub enum Restart {
    /// Never.
    No,
    /// After every end.
    Always,
    /// After an end with an error, at most so often where a number is given.
    OnFailure(Option<u32>),
    /// After every end, unless it was stopped on purpose.
    #[default]
    UnlessStopped,
}

impl Restart {
    /// Whether the runtime itself will bring back a container that ended with `exit_code` and has
    /// been restarted `restarts` times.
    pub fn acts_after(self, exit_code: Option<i32>, restarts: Option<u32>) -> bool {
        match self {
            Self::No => false,
            Self::Always | Self::UnlessStopped => true,
            Self::OnFailure(most) => {
                exit_code.is_none_or(|code| code != 0)
                    && most.is_none_or(|most| restarts.unwrap_or(0) < most)
            }
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::OnFailure(None) => f.write_str("on-failure"),
            Self::OnFailure(Some(most)) => write!(f, "on-failure:{most}"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

impl FromStr for Restart {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let most = |n: &str| {
            n.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| n.parse().ok())
                .flatten()
        };
        match text {
            "no" => Ok(Self::No),
            "always" => Ok(Self::Always),
            "on-failure" => Ok(Self::OnFailure(None)),
            "unless-stopped" => Ok(Self::UnlessStopped),
            _ => match text.strip_prefix("on-failure:").and_then(most) {
                Some(most) => Ok(Self::OnFailure(Some(most))),
                None => refuse(
                    "restart policy",
                    text,
                    "use no, always, unless-stopped, on-failure or on-failure:<times>",
                ),
            },
        }
    }
}

impl TryFrom<String> for Restart {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        text.parse()
    }
}

impl From<Restart> for String {
    fn from(restart: Restart) -> Self {
        restart.to_string()
    }
}
