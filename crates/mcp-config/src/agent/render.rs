//! The file that `mcp-agent init` writes.
//!
//! There is one documented text, the example in `deploy/examples/`; writing a configuration puts
//! values into it. A key whose default is meant stays a comment, so that a later release's better
//! default is not pinned by accident.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Value;

use super::{AgentConfig, Provider};

/// The documented configuration.
pub const EXAMPLE: &str = include_str!("../../../../deploy/examples/mcp-agent.toml");

/// The documented example with the values of `config` filled in. Reading it gives `config` back.
///
/// Paths that are not UTF-8 cannot stand in a configuration and are written with replacements.
pub fn render(config: &AgentConfig) -> String {
    let defaults = defaults_beside(config);
    let values = entries(config);
    let mut section = String::new();
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            name.clone_into(&mut section);
        }
        let (key, commented) = key_of(line);
        let place = (section.as_str(), key);
        match values.get(&place) {
            Some(value) if !commented || defaults.get(&place) != Some(value) => {
                text.extend([key, " = ", &value.to_string()]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// What the keys that may be left out would mean beside the rest of `config`.
fn defaults_beside(config: &AgentConfig) -> Entries {
    let mut silent = AgentConfig::new(
        config.agent.node_name.clone(),
        config.server.grpc_addr,
        config.server.tls_cert.clone(),
        config.server.tls_key.clone(),
        config.database.path.clone(),
    );
    silent.auth.provider = Provider::implied_by(&config.mcias);
    silent.agent.volume_prefixes = vec![config.agent.service_root.clone()];
    silent.monitor.settle_intent = config.monitor.interval;
    silent.reconcile.max = silent.reconcile.max.max(config.reconcile.initial);
    let mut defaults = entries(&silent);
    // Without it, the environment of whoever starts the agent would decide.
    defaults.remove(&("agent", "run_dir"));
    defaults
}

/// The key that a line states, and whether it does so in a comment. In the example, a comment of
/// the form `# key = value` is a default.
pub(super) fn key_of(line: &str) -> (&str, bool) {
    let (stated, commented) = match line.strip_prefix("# ") {
        Some(stated) => (stated, true),
        None => (line, false),
    };
    let key = stated.split_once(" = ").map_or("", |(key, _)| key);
    (key, commented)
}

type Entries = BTreeMap<(&'static str, &'static str), Value>;

/// Every key that has a value.
fn entries(config: &AgentConfig) -> Entries {
    let AgentConfig {
        server,
        database,
        auth,
        mcias,
        agent,
        runtime,
        monitor,
        reconcile,
        log,
        // It does not say where it lies.
        file: _,
    } = config;
    let duration = |time| text(&humantime::format_duration(time));
    let mut entries = Entries::from([
        (("server", "grpc_addr"), text(&server.grpc_addr)),
        (("server", "tls_cert"), path(&server.tls_cert)),
        (("server", "tls_key"), path(&server.tls_key)),
        (
            ("server", "allow_all_interfaces"),
            server.allow_all_interfaces.into(),
        ),
        (("database", "path"), path(&database.path)),
        (("auth", "provider"), text(&auth.provider)),
        (("mcias", "service_name"), text(&mcias.service_name)),
        (("agent", "node_name"), text(&agent.node_name)),
        (
            ("agent", "container_runtime"),
            text(&agent.container_runtime),
        ),
        (("agent", "service_root"), path(&agent.service_root)),
        (("agent", "volume_prefixes"), paths(&agent.volume_prefixes)),
        (("agent", "run_dir"), path(&agent.run_dir)),
        (("runtime", "args"), runtime.args.clone().into()),
        (("runtime", "env"), table(&runtime.env)),
        (("runtime", "timeout"), duration(runtime.timeout)),
        (("monitor", "interval"), duration(monitor.interval)),
        (
            ("monitor", "alert_command"),
            monitor.alert_command.clone().into(),
        ),
        (("monitor", "alert_env"), table(&monitor.alert_env)),
        (("monitor", "cooldown"), duration(monitor.cooldown)),
        (
            ("monitor", "flap_threshold"),
            i64::from(monitor.flap_threshold).into(),
        ),
        (("monitor", "flap_window"), duration(monitor.flap_window)),
        (("monitor", "retention"), duration(monitor.retention)),
        (("monitor", "notify_close"), monitor.notify_close.into()),
        (("monitor", "settle"), duration(monitor.settle)),
        (
            ("monitor", "settle_intent"),
            duration(monitor.settle_intent),
        ),
        (("reconcile", "auto"), reconcile.auto.into()),
        (("reconcile", "initial"), duration(reconcile.initial)),
        (("reconcile", "max"), duration(reconcile.max)),
        (("reconcile", "budget"), i64::from(reconcile.budget).into()),
        (("reconcile", "window"), duration(reconcile.window)),
        (("log", "level"), text(&log.level)),
        (("log", "format"), text(&log.format)),
    ]);
    let url = mcias.server_url.as_ref().map(text);
    let ca_cert = mcias.ca_cert.as_deref().map(path);
    entries.extend(url.map(|url| (("mcias", "server_url"), url)));
    entries.extend(ca_cert.map(|path| (("mcias", "ca_cert"), path)));
    entries
}

fn text(value: &impl ToString) -> Value {
    Value::String(value.to_string())
}

fn path(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}

fn paths(paths: &[PathBuf]) -> Value {
    paths.iter().map(|p| path(p)).collect::<Vec<_>>().into()
}

fn table(variables: &BTreeMap<String, String>) -> Value {
    let entries = variables
        .iter()
        .map(|(name, value)| (name.clone(), text(value)));
    Value::Table(entries.collect())
}
