//! TOML and environment to [`AgentConfig`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use mcp_model::spec::EnvName;

use super::{
    Agent, AgentConfig, Auth, DEFAULT_RUN_DIR, DEFAULT_RUNTIME, DEFAULT_SERVICE_ROOT, Database,
    Log, Mcias, Monitor, Provider, Reconcile, Runtime, Server,
};
use crate::reader::{At, Reader};
use crate::section::Section;
use crate::values::{AbsolutePath, Argument, ListenAddress, Program, Text, Url};

const MOMENT: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const MONTH: Duration = Duration::from_hours(30 * 24);
const TEN_YEARS: Duration = Duration::from_hours(3650 * 24);

pub(super) fn agent(reader: &Reader<'_>) -> Option<AgentConfig> {
    let server = reader.section("server", server);
    let database = reader.section("database", database);
    let provider = reader.section("auth", |auth| auth.parse::<Provider>("provider"));
    let mcias = reader.section("mcias", mcias);
    let agent = reader.section("agent", |section| agent_section(section, reader));
    let runtime = reader.section("runtime", runtime);
    let monitor = reader.section("monitor", monitor);
    let reconcile = reader.section("reconcile", reconcile);
    let log = reader.section("log", log);

    let provider = provider.unwrap_or_else(|| Provider::implied_by(&mcias));
    if provider == Provider::Mcias && mcias.server_url.is_none() {
        let message = "[auth] provider is mcias, but [mcias] server_url is not set";
        reader.note(At::File(0..0), message);
    }
    Some(AgentConfig {
        server: server?,
        database: database?,
        auth: Auth { provider },
        mcias,
        agent: agent?,
        runtime,
        monitor,
        reconcile,
        log,
        file: None,
    })
}

fn path(AbsolutePath(path): AbsolutePath) -> PathBuf {
    path
}

fn server(section: &Section<'_>) -> Option<Server> {
    let listen = section.required("grpc_addr", "192.0.2.1:9444");
    let tls_cert = section.required("tls_cert", "/srv/mcp/certs/cert.pem");
    let tls_key = section.required("tls_key", "/srv/mcp/certs/key.pem");
    let allow_all_interfaces = section.boolean("allow_all_interfaces").unwrap_or(false);
    let (ListenAddress(grpc_addr), at) = listen?;
    if grpc_addr.ip().to_canonical().is_unspecified() && !allow_all_interfaces {
        section.refuse(
            "grpc_addr",
            &at,
            format_args!(
                "{grpc_addr} listens on all interfaces: name one, or set allow_all_interfaces = true"
            ),
        );
    }
    Some(Server {
        grpc_addr,
        tls_cert: path(tls_cert?.0),
        tls_key: path(tls_key?.0),
        allow_all_interfaces,
    })
}

fn database(section: &Section<'_>) -> Option<Database> {
    let (found, _) = section.required("path", "/srv/mcp/mcp.db")?;
    Some(Database { path: path(found) })
}

fn mcias(section: &Section<'_>) -> Mcias {
    let defaults = Mcias::default();
    Mcias {
        server_url: section.parse_unless_empty("server_url").map(|Url(url)| url),
        ca_cert: section.parse_unless_empty("ca_cert").map(path),
        service_name: section
            .parse("service_name")
            .map_or(defaults.service_name, |Text(name)| name),
    }
}

fn agent_section(section: &Section<'_>, reader: &Reader<'_>) -> Option<Agent> {
    let node_name = section.required("node_name", "rift");
    let container_runtime = section
        .parse("container_runtime")
        .map_or_else(|| DEFAULT_RUNTIME.to_owned(), |Program(name)| name);
    let service_root = section
        .parse("service_root")
        .map_or_else(|| DEFAULT_SERVICE_ROOT.into(), path);
    let volume_prefixes = section.list("volume_prefixes").map_or_else(
        || vec![service_root.clone()],
        |prefixes| prefixes.into_iter().map(path).collect(),
    );
    let run_dir = section
        .parse("run_dir")
        .map_or_else(|| default_run_dir(reader), path);
    let (node_name, _) = node_name?;
    Some(Agent {
        node_name,
        container_runtime,
        service_root,
        volume_prefixes,
        run_dir,
    })
}

/// A user's own run directory where there is one: `/run` belongs to root.
fn default_run_dir(reader: &Reader<'_>) -> PathBuf {
    match reader.variable("XDG_RUNTIME_DIR") {
        Some(runtime) if runtime.starts_with('/') => PathBuf::from(runtime).join("mcp-agent"),
        _ => DEFAULT_RUN_DIR.into(),
    }
}

fn arguments(section: &Section<'_>, key: &'static str) -> Vec<String> {
    let found = section.list(key).unwrap_or_default();
    found.into_iter().map(|Argument(text)| text).collect()
}

fn variables(section: &Section<'_>, key: &'static str) -> BTreeMap<String, String> {
    let found = section.table::<EnvName, Argument>(key).unwrap_or_default();
    found
        .into_iter()
        .map(|(name, Argument(value))| (name.into(), value))
        .collect()
}

fn runtime(section: &Section<'_>) -> Runtime {
    let or = Runtime::default();
    Runtime {
        args: arguments(section, "args"),
        env: variables(section, "env"),
        timeout: section
            .duration("timeout", SECOND..=MINUTE)
            .unwrap_or(or.timeout),
    }
}

fn monitor(section: &Section<'_>) -> Monitor {
    let or = Monitor::default();
    let interval = section
        .duration("interval", SECOND..=DAY)
        .unwrap_or(or.interval);
    Monitor {
        interval,
        alert_command: arguments(section, "alert_command"),
        alert_env: variables(section, "alert_env"),
        cooldown: section
            .duration("cooldown", Duration::ZERO..=MONTH)
            .unwrap_or(or.cooldown),
        flap_threshold: section
            .number("flap_threshold", 1..=10_000)
            .unwrap_or(or.flap_threshold),
        flap_window: section
            .duration("flap_window", SECOND..=DAY)
            .unwrap_or(or.flap_window),
        retention: section
            .duration("retention", HOUR..=TEN_YEARS)
            .unwrap_or(or.retention),
        notify_close: section.boolean("notify_close").unwrap_or(or.notify_close),
        settle: section
            .duration("settle", Duration::ZERO..=HOUR)
            .unwrap_or(or.settle),
        settle_intent: section
            .duration("settle_intent", Duration::ZERO..=DAY)
            .unwrap_or(interval),
    }
}

fn reconcile(section: &Section<'_>) -> Reconcile {
    let or = Reconcile::default();
    let initial = section
        .duration("initial", MOMENT..=DAY)
        .unwrap_or(or.initial);
    let max = section.placed_duration("max", MOMENT..=DAY);
    if let Some((max, at)) = &max
        && *max < initial
    {
        let show = humantime::format_duration;
        let (max, initial) = (show(*max), show(initial));
        section.refuse(
            "max",
            at,
            format_args!("{max} is less than initial, which is {initial}"),
        );
    }
    Reconcile {
        auto: section.boolean("auto").unwrap_or(or.auto),
        initial,
        max: max.map_or(or.max.max(initial), |(max, _)| max),
        budget: section.number("budget", 1..=1_000).unwrap_or(or.budget),
        window: section
            .duration("window", SECOND..=MONTH)
            .unwrap_or(or.window),
    }
}

fn log(section: &Section<'_>) -> Log {
    Log {
        level: section.parse("level").unwrap_or_default(),
        format: section.parse("format").unwrap_or_default(),
    }
}
