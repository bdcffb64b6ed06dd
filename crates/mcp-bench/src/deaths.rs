//! From a container's death to the start of the alert command, beside the time that
//! `podman events` takes to show the same death.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mcp_e2e::{AgentOptions, Podman, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::clock::{now, pause};
use crate::report::{Row, millis, say, spread};
use crate::samples::Samples;
use crate::stage::{Stage, names};
use crate::stamps::Stamps;

const COMPONENTS: usize = 10;
/// How often each of them dies.
const TIMES: usize = 10;
const SERVICE: &str = "mortal";

/// `podman events` looks every 250 ms: deaths are spread over all of that.
const PHASES: Duration = Duration::from_millis(250);

/// Measures it.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let stamps = Stamps::new()?;
    let options = AgentOptions::default()
        .set("monitor", "alert_command", stamps.command()?)
        // The tenth death of a component is to be told like the first.
        .set("monitor", "cooldown", "0s")
        .set("monitor", "flap_threshold", "10000");
    let stage = Stage::new(options);
    stage.define(SERVICE, COMPONENTS);
    stage.workstation.mcp(&["deploy", SERVICE]).ok();
    let events = Follower::start(stage.agent.podman())?;

    let (mut alert, mut event) = (Samples::default(), Samples::default());
    for time in 0..TIMES {
        stage.workstation.mcp(&["start", SERVICE]).ok();
        until("no drift", || {
            let status = stage.workstation.mcp(&["status", SERVICE, "--exit-code"]);
            (status.code == Some(0)).then_some(())
        });
        for component in names(COMPONENTS) {
            stage.settle()?;
            pause(phase(alert.len()));
            let death = kill(stage.agent.podman(), &format!("{SERVICE}-{component}"))?;
            let told = until("the alert", || stamps.opened(&component, death.at));
            let shown = until("the event", || events.died(&death.id, death.at));
            alert.push(told.saturating_sub(death.at));
            event.push(shown.saturating_sub(death.at));
        }
        say(&format!(
            "{} of {} deaths: alert command {}, podman events {}",
            (time + 1) * COMPONENTS,
            TIMES * COMPONENTS,
            millis(alert.median()),
            millis(event.median())
        ));
    }
    Ok(rows(&alert, &event))
}

fn rows(alert: &Samples, event: &Samples) -> Vec<Row> {
    let p99 = alert.percentile(99);
    let ratio = alert.median() / event.median();
    vec![
        Row::new("death to alert command, median", spread(alert))
            .beside(format!("{} podman events", spread(event)), ratio)
            .ratio_at_most(0.5),
        Row::new(
            &format!("death to alert command, p99 of {}", alert.len()),
            millis(p99),
        )
        .beside(millis(event.percentile(99)), p99 / event.percentile(99))
        .at_most(p99, 150.0, " ms"),
    ]
}

/// Steps of the golden ratio fall everywhere and never in a row.
fn phase(n: usize) -> Duration {
    let n = u32::try_from(n).unwrap_or(0);
    let parts = n.wrapping_mul(618) % 1000;
    PHASES * parts / 1000
}

struct Death {
    id: String,
    at: Duration,
}

fn kill(podman: &Podman, name: &str) -> Result<Death> {
    let container = podman
        .inspect(name)
        .with_context(|| format!("there is no {name}"))?;
    let id = container["Id"].as_str().context("no id")?.to_owned();
    let pid = container["State"]["Pid"].as_i64().unwrap_or(0);
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        bail!("{name} does not run");
    };
    let at = now();
    kill_process(pid, Signal::KILL).with_context(|| format!("cannot kill {name}"))?;
    Ok(Death { id, at })
}

/// When each container's death was shown last.
type Shown = Arc<Mutex<HashMap<String, Duration>>>;

/// `podman events`, followed.
struct Follower {
    podman: Child,
    shown: Shown,
    reader: Option<JoinHandle<()>>,
}

impl Follower {
    fn start(podman: &Podman) -> Result<Self> {
        let mut podman = podman
            .command()
            .args(["events", "--format=json", "--filter=event=died"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot follow the events")?;
        let lines = podman.stdout.take().context("no output to follow")?;
        let shown = Shown::default();
        let reader = Some(std::thread::spawn({
            let shown = Arc::clone(&shown);
            move || note(lines, &shown)
        }));
        Ok(Self {
            podman,
            shown,
            reader,
        })
    }

    fn died(&self, id: &str, since: Duration) -> Option<Duration> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(id).copied().filter(|at| *at >= since)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended by itself, which is what is wanted.
        let _ = self.podman.kill();
        let _ = self.podman.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn note(lines: ChildStdout, shown: &Shown) {
    for line in BufReader::new(lines).lines().map_while(Result::ok) {
        let at = now();
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        // podman 3 and 4 write `ID`, others `Id`.
        if let Some(id) = event["ID"].as_str().or(event["Id"].as_str()) {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.insert(id.to_owned(), at);
        }
    }
}
