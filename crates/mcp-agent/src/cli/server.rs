//! `mcp-agent server`: runs the agent until it is told to stop.

use anyhow::{Context as _, anyhow};
use mcp_config::agent::AgentConfig;
use mcp_runtime::CoreLimit;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{debug, info};

use super::ConfigFile;
use crate::node::{Opened, Running};

/// Enough: the work is podman's and `SQLite`'s, and every thread has a stack.
const WORKERS: usize = 2;

pub(super) fn run(file: &ConfigFile, core: CoreLimit) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("another provider of cryptography is installed"))?;
    let config = file.load()?;
    crate::logging::start(&config.log)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("mcp-agent")
        .enable_all()
        .build()
        .context("cannot start the threads")?
        .block_on(serve(config, core))
}

async fn serve(config: AgentConfig, core: CoreLimit) -> anyhow::Result<()> {
    // Before anything can be left behind by a signal.
    let mut signals = Signals::install()?;
    let opened = Opened::open(config).await?.with_core_limit(core);
    let world = opened.podman().await;
    let mut node = opened.start(world).await?;
    tell(&[NotifyState::Ready]);
    let broken = until_told(&mut node, &mut signals).await;
    tell(&[NotifyState::Stopping]);
    let stopped = node.stop().await;
    match broken {
        Some(why) => Err(why),
        None => stopped,
    }
}

/// Resolves when a signal came or, with the reason, when the agent cannot go on.
async fn until_told(node: &mut Running, signals: &mut Signals) -> Option<anyhow::Error> {
    // Twice within the time that systemd allows, as its documentation asks.
    let mut watchdog = sd_notify::watchdog_enabled().map(|limit| tokio::time::interval(limit / 2));
    loop {
        tokio::select! {
            name = signals.next() => {
                info!(signal = name, "told to stop");
                return None;
            }
            why = node.broken() => return Some(why),
            () = tick(watchdog.as_mut()) => tell(&[NotifyState::Watchdog]),
        }
    }
}

async fn tick(watchdog: Option<&mut tokio::time::Interval>) {
    match watchdog {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Tells systemd, where it listens.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "cannot notify systemd");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> anyhow::Result<Self> {
        let install = |kind| signal(kind).context("cannot listen to signals");
        // What grows past a limit on files is a failed write, as on a full disk: by default it
        // would end the agent. Caught and not ignored, since children inherit what is ignored.
        let _ = install(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
