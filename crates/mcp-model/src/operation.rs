//! Operations: durable permissions to act (S12–S14).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::container::Instance;
use crate::name::{ComponentKey, ComponentName, ServiceName};
use crate::spec::ComponentSpec;
use crate::state::DesiredState;
use crate::state::words;
use crate::time::{Moment, Stamp};

/// An operation that has not begun by then is `expired` (S13).
pub const START_BY: Duration = Duration::from_mins(10);

/// Who asks for what the agent does by itself, under the standing permission (S35). Nobody else can
/// be called so.
pub const AUTO_RECONCILE: &str = "auto-reconcile";

/// An operation's id, made by the client: 4 to 32 lower-case letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(Box<str>);

/// A text that is not an operation id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an operation id: use 4 to 32 lower-case letters and digits")]
pub struct OperationIdError(String);

impl OperationId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OperationId {
    type Err = OperationIdError;

    fn from_str(text: &str) -> Result<Self, OperationIdError> {
        let fits = (4..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(OperationIdError(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for OperationId {
    type Error = OperationIdError;

    fn try_from(text: String) -> Result<Self, OperationIdError> {
        text.parse()
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKind {
    /// Replace the container by one made from the pinned spec.
    Deploy,
    /// Make it run, touching nothing that runs.
    Start,
    /// Make it stop.
    Stop,
    /// A newer life of the same container.
    Restart,
    /// Remove the container, then the record.
    Undeploy,
}

words!(OperationKind, "operation kind", {
    Deploy => "deploy", Start => "start", Stop => "stop", Restart => "restart",
    Undeploy => "undeploy",
});

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationState {
    /// Stored; no step has begun.
    Accepted,
    /// At least one step has begun.
    Running,
    /// Every step reached its postcondition, or was not needed.
    Succeeded,
    /// At least one step failed.
    Failed,
    /// Not begun in time.
    Expired,
    /// Newer intent made it pointless before it began.
    Superseded,
}

words!(OperationState, "operation state", {
    Accepted => "accepted", Running => "running", Succeeded => "succeeded", Failed => "failed",
    Expired => "expired", Superseded => "superseded",
});

impl OperationState {
    /// Whether nothing more will happen to it.
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Accepted | Self::Running)
    }
}

/// Where one component of an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Begun.
    Running,
    /// Its postcondition was observed.
    Succeeded,
    /// It could not be brought about.
    Failed,
    /// There was nothing to do.
    Skipped,
    /// Not begun in time.
    Expired,
    /// Newer intent came before it began.
    Superseded,
}

words!(StepState, "step state", {
    Waiting => "waiting", Running => "running", Succeeded => "succeeded", Failed => "failed",
    Skipped => "skipped", Expired => "expired", Superseded => "superseded",
});

impl StepState {
    /// Whether nothing more will happen to it.
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// What a step is doing, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Looking before anything is done.
    Observing,
    /// Fetching the image.
    Pulling,
    /// Stopping the old container or the one that is wanted stopped.
    Stopping,
    /// Moving the old container out of the way.
    SettingAside,
    /// Making or reviving the container.
    Starting,
    /// Looking whether it came up.
    Verifying,
    /// Removing what is no longer wanted.
    Removing,
    /// Bringing the old container back.
    Restoring,
}

words!(Phase, "phase", {
    Observing => "observing", Pulling => "pulling", Stopping => "stopping",
    SettingAside => "setting-aside", Starting => "starting", Verifying => "verifying",
    Removing => "removing", Restoring => "restoring",
});

/// What a step must remember so that it can be resumed by looking (S14, S16). Stored before the
/// act that makes it true.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The life that was there when the step began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Instance>,
    /// Whether that life was running, so that a restored container is started again.
    #[serde(default)]
    pub old_was_running: bool,
    /// Something that ran has been, or is about to be, taken down: the step must reach an end.
    #[serde(default)]
    pub took_down: bool,
    /// The new one did not come up; the old one is being put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restoring: Option<String>,
    /// Since when the runtime refuses to bring up again what was taken down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Moment>,
    /// In which words it refused last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

impl Progress {
    /// Why the step goes no further for now; `None` where nothing holds it up.
    pub fn held_up(&self) -> Option<String> {
        let refusal = self.refusal.as_ref()?;
        let what = match self.restoring {
            Some(_) => "the old container is not back yet",
            None => "not up again yet",
        };
        Some(format!("{what}, it is tried again: {refusal}"))
    }
}

/// The permission to act on one key: one open step, with what was pinned when it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its operation.
    pub operation: OperationId,
    /// What to do.
    pub kind: OperationKind,
    /// To which component.
    pub key: ComponentKey,
    /// The desired state it was accepted with.
    pub desired: DesiredState,
    /// The spec it was accepted with.
    pub spec: ComponentSpec,
    /// The revision of that spec.
    pub revision: u64,
    /// The generation of the intent it was accepted with.
    pub generation: u64,
    /// Who asked.
    pub caller: String,
    /// When it was accepted.
    pub accepted: Moment,
    /// `Waiting` or `Running`.
    pub state: StepState,
    /// What it remembers.
    pub progress: Progress,
}

/// One operation as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// To which service.
    pub service: ServiceName,
    /// Where it stands.
    pub state: OperationState,
    /// Who asked.
    pub caller: String,
    /// Why, in the caller's words; may be empty.
    pub message: String,
    /// When it was accepted.
    pub created: Stamp,
    /// By when it must have begun.
    pub start_by: Stamp,
    /// When it was settled.
    pub finished: Option<Stamp>,
    /// Its components.
    pub steps: Vec<Step>,
}

/// One component of an operation as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The component.
    pub component: ComponentName,
    /// Where it stands.
    pub state: StepState,
    /// What it did last.
    pub phase: Option<Phase>,
    /// Why it failed or was not needed; of one that is open, what holds it up.
    pub error: String,
    /// The pinned revision.
    pub revision: u64,
    /// Whether the pinned spec is the one that was deployed already.
    pub unchanged: bool,
}
