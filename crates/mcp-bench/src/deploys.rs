//! `mcp deploy` of ten components where nothing was before, beside the same podman commands from
//! a shell: four at a time, and one at a time.
//!
//! The commands are those that `mcp deploy --dry-run` prints, run by a second podman that no agent
//! watches. The ways take turns within a round, and every round begins with nothing there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mcp_e2e::{AgentOptions, Podman};
use serde_json::Value;
use tempfile::TempDir;

use crate::report::{Row, millis, say, spread};
use crate::samples::Samples;
use crate::stage::Stage;

const COMPONENTS: usize = 10;
const ROUNDS: usize = 9;
const SERVICE: &str = "ten";

/// How the ten come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Mcp,
    /// The same commands, four components at a time.
    Four,
    /// The same commands, one component at a time.
    Serial,
    /// The same commands without the look that confirms that it came up, four at a time.
    Unverified,
}

const WAYS: [Way; 4] = [Way::Mcp, Way::Four, Way::Serial, Way::Unverified];

/// Measures it.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let stage = Stage::new(AgentOptions::default());
    let podman = Podman::new();
    stage.define(SERVICE, COMPONENTS);
    let scripts = Scripts::new(&stage, &podman)?;
    let mut times = WAYS.map(|_| Samples::default());
    for round in 0..=ROUNDS {
        // Each way is first as often as the others.
        for turn in 0..WAYS.len() {
            let which = (round + turn) % WAYS.len();
            let time = match WAYS[which] {
                Way::Mcp => deploy(&stage)?,
                way => scripts.run(&podman, way)?,
            };
            // The first round fills caches.
            if round > 0 {
                times[which].push(time);
            }
        }
        let last = |way: Way| millis(times[way as usize].last());
        say(&format!(
            "round {round} of {ROUNDS}: mcp {}, four at a time {}, one at a time {}",
            last(Way::Mcp),
            last(Way::Four),
            last(Way::Serial)
        ));
    }
    Ok(rows(&times))
}

fn rows(times: &[Samples; WAYS.len()]) -> Vec<Row> {
    let [mcp, others @ ..] = times;
    let row = |what: &str, other: &Samples| {
        Row::new(what, spread(mcp)).beside(spread(other), mcp.by(other).median())
    };
    let [four, serial, unverified] = others;
    vec![
        row("deploy of 10, podman run + inspect 4 at a time", four).ratio_at_most(1.05),
        row("deploy of 10, podman run + inspect 1 at a time", serial).ratio_at_most(0.6),
        row("deploy of 10, podman run alone 4 at a time", unverified),
        // What no deploy can beat here, however little it adds.
        Row::new(
            "podman run + inspect, 4 at a time by 1 at a time",
            spread(four),
        )
        .beside(spread(serial), four.by(serial).median()),
    ]
}

/// Deploys the ten where nothing is, and removes them again; only the deploy counts.
pub(crate) fn deploy(stage: &Stage) -> Result<Duration> {
    if stage.workstation.definition(SERVICE).metadata().is_err() {
        stage.define(SERVICE, COMPONENTS);
    }
    stage.settle()?;
    let mut command = stage.workstation.command();
    command.args(["deploy", SERVICE]);
    let time = timed(&mut command)?;
    expect(stage.agent.podman(), COMPONENTS)?;
    stage.remove(SERVICE)?;
    expect(stage.agent.podman(), 0)?;
    stage.settle()?;
    Ok(time)
}

fn timed(command: &mut Command) -> Result<Duration> {
    command.stdin(Stdio::null());
    let started = Instant::now();
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let time = started.elapsed();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}: {said}", output.status);
    }
    Ok(time)
}

fn expect(podman: &Podman, running: usize) -> Result<()> {
    let found = podman.run(&["ps", "--quiet"]).lines().count();
    if found != running {
        bail!("{found} containers run instead of {running}");
    }
    Ok(())
}

/// One script per component, in two folders: with and without the look after the start.
struct Scripts {
    dir: TempDir,
}

impl Scripts {
    /// Writes what `mcp deploy --dry-run` prints, for another podman.
    fn new(stage: &Stage, podman: &Podman) -> Result<Self> {
        let scripts = Self {
            dir: tempfile::tempdir().context("cannot make a folder for scripts")?,
        };
        let plan = stage.workstation.json(&["deploy", SERVICE, "--dry-run"]);
        let components = &plan["nodes"][0]["services"][0]["components"];
        let components = components.as_array().context("a plan without components")?;
        if components.len() != COMPONENTS {
            bail!("a plan of {} components", components.len());
        }
        for way in [Way::Four, Way::Unverified] {
            fs::create_dir(scripts.folder(way))?;
        }
        for component in components {
            let lines = lines(component, stage.agent.podman(), podman)?;
            let [run, inspect] = lines.as_slice() else {
                bail!("not a run and a look: {lines:?}");
            };
            let name = component["name"].as_str().context("a nameless component")?;
            let file = format!("{name}.sh");
            let both = format!("{run} && {inspect}\n");
            fs::write(scripts.folder(Way::Four).join(&file), both)?;
            fs::write(
                scripts.folder(Way::Unverified).join(&file),
                format!("{run}\n"),
            )?;
        }
        Ok(scripts)
    }

    fn folder(&self, way: Way) -> PathBuf {
        self.dir.path().join(match way {
            Way::Unverified => "run",
            _ => "both",
        })
    }

    fn run(&self, podman: &Podman, way: Way) -> Result<Duration> {
        let mut shell = shell(&self.folder(way), way);
        let time = timed(&mut shell)?;
        expect(podman, COMPONENTS)?;
        podman.run(&["rm", "--all", "--force", "--time=0"]);
        Ok(time)
    }
}

fn shell(folder: &Path, way: Way) -> Command {
    let mut command = Command::new("sh");
    command.current_dir(folder);
    command.args(match way {
        Way::Serial => ["-ec", "for file in *.sh; do sh $file; done"],
        _ => ["-ec", "ls *.sh | xargs -P4 -n1 sh"],
    });
    command
}

/// The commands of one component's plan, for `other` instead of `planned`.
fn lines(component: &Value, planned: &Podman, other: &Podman) -> Result<Vec<String>> {
    let commands = component["commands"].as_array().context("no commands")?;
    commands
        .iter()
        .map(|command| {
            let words: Vec<String> = serde_json::from_value(command["argv"].clone())?;
            let (program, rest) = words.split_first().context("an empty command")?;
            let subcommand = rest
                .strip_prefix(planned.args())
                .context("a command without the podman's own arguments")?;
            Ok(mcp_runtime::shell_line(&mcp_runtime::Command {
                program: program.clone(),
                args: [other.args(), subcommand].concat(),
                env: other.env().iter().cloned().collect(),
            }))
        })
        .collect()
}
