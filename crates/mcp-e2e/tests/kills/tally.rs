//! The figures.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::say;
use crate::scenario::Scenario;
use crate::stage::Kill;

/// How soon after readiness an operation is to be settled.
const SOON: Duration = Duration::from_secs(5);

/// How often the agent was killed where, and how long what it had left open took.
#[derive(Default)]
pub(crate) struct Tally {
    kills: usize,
    places: BTreeMap<String, usize>,
    settled: Vec<Duration>,
}

impl Tally {
    pub(crate) fn count(&mut self, scenario: Scenario, how: &Kill, settled: Option<Duration>) {
        let place = match how {
            Kill::At(point) => point.name(),
            Kill::After(_) => "any moment",
        };
        self.kills += 1;
        *self.places.entry(place.to_owned()).or_default() += 1;
        self.settled.extend(settled);
        if let Some(late) = settled.filter(|settled| *settled > SOON) {
            say(&format!("{scenario:?}, {how:?}: settled after {late:?}"));
        }
    }

    pub(crate) fn say(&self) {
        let mut settled = self.settled.clone();
        settled.sort();
        let at = |percent: usize| match settled.len().checked_sub(1) {
            Some(last) => settled[last * percent / 100],
            None => Duration::ZERO,
        };
        let late = settled.iter().filter(|settled| **settled > SOON).count();
        say(&format!("{} kills: {:?}", self.kills, self.places));
        say(&format!(
            "{} operations were resumed; settled after readiness: median {:?}, p99 {:?}, longest {:?}, {late} later than {SOON:?}",
            settled.len(),
            at(50),
            at(99),
            at(100)
        ));
    }
}
