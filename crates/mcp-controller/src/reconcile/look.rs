//! Looking at one component (S3, S4, S22, S24, S25).

use mcp_model::{ComponentRecord, Container, ContainerId, Observed, ObservedState};
use mcp_plan::classify::classify;

use super::Reconciler;
use crate::looks::{Seen, is_set_aside};
use crate::port::RuntimeFailure;

/// How many last lines of a dead container are shown.
const LAST_LINES: u32 = 3;

impl Reconciler {
    /// Looks at a component, asking the runtime only where what is known does not count any more.
    /// `made` is a container that was just made for it and is not on record yet.
    pub(super) async fn look(&self, record: &ComponentRecord, made: Option<&ContainerId>) -> Seen {
        let key = &record.key;
        if let Some(seen) = self.looks.believed(key) {
            return reread(record, seen);
        }
        if let Some((tick, at, container)) =
            self.looks.by_listing(key, record, &self.settings.agent)
        {
            let observed = read(record, container);
            let seen = Seen {
                tick,
                at,
                observed,
                foreign: None,
                last_lines: Vec::new(),
            };
            self.looks.remember(key, seen.clone());
            return seen;
        }
        let (tick, at) = (self.looks.tick(), self.ports.clock.now());
        let seen = match self.find(record, made).await {
            Ok((container, foreign)) => {
                let observed = read(record, container);
                let last_lines = self.last_lines(&observed).await;
                Seen {
                    tick,
                    at,
                    observed,
                    foreign,
                    last_lines,
                }
            }
            Err(failure) => Seen {
                tick,
                at,
                observed: Observed::Unknown {
                    why: failure.to_string(),
                },
                foreign: None,
                last_lines: Vec::new(),
            },
        };
        self.looks.remember(key, seen.clone());
        seen
    }

    /// The container in the component's place, or who else holds its name. Absence is confirmed by
    /// a look at the id that was there (S25).
    async fn find(
        &self,
        record: &ComponentRecord,
        made: Option<&ContainerId>,
    ) -> Result<(Option<Container>, Option<Container>), RuntimeFailure> {
        let runtime = &self.ports.runtime;
        if let Some(id) = made.or(record.container.as_ref())
            && let Some(container) = runtime.inspect(id).await?
            && !is_set_aside(&container)
        {
            return Ok((Some(container), None));
        }
        if self.looks.name_is_free(&record.key) {
            return Ok((None, None));
        }
        let name = record.key.container_name();
        Ok(match runtime.inspect_name(name.as_str()).await? {
            Some(found) if found.claims(&record.key, &self.settings.agent) => (Some(found), None),
            foreign => (None, foreign),
        })
    }

    /// What a container that ended by itself wrote last. Only for people: a failure costs the
    /// lines, nothing else.
    async fn last_lines(&self, observed: &Observed) -> Vec<String> {
        match observed {
            Observed::Present {
                state: ObservedState::Exited,
                container,
                ..
            } => self
                .ports
                .runtime
                .last_lines(&container.instance.id, LAST_LINES)
                .await
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

/// The same look under what is recorded now: a stop may have been recorded since.
fn reread(record: &ComponentRecord, mut seen: Seen) -> Seen {
    if let Some(container) = seen.observed.container() {
        seen.observed = read(record, Some(container.clone()));
    }
    seen
}

fn read(record: &ComponentRecord, container: Option<Container>) -> Observed {
    match container {
        None => Observed::Removed,
        Some(container) => classify(container, record.stopped.as_ref(), record.observed),
    }
}
