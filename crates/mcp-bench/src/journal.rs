//! What being safe from crashes costs a deploy: the same deploy of ten components by an agent whose
//! registry is on the disk, and by one whose registry is in memory, where a sync costs nothing.
//!
//! All else is the same: each has a podman of its own on the disk, and the two take turns.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mcp_e2e::{Agent, AgentOptions, Workstation};
use tempfile::TempDir;

use crate::deploys;
use crate::report::{Row, say, spread};
use crate::samples::Samples;
use crate::stage::{NODE, Stage};

const ROUNDS: usize = 21;
/// A file system in memory, on every Linux.
const MEMORY: &str = "/dev/shm";

/// Measures it.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let synced = Stage::new(AgentOptions::default());
    let folder = tempfile::tempdir_in(MEMORY).context("no file system in memory")?;
    let unsynced = in_memory(&folder)?;
    let (mut with, mut without) = (Samples::default(), Samples::default());
    for round in 0..=ROUNDS {
        let mut both = [Duration::ZERO; 2];
        for turn in 0..2 {
            let which = (round + turn) % 2;
            both[which] = deploys::deploy([&synced, &unsynced][which])?;
        }
        say(&format!(
            "round {round} of {ROUNDS}: with syncs {} ms, without {} ms",
            both[0].as_millis(),
            both[1].as_millis()
        ));
        // The first round fills caches.
        if round > 0 {
            with.push(both[0]);
            without.push(both[1]);
        }
    }
    let ratio = with.by(&without).median();
    let what = "deploy of 10, registry on disk by registry in memory";
    Ok(vec![
        Row::new(what, spread(&with))
            .beside(spread(&without), ratio)
            .ratio_at_most(1.05),
    ])
}

/// An agent whose registry lies in `folder`.
fn in_memory(folder: &TempDir) -> Result<Stage> {
    let registry = folder.path().join("mcp.db");
    let path = |path: &Path| path.display().to_string();
    let options = AgentOptions::default().set("database", "path", path(&registry));
    let mut agent = Agent::init(NODE, options);
    // What `init` stored, the first token among it.
    fs::copy(agent.database(), &registry).context("cannot copy the registry")?;
    agent.start();
    let workstation = Workstation::of(&[&agent]);
    Ok(Stage { workstation, agent })
}
