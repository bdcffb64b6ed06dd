//! What an agent takes while nothing happens to its hundred containers: memory and processor time
//! of its whole process tree, and writes to its database.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mcp_e2e::AgentOptions;

use crate::clock::pause;
use crate::procs::{self, Cpu};
use crate::report::{Row, say};
use crate::samples::Samples;
use crate::stage::Stage;
use crate::writes::Written;

const CONTAINERS: usize = 100;
const SERVICE: &str = "idle";
/// How often the runtime is listed here…
const INTERVAL: Duration = Duration::from_secs(10);
/// …and how often it is by default: what listings cost is scaled to that.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
/// How long is looked: four listings or more.
const WATCH: Duration = Duration::from_secs(45);
/// Time between two looks. A listing takes some 50 ms.
const LOOK: Duration = Duration::from_millis(10);
const MIB: f64 = 1024.0 * 1024.0;

/// Measures it.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let interval = format!("{}s", INTERVAL.as_secs());
    let options = AgentOptions::default().set("monitor", "interval", interval);
    let stage = Stage::new(options);
    stage.define(SERVICE, CONTAINERS);
    stage.workstation.mcp(&["deploy", SERVICE]).ok();
    let running = stage.agent.podman().run(&["ps", "--quiet"]).lines().count();
    if running != CONTAINERS {
        bail!("{running} containers run instead of {CONTAINERS}");
    }
    stage.settle()?;
    say(&format!(
        "{CONTAINERS} containers run; watching for {} s",
        WATCH.as_secs()
    ));
    let seen = watch(stage.agent.pid(), &stage.agent.database())?;
    if seen.listings < 2 {
        bail!("{} listings while watching", seen.listings);
    }
    Ok(seen.rows())
}

#[derive(Default)]
struct Seen {
    /// Bytes of the whole tree while the agent has no child.
    between: Samples,
    /// The most bytes of the whole tree.
    peak: f64,
    cpu: Cpu,
    time: Duration,
    listings: usize,
    /// Looks at the database that found it changed.
    writes: usize,
}

fn watch(agent: u32, database: &Path) -> Result<Seen> {
    let mut written = Written::new(database)?;
    let mut seen = Seen::default();
    let mut children = BTreeSet::new();
    let (started, before) = (Instant::now(), procs::cpu(agent)?);
    while started.elapsed() < WATCH {
        let tree = procs::tree(agent);
        let resident: u64 = tree.iter().map(|pid| procs::resident(*pid)).sum();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
        let resident = resident as f64;
        if tree.len() == 1 {
            seen.between.add(resident);
        } else if let Some(child) = tree.get(1) {
            // Processes of a listing that the child starts itself are no listings of their own.
            children.insert(*child);
        }
        seen.peak = seen.peak.max(resident);
        seen.writes += usize::from(written.since_last_look()?);
        pause(LOOK);
    }
    let after = procs::cpu(agent)?;
    seen.time = started.elapsed();
    seen.listings = children.len();
    seen.cpu = Cpu {
        own: after.own.saturating_sub(before.own),
        children: after.children.saturating_sub(before.children),
    };
    Ok(seen)
}

impl Seen {
    /// Share of one core in percent at the default interval. Only what the listings' processes
    /// took is scaled: the agent's own time is not known to be theirs alone.
    fn core_percent(&self) -> f64 {
        let scale = INTERVAL.as_secs_f64() / DEFAULT_INTERVAL.as_secs_f64();
        let used = self.cpu.own.as_secs_f64() + self.cpu.children.as_secs_f64() * scale;
        used / self.time.as_secs_f64() * 100.0
    }

    fn rows(&self) -> Vec<Row> {
        let name = |what: &str| format!("idle, {CONTAINERS} containers: {what}");
        let between = self.between.median() / MIB;
        let percent = self.core_percent();
        let seconds = self.time.as_secs_f64();
        let share = |time: Duration| time.as_secs_f64() / seconds * 100.0;
        let detail = format!(
            "{percent:.2} % (at {} s: {:.2} % own, {:.2} % children)",
            INTERVAL.as_secs(),
            share(self.cpu.own),
            share(self.cpu.children)
        );
        let listed = format!("{} in {} listings", self.writes, self.listings);
        vec![
            Row::new(
                &name("memory between listings"),
                format!("{between:.1} MiB"),
            )
            .at_most(between, 20.0, " MiB"),
            Row::new(
                &name("memory, peak with children"),
                format!("{:.1} MiB", self.peak / MIB),
            ),
            Row::new(&name("of a core, scaled to 60 s"), detail).at_most(percent, 0.5, " %"),
            Row::new(&name("database writes"), listed).at_most(
                if self.writes == 0 { 0.0 } else { 1.0 },
                0.0,
                "",
            ),
        ]
    }
}
