//! The agent is killed at every step of every operation, on real podman (S12–S16).
//!
//! Each operation is carried out once to learn which points it passes. Then it is asked for again
//! and again, and each time the agent is killed with SIGKILL at one of them, or at a random moment,
//! and started again. `KILLS` says how often; `make kills` does it 500 times and prints the figures.

mod points;
mod scenario;
mod stage;
mod tally;

use std::collections::BTreeMap;
use std::time::Duration;

use points::Point;
use scenario::Scenario;
use stage::{Kill, Stage};
use tally::Tally;

/// How many kills are enough for a run with every test: each operation is met twice, at points.
const SHORT: usize = 14;
/// Every so many rounds kill at random moments instead of at points.
const RANDOM_EVERY: usize = 3;

#[test]
fn an_agent_killed_at_any_step_finishes_each_operation_once_and_leaves_nothing_behind() {
    let kills = number("KILLS").unwrap_or(SHORT);
    let seed = number("KILL_SEED").map_or_else(|| fastrand::u64(..), |seed| seed as u64);
    say(&format!("{kills} kills, KILL_SEED={seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut stage = Stage::set();
    let rehearsed: BTreeMap<Scenario, (Vec<Point>, Duration)> = Scenario::ALL
        .into_iter()
        .map(|scenario| (scenario, stage.rehearse(scenario)))
        .collect();
    for (scenario, (points, took)) in &rehearsed {
        say(&format!(
            "{scenario:?}: {} points in {took:?}",
            points.len()
        ));
    }

    let rounds = kills.div_ceil(Scenario::ALL.len());
    let mut tally = Tally::default();
    for kill in 0..kills {
        let scenario = Scenario::ALL[kill % Scenario::ALL.len()];
        let round = kill / Scenario::ALL.len();
        let (points, took) = &rehearsed[&scenario];
        let how = if round % RANDOM_EVERY == RANDOM_EVERY - 1 {
            Kill::After(took.mul_f64(random.f64() * 1.1))
        } else if rounds <= points.len() {
            // Spread over all of them, from another one each time the test runs.
            let first = random.usize(..points.len().div_ceil(rounds));
            Kill::At(points[(round * points.len() / rounds + first) % points.len()].clone())
        } else {
            Kill::At(points[(round - round / RANDOM_EVERY) % points.len()].clone())
        };
        let settled = stage.kill(scenario, &how);
        tally.count(scenario, &how, settled);
        if (kill + 1) % 50 == 0 {
            tally.say();
        }
    }
    tally.say();
}

fn number(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number")),
    )
}

#[expect(clippy::print_stderr, reason = "a long run shows how far it is")]
pub(crate) fn say(line: &str) {
    eprintln!("kills: {line}");
}
