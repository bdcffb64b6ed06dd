//! What was seen, and how much it is still worth (S24, S25).
//!
//! Every look takes a tick when it begins. A key has a tick from which on looks count: the last
//! hint or the last act. What began before that is not believed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mcp_model::name::SET_ASIDE_INFIX;
use mcp_model::{
    ComponentKey, ComponentRecord, Container, ContainerId, Moment, Observed, ObservedState,
    RuntimeState,
};

/// Orders looks, hints and acts.
pub(crate) type Tick = u64;

/// What one look found in a component's place.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// When the look began, in the order of looks…
    pub(crate) tick: Tick,
    /// …and by the clock.
    pub(crate) at: Moment,
    /// What it found.
    pub(crate) observed: Observed,
    /// Who else holds the name.
    pub(crate) foreign: Option<Container>,
    /// The last lines of a process that ended, raw.
    pub(crate) last_lines: Vec<String>,
}

/// A complete listing, by id and by name.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) tick: Tick,
    pub(crate) at: Moment,
    by_id: HashMap<ContainerId, Container>,
    by_name: HashMap<String, ContainerId>,
}

impl Index {
    pub(crate) fn new(tick: Tick, at: Moment, containers: Vec<Container>) -> Self {
        let by_name = containers
            .iter()
            .map(|c| (c.name.clone(), c.instance.id.clone()))
            .collect();
        let by_id = containers
            .into_iter()
            .map(|c| (c.instance.id.clone(), c))
            .collect();
        Self {
            tick,
            at,
            by_id,
            by_name,
        }
    }

    pub(crate) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.by_id.values()
    }

    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The container in a component's place: by the id on record, else by labels and name (S3).
    pub(crate) fn holder(
        &self,
        key: &ComponentKey,
        id: Option<&ContainerId>,
        agent: &str,
    ) -> Option<&Container> {
        let by_id = id
            .and_then(|id| self.by_id.get(id))
            .filter(|c| !is_set_aside(c));
        by_id.or_else(|| {
            let id = self.by_name.get(key.container_name().as_str())?;
            self.by_id.get(id).filter(|c| c.claims(key, agent))
        })
    }
}

/// Whether a container was moved out of the way by a replacement (S16).
pub(crate) fn is_set_aside(container: &Container) -> bool {
    container.name.contains(SET_ASIDE_INFIX)
}

/// The memory of looks. Locked for moments only, never across an await.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ticks: Tick,
    index: Option<Index>,
    seen: HashMap<ComponentKey, Seen>,
    /// From which tick on looks at a key count.
    believed_from: HashMap<ComponentKey, Tick>,
    owners: HashMap<ContainerId, ComponentKey>,
    previous: HashMap<ComponentKey, ObservedState>,
}

impl Looks {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held left a map in a valid state: every update is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new tick, later than all before.
    pub(crate) fn tick(&self) -> Tick {
        let mut state = self.state();
        state.ticks += 1;
        state.ticks
    }

    /// From now on only later looks at the key count: a hint came, or something was done.
    pub(crate) fn distrust(&self, key: &ComponentKey) {
        let mut state = self.state();
        state.ticks += 1;
        let tick = state.ticks;
        state.believed_from.insert(key.clone(), tick);
    }

    /// Which key a container belongs to, as far as looks have told.
    pub(crate) fn owner(&self, id: &ContainerId) -> Option<ComponentKey> {
        self.state().owners.get(id).cloned()
    }

    /// Notes that a container was made for a key.
    pub(crate) fn own(&self, id: &ContainerId, key: &ComponentKey) {
        self.state().owners.insert(id.clone(), key.clone());
    }

    /// The last look at a key, where it still counts.
    pub(crate) fn believed(&self, key: &ComponentKey) -> Option<Seen> {
        let state = self.state();
        let from = state.believed_from.get(key).copied().unwrap_or(0);
        state
            .seen
            .get(key)
            .filter(|seen| seen.tick >= from)
            .cloned()
    }

    /// When the last look at a key began, or the listing that confirmed it.
    pub(crate) fn last(&self, key: &ComponentKey) -> Option<Moment> {
        self.state().seen.get(key).map(|seen| seen.at)
    }

    /// What the last listing says about a key, where that is enough: it counts, and shows a
    /// running container in the life on record, or nothing where nothing was ever made.
    pub(crate) fn by_listing(
        &self,
        key: &ComponentKey,
        record: &ComponentRecord,
        agent: &str,
    ) -> Option<(Tick, Moment, Option<Container>)> {
        let state = self.state();
        let from = state.believed_from.get(key).copied().unwrap_or(0);
        let index = state.index.as_ref().filter(|index| index.tick >= from)?;
        let Some(container) = index.holder(key, record.container.as_ref(), agent) else {
            let free = !index.has_name(key.container_name().as_str());
            return (record.container.is_none() && free).then_some((index.tick, index.at, None));
        };
        let known = record.instance.as_ref()?;
        let enough = container.state == RuntimeState::Running
            && known.is_same_life(&container.instance)
            && record.container.as_ref() == Some(&container.instance.id);
        enough.then(|| (index.tick, index.at, Some(container.clone())))
    }

    /// Whether the last listing is complete, counts for the key, and shows nobody with its name.
    pub(crate) fn name_is_free(&self, key: &ComponentKey) -> bool {
        let state = self.state();
        let from = state.believed_from.get(key).copied().unwrap_or(0);
        state
            .index
            .as_ref()
            .is_some_and(|i| i.tick >= from && !i.has_name(key.container_name().as_str()))
    }

    /// Remembers a look. One that began before what is remembered is dropped (S24).
    pub(crate) fn remember(&self, key: &ComponentKey, seen: Seen) {
        let mut state = self.state();
        if state.seen.get(key).is_some_and(|old| old.tick > seen.tick) {
            return;
        }
        if let Some(container) = seen.observed.container() {
            state
                .owners
                .insert(container.instance.id.clone(), key.clone());
        }
        state.seen.insert(key.clone(), seen);
    }

    /// Remembers which state a key has just left.
    pub(crate) fn left(&self, key: &ComponentKey, state: ObservedState) {
        self.state().previous.insert(key.clone(), state);
    }

    /// Which state a key was in before its present one.
    pub(crate) fn previous(&self, key: &ComponentKey) -> Option<ObservedState> {
        self.state().previous.get(key).copied()
    }

    /// Forgets a key that nobody wants anything of any more.
    pub(crate) fn forget(&self, key: &ComponentKey) {
        let mut state = self.state();
        state.seen.remove(key);
        state.believed_from.remove(key);
        state.previous.remove(key);
        state.owners.retain(|_, owner| owner != key);
    }

    /// Takes in a complete listing. Keys that it shows as they were last seen are confirmed by it;
    /// the others are returned, to be looked at.
    pub(crate) fn take_in(
        &self,
        index: Index,
        keys: impl IntoIterator<Item = ComponentKey>,
        agent: &str,
    ) -> Vec<ComponentKey> {
        let mut state = self.state();
        let mut changed = Vec::new();
        for key in keys {
            let from = state.believed_from.get(&key).copied().unwrap_or(0);
            // A listing that began before the last hint or act says nothing about the key; whoever
            // hinted or acted has it looked at.
            if index.tick < from {
                continue;
            }
            match state.seen.get_mut(&key) {
                Some(seen) if seen.tick > index.tick => {}
                Some(seen) if shows_the_same(&index, &key, seen, agent) => {
                    (seen.tick, seen.at) = (index.tick, index.at);
                }
                _ => {
                    state.believed_from.insert(key.clone(), index.tick);
                    changed.push(key);
                }
            }
        }
        let present = |id: &ContainerId| index.by_id.contains_key(id);
        let state = &mut *state;
        state.owners.retain(|id, key| {
            present(id)
                || state
                    .seen
                    .get(key)
                    .is_some_and(|seen| seen.tick > index.tick)
        });
        state.index = Some(index);
        changed
    }

    /// What the last listing showed that belongs to none of these keys.
    pub(crate) fn unowned(&self, is_owned: impl Fn(&Container) -> bool) -> Vec<Container> {
        let state = self.state();
        let Some(index) = &state.index else {
            return Vec::new();
        };
        let mut foreign: Vec<Container> = index
            .containers()
            .filter(|c| !is_owned(c))
            .cloned()
            .collect();
        foreign.sort_by(|a, b| a.name.cmp(&b.name));
        foreign
    }
}

fn shows_the_same(index: &Index, key: &ComponentKey, seen: &Seen, agent: &str) -> bool {
    let id = seen.observed.container().map(|c| &c.instance.id);
    match (&seen.observed, index.holder(key, id, agent)) {
        (Observed::Removed, None) => {
            seen.foreign.is_some() == index.has_name(key.container_name().as_str())
        }
        (Observed::Present { container, .. }, Some(now)) => {
            container.state == now.state
                && container.name == now.name
                && container.instance.is_same_life(&now.instance)
        }
        // What was unknown is looked at again, whatever the listing shows.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use mcp_model::{BootId, Stamp};

    use super::*;

    fn moment() -> Moment {
        Moment {
            wall: Stamp::from_millis(0),
            boot: std::time::Duration::ZERO,
            boot_id: BootId(1),
        }
    }

    fn seen(tick: Tick) -> Seen {
        Seen {
            tick,
            at: moment(),
            observed: Observed::Removed,
            foreign: None,
            last_lines: Vec::new(),
        }
    }

    #[test]
    fn a_listing_that_began_before_a_hint_is_not_believed_about_its_key() {
        let (looks, key) = (Looks::default(), "shop/web".parse().unwrap());
        let began = looks.tick();
        looks.distrust(&key);
        let changed = looks.take_in(
            Index::new(began, moment(), Vec::new()),
            [key.clone()],
            "agent",
        );
        assert_eq!(changed, []);
        assert!(!looks.name_is_free(&key));
        let later = looks.tick();
        looks.take_in(
            Index::new(later, moment(), Vec::new()),
            [key.clone()],
            "agent",
        );
        assert!(looks.name_is_free(&key));
    }

    #[test]
    fn a_look_that_began_before_the_last_one_is_dropped() {
        let (looks, key) = (Looks::default(), "shop/web".parse().unwrap());
        looks.remember(&key, seen(2));
        looks.remember(&key, seen(1));
        assert_eq!(looks.believed(&key).unwrap().tick, 2);
    }
}
