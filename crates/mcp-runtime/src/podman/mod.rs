//! podman through its CLI.
//!
//! At most [`SLOTS`] calls run at once, which is where podman stops gaining (measured); calls that
//! may take minutes hold at most [`LONG_SLOTS`] of them, so that a look always gets through.

mod calls;
mod logs;
mod settings;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use mcp_model::{Container, ContainerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::argv::{Command, PodmanArgs};
use crate::batch::{Answer, Batcher};
use crate::error::{Call, RuntimeError};
use crate::parse::{self, Info, ParseError};
use crate::process::{self, Finished, Limits, ProcessError};
use crate::runtime::{ContainerRuntime, RunRequest};
use crate::words;

pub use settings::{Deadlines, Settings};

use logs::LogFiles;

/// Calls at once.
pub const SLOTS: usize = 4;
/// How many of them pulls and stops may hold.
pub const LONG_SLOTS: usize = 3;
/// How many of those pulls may hold, so that a stop does not wait for a slow registry.
pub const PULL_SLOTS: usize = 2;
/// How much of a container's output is read for its last lines, in bytes.
const LOG_LIMIT: usize = 1024 * 1024;

/// podman as a [`ContainerRuntime`].
pub struct Podman {
    settings: Settings,
    slots: Arc<Semaphore>,
    long_slots: Arc<Semaphore>,
    pull_slots: Arc<Semaphore>,
    looks: Batcher,
    logs: LogFiles,
}

/// What a call is about, for its errors.
#[derive(Clone, Copy)]
struct About<'a> {
    call: Call,
    object: &'a str,
}

impl About<'_> {
    fn failed(self, command: &Command, error: ProcessError) -> RuntimeError {
        let (call, object) = (self.call, self.object.to_owned());
        match error {
            ProcessError::TimedOut(after) => RuntimeError::TimedOut {
                call,
                object,
                after,
            },
            ProcessError::TooMuch(limit) => RuntimeError::Output {
                call,
                object,
                source: ParseError::TooLong { limit },
            },
            ProcessError::Spawn(source) => RuntimeError::Spawn {
                call,
                object,
                program: command.program.clone(),
                source: Arc::new(source),
            },
        }
    }

    fn unreadable(self, source: ParseError) -> RuntimeError {
        RuntimeError::Output {
            call: self.call,
            object: self.object.to_owned(),
            source,
        }
    }
}

impl Podman {
    /// A podman that has not been called yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            slots: Arc::new(Semaphore::new(SLOTS)),
            long_slots: Arc::new(Semaphore::new(LONG_SLOTS)),
            pull_slots: Arc::new(Semaphore::new(PULL_SLOTS)),
            looks: Batcher::default(),
            logs: LogFiles::default(),
        }
    }

    /// How podman is called here.
    pub fn args(&self) -> &PodmanArgs {
        &self.settings.podman
    }

    /// The command that [`ContainerRuntime::run`] would run, for `--dry-run` (S20).
    pub fn run_command(&self, request: &RunRequest) -> Result<Command, RuntimeError> {
        let mounts = self
            .settings
            .mounts
            .permit(&request.spec.volumes)
            .map_err(|source| RuntimeError::Mount {
                call: Call::Run,
                object: request.key.container_name().to_string(),
                source,
            })?;
        Ok(self.args().run(request, &self.settings.agent, &mounts))
    }

    /// podman's settings, as far as the hints depend on them.
    pub async fn info(&self) -> Result<Info, RuntimeError> {
        let about = self.itself(Call::Info);
        let finished = self.look(about, &self.args().info()).await?;
        parse::info(&finished.stdout).map_err(|e| about.unreadable(e))
    }

    /// What calls that name no container are about.
    fn itself(&self, call: Call) -> About<'_> {
        About {
            call,
            object: &self.settings.podman.program,
        }
    }

    async fn slot(&self) -> Vec<OwnedSemaphorePermit> {
        vec![permit(&self.slots).await]
    }

    async fn long_slot(&self) -> Vec<OwnedSemaphorePermit> {
        // In this order: whoever waits for a long slot must not hold one that looks could use.
        vec![permit(&self.long_slots).await, permit(&self.slots).await]
    }

    async fn pull_slot(&self) -> Vec<OwnedSemaphorePermit> {
        let mut permits = vec![permit(&self.pull_slots).await];
        permits.extend(self.long_slot().await);
        permits
    }

    fn limits(&self, deadline: Duration) -> Limits {
        Limits {
            deadline,
            stdout: self.settings.answer_limit,
        }
    }

    /// Runs a command that only looks in a slot that the caller holds; whatever exit code it has.
    async fn finish(
        &self,
        about: About<'_>,
        command: &Command,
        deadline: Duration,
    ) -> Result<Finished, RuntimeError> {
        tracing::debug!(call = ?about.call, object = about.object, "calling the runtime");
        process::run(command, &self.limits(deadline))
            .await
            .map_err(|error| about.failed(command, error))
    }

    /// Runs a command that may change something, on record, in a slot that the caller holds (S15);
    /// an exit code other than 0 is a failure.
    async fn change(
        &self,
        about: About<'_>,
        command: &Command,
        deadline: Duration,
    ) -> Result<Finished, RuntimeError> {
        tracing::debug!(call = ?about.call, object = about.object, "calling the runtime");
        let limits = self.limits(deadline);
        let finished = match &self.settings.children {
            Some(children) => process::run_recorded(command, &limits, children).await,
            None => process::run(command, &limits).await,
        };
        let finished = finished.map_err(|error| about.failed(command, error))?;
        check(about, command, finished)
    }

    async fn look(&self, about: About<'_>, command: &Command) -> Result<Finished, RuntimeError> {
        let _slot = self.slot().await;
        let finished = self
            .finish(about, command, self.settings.deadlines.look)
            .await?;
        check(about, command, finished)
    }

    async fn act(&self, about: About<'_>, command: &Command) -> Result<Finished, RuntimeError> {
        let _slot = self.slot().await;
        self.change(about, command, self.settings.deadlines.act)
            .await
    }

    /// Inspects several containers in a slot that the caller holds. Who is missing from the
    /// answer is looked at alone: podman's exit code does not say who failed, and why (S25).
    async fn inspect_batch(&self, ids: Vec<ContainerId>) -> HashMap<ContainerId, Answer> {
        if let [id] = ids.as_slice() {
            return HashMap::from([(id.clone(), self.inspect_alone(id).await)]);
        }
        let about = self.itself(Call::Inspect);
        let command = self.args().inspect(&ids);
        let look = self.settings.deadlines.look;
        let found = match self.finish(about, &command, look).await {
            Ok(finished) => {
                self.logs.remember(&finished.stdout);
                parse::inspection(&finished.stdout).unwrap_or_default()
            }
            // To ask a hung runtime once more for each of them would only hang longer.
            Err(error) => return ids.into_iter().map(|id| (id, Err(error.clone()))).collect(),
        };
        let mut answers: HashMap<ContainerId, Answer> = found
            .into_iter()
            .map(|container| (container.instance.id.clone(), Ok(Some(container))))
            .collect();
        for id in ids {
            if let Entry::Vacant(missing) = answers.entry(id) {
                let answer = self.inspect_alone(missing.key()).await;
                missing.insert(answer);
            }
        }
        answers
    }

    /// Inspects one container in a slot that the caller holds. Absent only if podman says of this
    /// very id that there is no such container.
    async fn inspect_alone(&self, id: &ContainerId) -> Answer {
        let about = About {
            call: Call::Inspect,
            object: id.short(),
        };
        let command = self.args().inspect([id]);
        let look = self.settings.deadlines.look;
        let finished = self.finish(about, &command, look).await?;
        let said_so = String::from_utf8_lossy(&finished.stderr).contains(id.as_str());
        match check(about, &command, finished) {
            Ok(finished) => {
                self.logs.remember(&finished.stdout);
                parse::inspection(&finished.stdout)
                    .and_then(|found| {
                        let mut found = found.into_iter();
                        found
                            .find(|container| container.instance.id == *id)
                            .ok_or_else(|| ParseError::Unexpected("it is about another".to_owned()))
                    })
                    .map(Some)
                    .map_err(|e| about.unreadable(e))
            }
            Err(RuntimeError::NotFound { .. }) if said_so => Ok(None),
            Err(error) if said_so && words::is_half_removed(&error) => {
                self.listed_alone(id).await?.map(Some).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// What the listing says of a container whose removal was cut off: podman can list, stop, rename
    /// and remove it, and not inspect it. Measured with a `podman rm` that was killed.
    async fn listed_alone(&self, id: &ContainerId) -> Result<Option<Container>, RuntimeError> {
        let about = self.itself(Call::List);
        let (command, look) = (self.args().list(), self.settings.deadlines.look);
        let finished = self.finish(about, &command, look).await?;
        let finished = check(about, &command, finished)?;
        let rows = parse::listing(&finished.stdout).map_err(|e| about.unreadable(e))?;
        Ok(rows.into_iter().find(|row| row.instance.id == *id))
    }

    /// Looks a name up in the listing, where an inspect by name was ambiguous: a name that reads
    /// like the beginning of ids.
    async fn find_name(&self, name: &str) -> Result<Option<Container>, RuntimeError> {
        let about = About {
            call: Call::InspectName,
            object: name,
        };
        let finished = self.look(about, &self.args().list_name(name)).await?;
        let rows = parse::listing(&finished.stdout).map_err(|e| about.unreadable(e))?;
        match rows
            .into_iter()
            .find(|row| row.name == name && !is_storage_only(row))
        {
            Some(row) => self.inspect(&row.instance.id).await,
            None => Ok(None),
        }
    }
}

async fn permit(slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = Arc::clone(slots).acquire_owned().await;
    permit.expect("the semaphore is never closed")
}

fn check(
    about: About<'_>,
    command: &Command,
    finished: Finished,
) -> Result<Finished, RuntimeError> {
    if finished.code == Some(0) {
        return Ok(finished);
    }
    Err(words::failure(about.call, about.object, command, &finished))
}

/// What `--external` adds to a listing.
fn is_storage_only(row: &Container) -> bool {
    matches!(&row.state, mcp_model::RuntimeState::Other(word) if word == "storage")
}

#[cfg(test)]
mod tests;
