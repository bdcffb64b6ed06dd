//! A thousand components: a resync in which nothing changed, the agent's start, `mcp status`.
//!
//! The runtime is the one in memory, made as slow as podman is with that many containers; the
//! registry, the controller, the agent's doors and the CLI are the real ones.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mcp_agent::adapters::clock::SystemClock;
use mcp_agent::node::{HintFeed, Opened, Running, World, podman_args};
use mcp_controller::port::Clock as _;
use mcp_e2e::Workstation;
use mcp_identity::{Bundle, Token, private_file};
use mcp_registry::NewToken;
use mcp_runtime::fake::Fake;
use mcp_runtime::hints::channel;
use mcp_runtime::{Call, ContainerRuntime as _};
use std::sync::Arc;

use crate::fleet::{COMPONENTS, Core, Node, all_run};
use crate::report::{Row, millis, say, spread};
use crate::samples::Samples;
use crate::writes::Written;

const ROUNDS: usize = 7;
/// What `podman ps` takes with a thousand containers: 27 ms with one, and 0.52 ms more for each.
const LISTING: Duration = Duration::from_millis(550);
const STATUS_CALLS: usize = 100;

/// Measures it.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let node = Node::new()?;
    let threads = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let (mut rows, fake) = threads.block_on(resyncs(&node))?;
    rows.push(threads.block_on(starts(&node, &fake))?);
    rows.push(statuses(&threads, &node, &fake)?);
    Ok(rows)
}

async fn resyncs(node: &Node) -> Result<(Vec<Row>, Fake)> {
    let core = Core::start(&node.config).await?;
    core.deploy().await?;
    say(&format!("{COMPONENTS} components run"));
    core.handle.look().await?;
    core.fake.latency(Call::List, LISTING);
    reconciled(&core).await;

    let mut written = Written::new(&node.config.database.path)?;
    let (mut listing, mut answered, mut all) = <(Samples, Samples, Samples)>::default();
    for round in 1..=ROUNDS {
        let started = Instant::now();
        core.fake.list().await?;
        listing.push(started.elapsed());

        core.store.take();
        let started = Instant::now();
        core.handle.look().await?;
        answered.push(started.elapsed());
        reconciled(&core).await;
        all.push(started.elapsed());
        say(&format!(
            "round {round} of {ROUNDS}: listing {}, resync {}",
            millis(listing.last()),
            millis(all.last())
        ));
    }
    if written.since_last_look()? {
        bail!("a resync in which nothing changed wrote to the registry");
    }
    let row = |what: &str, samples: &Samples| {
        let more = millis(samples.median() - listing.median());
        Row::new(what, format!("{} (+{more})", spread(samples)))
            .beside(spread(&listing), samples.by(&listing).median())
            .ratio_at_most(1.2)
    };
    let rows = vec![
        row("resync of 1,000, nothing changed: answered", &answered),
        row("resync of 1,000, nothing changed: all reconciled", &all),
    ];
    Ok((rows, core.stop().await?))
}

/// Waits until every key was reconciled once more.
async fn reconciled(core: &Core) {
    while core.store.loads() < COMPONENTS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn start(node: &Node, fake: &Fake) -> Result<Running> {
    let opened = Opened::open(node.config.clone()).await?;
    let (sender, receiver) = channel(64);
    fake.send_hints_to(sender);
    let hints = HintFeed {
        receiver,
        handles: None,
        sources: None,
    };
    let world = World {
        runtime: Arc::new(fake.clone()),
        podman: podman_args(&node.config),
        hints,
    };
    opened.start(world).await
}

/// From opening the registry to serving, and on to the first complete view.
async fn starts(node: &Node, fake: &Fake) -> Result<Row> {
    let (mut ready, mut complete) = <(Samples, Samples)>::default();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let running = start(node, fake).await?;
        tokio::net::TcpStream::connect(running.address()).await?;
        ready.push(started.elapsed());
        running
            .controller()
            .view()
            .wait_for(|view| all_run(view))
            .await?;
        complete.push(started.elapsed());
        running.stop().await?;
    }
    say(&format!(
        "started {ROUNDS} times: serving after {}, complete view after {}",
        millis(ready.median()),
        millis(complete.median())
    ));
    let measured = format!(
        "{} (view complete: {})",
        spread(&ready),
        millis(complete.median())
    );
    Ok(
        Row::new("agent start to ready, 1,000 components", measured).at_most(
            ready.median(),
            500.0,
            " ms",
        ),
    )
}

/// The CLI from its start to its end, certificate, token and table included.
fn statuses(threads: &tokio::runtime::Runtime, node: &Node, fake: &Fake) -> Result<Row> {
    let running = threads.block_on(start(node, fake))?;
    let bundle = threads.block_on(bundle(node, &running))?;
    let workstation = Workstation::new();
    let file = workstation.home().join("bundle");
    private_file::create(&file, bundle.to_text().as_bytes())?;
    workstation
        .mcp(&["node", "add", "--bundle", &file.to_string_lossy()])
        .ok();
    threads.block_on(async {
        running
            .controller()
            .view()
            .wait_for(|view| all_run(view))
            .await
            .map(drop)
    })?;
    let mut samples = Samples::default();
    for _ in 0..STATUS_CALLS {
        let started = Instant::now();
        let table = workstation.mcp(&["status"]).ok();
        samples.push(started.elapsed());
        if table.lines().count() < COMPONENTS {
            bail!("not every component is shown:\n{table}");
        }
    }
    threads.block_on(running.stop())?;
    let p99 = samples.percentile(99);
    let measured = format!("{} (median {})", millis(p99), millis(samples.median()));
    Ok(Row::new("mcp status, 1,000 components, cached, p99", measured).at_most(p99, 50.0, " ms"))
}

async fn bundle(node: &Node, running: &Running) -> Result<Bundle> {
    let token = Token::generate();
    let now = SystemClock::new().now().wall;
    let expires = now.plus(Duration::from_hours(1));
    let new = NewToken {
        hash: *token.hash().as_bytes(),
        id: "bench".to_owned(),
        subject: "bench".to_owned(),
        roles: vec!["admin".to_owned()],
        created: now,
        expires,
    };
    running.registry().insert_token(new).await?;
    Ok(Bundle {
        node: node.config.agent.node_name.clone(),
        address: running.address().to_string(),
        server_name: None,
        ca_cert_pem: node.authority.clone(),
        token,
        expires,
    })
}
