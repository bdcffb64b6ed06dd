//! Listing the runtime, and what follows from a listing.

use std::collections::HashSet;
use std::time::Duration;

use mcp_model::{ComponentKey, Container};
use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::{Listed, Loop, Waiters, jitter};
use crate::handle::Trigger;
use crate::looks::{Index, is_set_aside};
use crate::port::RuntimeFailure;
use crate::view::MAX_FOREIGN;

/// When a runtime that failed to list is asked again.
const AGAIN: Duration = Duration::from_secs(10);

impl Loop {
    /// Begins a listing, unless one is under way; then another one follows for those who asked
    /// since.
    pub(super) fn list(&mut self) {
        if !self.listings.is_empty() {
            return;
        }
        self.this_look.append(&mut self.next_look);
        self.resync = Instant::now() + jitter(self.core.settings.interval);
        let core = self.core.clone();
        self.listings.spawn(async move {
            let (tick, began) = (core.looks.tick(), core.ports.clock.now());
            let mut listing = core.ports.runtime.list().await;
            if let Err(failure) = &listing {
                warn!(error = %failure, "listing failed; trying once more");
                listing = core.ports.runtime.list().await;
            }
            (tick, began, listing, core.ports.store.keys().await)
        });
    }

    pub(super) fn listed(&mut self, listed: Result<Listed, JoinError>) {
        let (tick, began, listing, keys) = match listed {
            Ok(listed) => listed,
            Err(panic) => {
                error!(panic = %panic, "a listing panicked");
                let failure = RuntimeFailure::Other("the listing failed".to_owned());
                let tick = self.core.looks.tick();
                (
                    tick,
                    self.core.ports.clock.now(),
                    Err(failure),
                    Ok(Vec::new()),
                )
            }
        };
        let mut keys = keys.unwrap_or_else(|error| {
            warn!(error = %error, "cannot read the keys; using those that are known");
            Vec::new()
        });
        keys.extend(self.core.publisher.keys());
        keys.sort();
        keys.dedup();
        let now = Instant::now();
        let mut recovered = false;
        let changed = match listing {
            Ok(listing) => {
                let index = Index::new(tick, began, listing.containers);
                let agent = self.core.settings.agent.clone();
                let changed = self.core.looks.take_in(index, keys.clone(), &agent);
                self.core.node.answers();
                self.core.publisher.look(|view| {
                    view.observed_at = Some(began);
                    recovered = view.observation_error.take().is_some();
                });
                changed
            }
            Err(failure) => {
                let failed = self.core.ports.clock.now();
                self.core.node.fails(began, failed, failure.to_string());
                self.resync = self.resync.min(now + AGAIN);
                // What cannot be listed is looked at one by one; what fails then is unknown (S25).
                self.core
                    .publisher
                    .look(|view| view.observation_error = Some(failure.to_string()));
                for key in &keys {
                    self.core.looks.distrust(key);
                }
                keys.clone()
            }
        };
        debug!(
            keys = keys.len(),
            changed = changed.len(),
            "listed the runtime"
        );
        for key in &keys {
            if recovered {
                // It backed off from a runtime that did not answer.
                self.queue.forgive(key);
            }
            self.queue.add(key, Trigger::Hint, now);
        }
        self.prune(now);
        self.serve_look(changed);
        if !self.next_look.is_empty() {
            self.list();
        }
    }

    /// Those who asked for this look wait for the keys that it found changed, save those that an
    /// operation works on or is about to, which may take minutes and shows its own state, and those
    /// that wait out a back-off, which are shown as unknown.
    fn serve_look(&mut self, changed: Vec<ComponentKey>) {
        let (replies, now) = (std::mem::take(&mut self.this_look), Instant::now());
        let operated: HashSet<&ComponentKey> = self
            .running
            .values()
            .filter(|(_, lane)| *lane == Trigger::Intent)
            .map(|(key, _)| key)
            .collect();
        let keys = changed
            .into_iter()
            .filter(|key| !operated.contains(key) && self.queue.is_due_for_a_look(key, now))
            .map(|key| (key, 1))
            .collect();
        self.waiting.push(Waiters { replies, keys });
        self.answer_waiters();
    }

    pub(super) fn publish_foreign(&self) {
        let agent = &self.core.settings.agent;
        let owned = self.core.publisher.owned();
        let is_ours = |container: &Container| {
            let key = container.labels.key();
            let status = key
                .as_ref()
                .and_then(|key| self.core.publisher.component_status(key));
            let just_made =
                status.is_some() && key.is_some_and(|key| container.claims(&key, agent));
            // Put aside by an operation that is under way; one that was left behind is shown.
            let set_aside = is_set_aside(container)
                && container.labels.agent.as_ref() == Some(agent)
                && status.is_some_and(|status| status.operation.is_some());
            set_aside || just_made || owned.contains(&container.instance.id)
        };
        let mut foreign = self.core.looks.unowned(is_ours);
        let omitted = foreign.len().saturating_sub(MAX_FOREIGN);
        foreign.truncate(MAX_FOREIGN);
        self.core.publisher.look(|view| {
            view.foreign = foreign;
            view.foreign_omitted = omitted;
        });
    }

    /// Prunes now and then, as a task of its own: a long log must not hold up a look.
    fn prune(&mut self, now: Instant) {
        const EVERY: Duration = Duration::from_hours(1);
        let recent = |at| now.saturating_duration_since(at) < EVERY;
        if self.pruned.is_some_and(recent) || !self.pruning.is_empty() {
            return;
        }
        self.pruned = Some(now);
        let core = self.core.clone();
        self.pruning.spawn(async move {
            let (clock, retention) = (core.ports.clock.now(), core.settings.retention);
            if let Err(error) = core.ports.store.prune(clock, retention).await {
                warn!(error = %error, "cannot prune old events");
            }
        });
    }
}
