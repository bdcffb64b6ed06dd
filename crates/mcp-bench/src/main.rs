//! `mcp-bench`: how fast and how small, beside what the job costs without MCP.
//!
//! ```text
//! mcp-bench                   every measurement, then one table on standard output
//! mcp-bench deploy death      only these
//! mcp-bench stamp FOLDER      the alert command that `death` configures: notes when it ran
//! ```
//!
//! Figures are medians unless they say otherwise, and ratios compare what was measured in the same
//! round on the same machine. Nothing here judges in tests: a missed target is said and is no
//! failure; the exit status is 1 only where a measurement could not be made. The targets and what
//! each figure means are in `docs/benchmarks.md`.

mod clock;
mod deaths;
mod deploys;
mod flaps;
mod fleet;
mod hung;
mod idle;
mod journal;
mod large;
mod procs;
mod report;
mod samples;
mod stage;
mod stamps;
mod work_queue;
mod writes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};

use report::{Row, say};

/// A measurement: it makes what it needs, and leaves nothing behind.
type Measure = fn() -> Result<Vec<Row>>;

/// All of them, in the order of the table.
const MEASURES: [(&str, Measure); 8] = [
    ("deploy", deploys::measure),
    ("journal", journal::measure),
    ("death", deaths::measure),
    ("large", large::measure),
    ("queue", work_queue::measure),
    ("flaps", flaps::measure),
    ("hung", hung::measure),
    ("idle", idle::measure),
];

fn main() -> ExitCode {
    let started = clock::now();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.as_slice() {
        [word, folder] if word == "stamp" => stamps::leave(Path::new(folder), started),
        names => run(names),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(names: &[String]) -> Result<()> {
    let known = MEASURES.map(|(name, _)| name);
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!(
            "there is no measurement {unknown:?}: there is {}",
            known.join(", ")
        );
    }
    let asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for (name, measure) in MEASURES.iter().filter(|(name, _)| asked(name)) {
        say(&format!("== {name}"));
        match guarded(*measure) {
            Ok(more) => rows.extend(more),
            Err(error) => {
                say(&format!("{name} could not be measured: {error:#}"));
                failed.push(*name);
            }
        }
    }
    report::print(&rows).context("cannot write the table")?;
    if failed.is_empty() {
        return Ok(());
    }
    bail!("not measured: {}", failed.join(", "))
}

/// The harness of the end-to-end tests panics where a part cannot be made. Its parts clean up
/// while the panic passes, and the other measurements go on.
fn guarded(measure: Measure) -> Result<Vec<Row>> {
    catch_unwind(AssertUnwindSafe(measure)).unwrap_or_else(|_| Err(anyhow!("see above")))
}
