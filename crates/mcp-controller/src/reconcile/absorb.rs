//! Storing what was seen, where it changed anything.

use mcp_model::{
    ComponentRecord, ImageRef, KeyState, Moment, ObservationChange, Observed, ObservedState,
    OperationId,
};
use mcp_plan::classify::transitions;
use mcp_plan::words::with_last_lines;
use tracing::info;

use super::{Reconciler, RunError};
use crate::looks::Seen;

impl Reconciler {
    /// Stores the difference between what is on record and what was seen, and brings the record at
    /// hand up to date. What could not be observed is not stored: the last known state stays, and
    /// only the published status says that it is unknown.
    pub(super) async fn absorb(
        &self,
        state: &mut KeyState,
        seen: &Seen,
        operation: Option<&OperationId>,
    ) -> Result<(), RunError> {
        let Some(record) = &mut state.record else {
            return Ok(());
        };
        if seen.observed.is_unknown() {
            return Ok(());
        }
        // An operation that finds nothing is about to make something: that is the first state.
        let nothing_yet = record.observed == ObservedState::Unknown
            && seen.observed.state() == ObservedState::Removed;
        if operation.is_some() && nothing_yet {
            return Ok(());
        }
        let now = self.ports.clock.now();
        let mut change = ObservationChange {
            key: record.key.clone(),
            observed: seen.observed.state(),
            since: since(record, &seen.observed, now),
            instance: seen.observed.container().map(|c| c.instance.clone()),
            container: self.link(record, &seen.observed),
            exit_code: exit_code(&seen.observed),
            version: version(record, &seen.observed),
            outlived_stop: outlived_stop(record, &seen.observed),
            events: transitions(record, &seen.observed, operation, now),
        };
        for new in &mut change.events {
            // Everything changes in a reboot, and is back a moment later.
            new.counted &= !self.node.is_settling();
            if new.event.new == ObservedState::Exited {
                new.event.cause = with_last_lines(&new.event.cause, &seen.last_lines);
            }
            info!(
                key = %record.key, prev = %new.event.prev, new = %new.event.new,
                cause = %new.event.cause, "component changed state"
            );
        }
        if !is_news(record, &change) {
            return Ok(());
        }
        self.ports.store.observe(change.clone()).await?;
        let relinked = change.container.as_ref().is_some_and(|(_, revision)| {
            *revision != record.made_from.as_ref().map(|(revision, _)| *revision)
        });
        if let Some(last) = change.events.last() {
            self.looks.left(&record.key, last.event.prev);
        }
        apply(record, change);
        if relinked {
            // The spec behind the revision is the registry's to tell.
            state.record = self.ports.store.load(&record.key.clone()).await?.record;
        }
        Ok(())
    }

    /// The container that is the component's now, with the revision that its labels tell.
    fn link(
        &self,
        record: &ComponentRecord,
        observed: &Observed,
    ) -> Option<(mcp_model::ContainerId, Option<u64>)> {
        let container = observed.container()?;
        let known = record.made_from.as_ref().map(|(revision, _)| *revision);
        let revision = if container.claims(&record.key, &self.settings.agent) {
            container.labels.revision.or(known)
        } else {
            known
        };
        Some((container.instance.id.clone(), revision))
    }
}

fn since(record: &ComponentRecord, observed: &Observed, now: Moment) -> Moment {
    let reborn = match (&record.instance, observed.container()) {
        (Some(before), Some(now)) => !before.is_same_life(&now.instance),
        _ => false,
    };
    match record.observed_since {
        // As far as anyone knows it was so ever since intent was stated.
        _ if record.observed == ObservedState::Unknown => record.intent_at,
        Some(since) if record.observed == observed.state() && !reborn => since,
        _ => now,
    }
}

/// Whether a life runs on that a stop was recorded for: that stop failed (S22). Not while it is on
/// its way somewhere: what is still being stopped may end of it yet.
fn outlived_stop(record: &ComponentRecord, observed: &Observed) -> bool {
    match (&record.stopped, observed) {
        (
            Some(stopped),
            Observed::Present {
                state: ObservedState::Running,
                condition: None,
                container,
            },
        ) => stopped.is_same_life(&container.instance),
        _ => false,
    }
}

fn exit_code(observed: &Observed) -> Option<i32> {
    let ended = matches!(
        observed.state(),
        ObservedState::Exited | ObservedState::Stopped
    );
    observed
        .container()
        .and_then(|c| c.exit)
        .filter(|_| ended)
        .map(|exit| exit.code)
}

fn version(record: &ComponentRecord, observed: &Observed) -> String {
    match observed.container() {
        Some(container) => container
            .image
            .parse::<ImageRef>()
            .map(|image| image.version().to_owned())
            .unwrap_or_default(),
        None => record.version.clone(),
    }
}

/// Whether there is anything to store. An inspect that only knows the same life in more detail is
/// no news: writes happen on change.
fn is_news(record: &ComponentRecord, change: &ObservationChange) -> bool {
    let another_life = match (&record.instance, &change.instance) {
        (Some(before), Some(now)) => !before.is_same_life(now),
        // What ran last stays on record, so that a later life is known as another one.
        (_, None) => false,
        (None, Some(_)) => true,
    };
    let relinked = change.container.as_ref().is_some_and(|(id, revision)| {
        // A revision that the registry does not know was stored with the id, and stays unknown.
        let known = record.made_from.as_ref().map(|(revision, _)| *revision);
        record.container.as_ref() != Some(id) || (known.is_some() && *revision != known)
    });
    !change.events.is_empty()
        || change.outlived_stop
        || record.observed != change.observed
        || another_life
        || relinked
        || record.version != change.version
        || (change.exit_code.is_some() && record.exit_code != change.exit_code)
}

fn apply(record: &mut ComponentRecord, change: ObservationChange) {
    record.observed = change.observed;
    record.observed_since = Some(change.since);
    record.exit_code = change.exit_code;
    record.version = change.version;
    if change.outlived_stop {
        record.stopped = None;
    }
    if change.instance.is_some() {
        record.instance = change.instance;
    }
    if let Some((id, _)) = change.container {
        record.container = Some(id);
    }
}
