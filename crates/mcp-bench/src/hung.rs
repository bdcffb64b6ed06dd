//! How long `mcp status` takes while podman hangs: before the first deadline, when the view is only
//! old, and after it, when states are unknown.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mcp_e2e::{AgentOptions, Lie, LyingPodman};

use crate::clock::pause;
use crate::report::{Row, millis, say, spread};
use crate::samples::Samples;
use crate::stage::Stage;

const COMPONENTS: usize = 10;
const SERVICE: &str = "hung";
/// How often it is asked, in each of the two halves.
const TIMES: usize = 100;
/// Time between two looks at what is waited for.
const SOON: Duration = Duration::from_millis(20);

/// Measures it.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let podman = LyingPodman::new();
    let options = AgentOptions::default()
        .podman(&podman.program(), "10s")
        .set("monitor", "interval", "1s");
    let stage = Stage::new(options);
    stage.define(SERVICE, COMPONENTS);
    stage.workstation.mcp(&["deploy", SERVICE]).ok();
    let truthful = ask(&stage, TIMES)?;
    podman.lie("*", &Lie::HangWithChild);
    while podman.hanging().is_empty() {
        pause(SOON);
    }
    say("podman hangs");
    let old = ask(&stage, TIMES)?;
    if podman.hanging().is_empty() {
        bail!("podman did not go on hanging");
    }
    while !status(&stage)?.1.contains("unknown") {
        pause(SOON);
    }
    say("states are unknown");
    let unknown = ask(&stage, TIMES)?;
    let hung: Samples = old.values().chain(unknown.values()).collect();
    Ok(vec![
        Row::new("mcp status while podman hangs", spread(&hung)).beside(
            format!("while it answers: {}", spread(&truthful)),
            hung.median() / truthful.median(),
        ),
        Row::new("its 99th percentile", millis(hung.percentile(99))).at_most(
            hung.percentile(99),
            100.0,
            "ms",
        ),
    ])
}

fn ask(stage: &Stage, times: usize) -> Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..times {
        samples.push(status(stage)?.0);
    }
    Ok(samples)
}

fn status(stage: &Stage) -> Result<(Duration, String)> {
    let began = Instant::now();
    let reply = stage.workstation.mcp(&["status"]);
    let took = began.elapsed();
    if reply.code != Some(0) || !reply.stdout.contains("seen ") {
        bail!("no status that tells its age: {reply:?}");
    }
    Ok((took, reply.stdout))
}
