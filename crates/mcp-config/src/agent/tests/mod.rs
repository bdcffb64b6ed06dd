//! Reading files, and what is refused.

mod environment;
mod written;

use super::*;

const LEAST: &str = r#"[server]
grpc_addr = "192.0.2.1:9444"
tls_cert = "/srv/mcp/certs/cert.pem"
tls_key = "/srv/mcp/certs/key.pem"
[database]
path = "/srv/mcp/mcp.db"
[agent]
node_name = "rift"
"#;

const FULL: &str = r#"[server]
grpc_addr = "[2001:db8::1]:9444"
tls_cert = "/c/cert.pem"
tls_key = "/c/key.pem"
allow_all_interfaces = true
[database]
path = "/d/mcp.db"
[auth]
provider = "local"
[mcias]
server_url = "https://mcias.example:8443/"
ca_cert = "/c/ca.pem"
service_name = "agent-7"
[agent]
node_name = "node-7"
container_runtime = "/usr/bin/podman"
service_root = "/data/services/"
volume_prefixes = ["/data", "/media"]
run_dir = "/run/user/7/mcp"
[runtime]
args = ["--root", "/r"]
env = { HOME = "/h", NO_PROXY = "" }
timeout = "5s"
[monitor]
interval = "30s"
alert_command = ["/usr/bin/logger", "-t", "mcp"]
alert_env = { TOPIC = "alerts" }
cooldown = "1h"
flap_threshold = 5
flap_window = "5m"
retention = "7d"
notify_close = false
settle = "0s"
settle_intent = "90s"
[reconcile]
auto = true
initial = "5s"
max = "1m"
budget = 3
window = "1h"
[log]
level = "debug"
format = "json"
"#;

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<AgentConfig, ConfigError> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    AgentConfig::parse(text, Path::new("mcp-agent.toml"), env)
}

fn parse(text: &str) -> Result<AgentConfig, ConfigError> {
    parse_with(text, &[])
}

fn least() -> AgentConfig {
    AgentConfig::new(
        "rift".parse().unwrap(),
        "192.0.2.1:9444".parse().unwrap(),
        "/srv/mcp/certs/cert.pem".into(),
        "/srv/mcp/certs/key.pem".into(),
        "/srv/mcp/mcp.db".into(),
    )
}

fn full() -> AgentConfig {
    let variables = |pairs: &[(&str, &str)]| {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        pairs.iter().map(owned).collect()
    };
    AgentConfig {
        server: Server {
            grpc_addr: "[2001:db8::1]:9444".parse().unwrap(),
            tls_cert: "/c/cert.pem".into(),
            tls_key: "/c/key.pem".into(),
            allow_all_interfaces: true,
        },
        database: Database {
            path: "/d/mcp.db".into(),
        },
        auth: Auth {
            provider: Provider::Local,
        },
        mcias: Mcias {
            server_url: Some("https://mcias.example:8443".to_owned()),
            ca_cert: Some("/c/ca.pem".into()),
            service_name: "agent-7".to_owned(),
        },
        agent: Agent {
            node_name: "node-7".parse().unwrap(),
            container_runtime: "/usr/bin/podman".to_owned(),
            service_root: "/data/services".into(),
            volume_prefixes: vec!["/data".into(), "/media".into()],
            run_dir: "/run/user/7/mcp".into(),
        },
        runtime: Runtime {
            args: vec!["--root".to_owned(), "/r".to_owned()],
            env: variables(&[("HOME", "/h"), ("NO_PROXY", "")]),
            timeout: Duration::from_secs(5),
        },
        monitor: Monitor {
            interval: Duration::from_secs(30),
            alert_command: ["/usr/bin/logger", "-t", "mcp"].map(str::to_owned).into(),
            alert_env: variables(&[("TOPIC", "alerts")]),
            cooldown: Duration::from_hours(1),
            flap_threshold: 5,
            flap_window: Duration::from_mins(5),
            retention: Duration::from_hours(7 * 24),
            notify_close: false,
            settle: Duration::ZERO,
            settle_intent: Duration::from_secs(90),
        },
        reconcile: Reconcile {
            auto: true,
            initial: Duration::from_secs(5),
            max: Duration::from_mins(1),
            budget: 3,
            window: Duration::from_hours(1),
        },
        log: Log {
            level: LogLevel::Debug,
            format: LogFormat::Json,
        },
        file: None,
    }
}

#[test]
fn every_key_of_a_file_is_read() {
    assert_eq!(parse(FULL).unwrap(), full());
}

#[test]
fn silence_means_the_documented_defaults() {
    assert_eq!(parse(LEAST).unwrap(), least());
    // As the origin's example writes it, `""` says nothing either.
    let empty = format!("{LEAST}[mcias]\nserver_url = \"\"\nca_cert = \"\"\n");
    assert_eq!(parse(&empty).unwrap(), least());
}

#[test]
fn defaults_follow_what_they_derive_from() {
    let text = LEAST.replace("[agent]", "[agent]\nservice_root = \"/data\"")
        + "[monitor]\ninterval = \"5s\"\n[reconcile]\ninitial = \"1h\"";
    let config = parse_with(&text, &[("XDG_RUNTIME_DIR", "/run/user/7")]).unwrap();
    assert_eq!(config.agent.volume_prefixes, [Path::new("/data")]);
    assert_eq!(config.agent.run_dir, Path::new("/run/user/7/mcp-agent"));
    assert_eq!(config.monitor.settle_intent, Duration::from_secs(5));
    assert_eq!(config.reconcile.max, Duration::from_hours(1));
}

#[test]
fn mcias_is_the_provider_where_it_is_configured_and_none_is_named() {
    let url = "[mcias]\nserver_url = \"https://mcias.example\"\n";
    let provider = |rest: &str| parse(&format!("{LEAST}{rest}")).map(|config| config.provider());
    assert_eq!(provider("").unwrap(), Provider::Local);
    assert_eq!(provider(url).unwrap(), Provider::Mcias);
    let local = format!("{url}[auth]\nprovider = \"local\"");
    assert_eq!(provider(&local).unwrap(), Provider::Local);
    let error = provider("[auth]\nprovider = \"mcias\"").unwrap_err();
    assert!(
        error.to_string().contains("server_url is not set"),
        "{error}"
    );
}

#[test]
fn a_required_key_that_is_missing_is_named_with_its_variable() {
    for (line, message) in [
        (
            "grpc_addr = \"192.0.2.1:9444\"\n",
            "1: [server] grpc_addr is missing: ",
        ),
        (
            "tls_cert = \"/srv/mcp/certs/cert.pem\"\n",
            "1: [server] tls_cert is missing: ",
        ),
        (
            "tls_key = \"/srv/mcp/certs/key.pem\"\n",
            "1: [server] tls_key is missing: ",
        ),
        (
            "path = \"/srv/mcp/mcp.db\"\n",
            "5: [database] path is missing: ",
        ),
        (
            "node_name = \"rift\"\n",
            "7: [agent] node_name is missing: ",
        ),
    ] {
        let error = parse(&LEAST.replace(line, "")).unwrap_err().to_string();
        let wanted = format!(
            "mcp-agent.toml:{message}write {}",
            line.split(" =").next().unwrap()
        );
        assert!(error.starts_with(&wanted), "{error}");
        assert!(error.contains(", or set MCP_AGENT_"), "{error}");
    }
    let error = parse("").unwrap_err().to_string();
    assert_eq!(error.lines().count(), 5, "{error}");
}

/// Key, bad value, what is told about it.
const BAD_VALUES: &[(&str, &str, &str)] = &[
    (
        "server.grpc_addr",
        "\"9444\"",
        "is not an address and a port",
    ),
    (
        "server.grpc_addr",
        "\"host:9444\"",
        "is not an address and a port",
    ),
    ("server.tls_cert", "\"cert.pem\"", "is not an absolute path"),
    ("server.tls_key", "\"/a/../b\"", "must not contain '..'"),
    ("server.tls_key", "3", "must be a string, found integer"),
    (
        "server.allow_all_interfaces",
        "\"yes\"",
        "must be true or false, found string",
    ),
    ("database.path", "\"\"", "must not be empty"),
    (
        "auth.provider",
        "\"ldap\"",
        "is not a provider: use local, mcias",
    ),
    ("mcias.server_url", "\"mcias.example\"", "is not a URL"),
    (
        "mcias.server_url",
        "\"http://mcias.example\"",
        "is not encrypted: write https://",
    ),
    (
        "mcias.server_url",
        "\"https://bob:pw@mcias.example\"",
        "no name and no password may be in it",
    ),
    (
        "mcias.server_url",
        "\"https://mcias.example?a=b\"",
        "is not a URL",
    ),
    (
        "mcias.service_name",
        "\"a\\u001bb\"",
        "holds a control character",
    ),
    ("agent.node_name", "\"Rift\"", "is not a node name"),
    (
        "agent.container_runtime",
        "\"bin/podman\"",
        "a name in PATH or an absolute path",
    ),
    (
        "agent.container_runtime",
        "\"--root\"",
        "must not begin with '-'",
    ),
    (
        "agent.volume_prefixes",
        "\"/srv\"",
        "must be a list of strings, found string",
    ),
    (
        "agent.volume_prefixes",
        "[\"srv\"]",
        "is not an absolute path",
    ),
    (
        "runtime.args",
        "[1]",
        "must be a list of strings, found integer",
    ),
    ("runtime.args", "[\"a\\u0000\"]", "holds a NUL"),
    (
        "runtime.env",
        "[]",
        "must be a table of strings, found array",
    ),
    ("runtime.env", "{ \"A B\" = \"\" }", "is not a"),
    (
        "runtime.env",
        "{ A = 1 }",
        "must be a table of strings, found integer",
    ),
    ("runtime.timeout", "\"61s\"", "is out of range"),
    ("monitor.interval", "60", "must be a string, found integer"),
    ("monitor.interval", "\"60\"", "is not a duration"),
    (
        "monitor.interval",
        "\"0s\"",
        "is out of range: from 1s to 1day",
    ),
    ("monitor.interval", "\"999ms\"", "is out of range"),
    ("monitor.flap_threshold", "0", "must be from 1 to 10000"),
    ("monitor.flap_threshold", "-1", "must be from 1 to 10000"),
    ("monitor.flap_window", "\"0s\"", "is out of range"),
    ("monitor.retention", "\"59m\"", "is out of range"),
    ("monitor.settle", "\"2h\"", "is out of range"),
    ("reconcile.auto", "\"yes\"", "must be true or false"),
    ("reconcile.initial", "\"99ms\"", "is out of range"),
    ("reconcile.max", "\"25h\"", "is out of range"),
    (
        "reconcile.max",
        "\"4999ms\"",
        "4s 999ms is less than initial, which is 5s",
    ),
    ("reconcile.budget", "0", "must be from 1 to 1000"),
    ("reconcile.window", "\"0s\"", "is out of range"),
    (
        "log.level",
        "\"loud\"",
        "use error, warn, info, debug, trace",
    ),
    ("log.format", "\"xml\"", "use auto, human, json"),
];

#[test]
fn every_bad_value_is_refused_with_file_line_and_key() {
    for &(key, bad, told) in BAD_VALUES {
        let (text, line) = with_value(key, bad);
        let (section, name) = key.split_once('.').unwrap();
        let error = parse(&text).expect_err(key).to_string();
        let place = format!("mcp-agent.toml:{line}: [{section}] {name}: ");
        assert!(error.starts_with(&place) && error.contains(told), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

/// `FULL` with another value for `section.key`, and the line of it.
fn with_value(key: &str, value: &str) -> (String, usize) {
    let (section, name) = key.split_once('.').unwrap();
    let start = FULL.find(&format!("[{section}]\n")).unwrap();
    let start = start + FULL[start..].find(&format!("\n{name} = ")).unwrap() + 1;
    let end = start + FULL[start..].find('\n').unwrap();
    let mut text = FULL.to_owned();
    text.replace_range(start..end, &format!("{name} = {value}"));
    (text, FULL[..start].lines().count() + 1)
}

#[test]
fn listening_everywhere_must_be_asked_for() {
    for address in ["0.0.0.0:9444", "[::]:9444", "[::ffff:0.0.0.0]:9444"] {
        let text = LEAST.replace("192.0.2.1:9444", address);
        let error = parse(&text).unwrap_err().to_string();
        let wanted = format!("mcp-agent.toml:2: [server] grpc_addr: {address} listens on all");
        assert!(error.starts_with(&wanted), "{error}");
        let allowed = text.replace("tls_cert", "allow_all_interfaces = true\ntls_cert");
        assert!(parse(&allowed).is_ok());
    }
}

#[test]
fn unknown_keys_and_sections_are_refused_with_a_suggestion() {
    for (more, told) in [
        (
            "nodename = \"x\"",
            "9: [agent] unknown key `nodename`: did you mean `node_name`?",
        ),
        ("colour = \"x\"", "9: [agent] unknown key `colour`"),
        (
            "[monitr]\ninterval = \"1s\"",
            "9: unknown section or key `monitr`: did you mean `monitor`?",
        ),
        (
            "[weather]\nauto = true",
            "9: unknown section or key `weather`",
        ),
        (
            "[monitor]\n[monitor.deep]",
            "10: [monitor] unknown key `deep`",
        ),
    ] {
        let error = parse(&format!("{LEAST}{more}")).unwrap_err().to_string();
        assert_eq!(error, format!("mcp-agent.toml:{told}"));
    }
    let error = parse(&format!("log = 3\n{LEAST}")).unwrap_err().to_string();
    assert_eq!(
        error,
        "mcp-agent.toml:1: log must be a section: write [log]"
    );
}

#[test]
fn all_problems_are_told_at_once_and_no_more_than_a_screen() {
    let error = parse(&LEAST.replace("tls_", "x_")).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 4, "{error}");
    let flood: Vec<String> = (0..5000).map(|n| format!("k{n} = 1")).collect();
    let error = parse(&flood.join("\n")).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 20);
    assert!(error.ends_with("(and 4985 more problems)"), "{error}");
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let error = parse("[server]\ngrpc_addr = here").unwrap_err().to_string();
    assert!(error.starts_with("mcp-agent.toml:2: "), "{error}");
    for deep in ["[".repeat(20_000), format!("a = {}", "[".repeat(20_000))] {
        assert!(parse(&deep).is_err());
    }
}

#[test]
fn a_file_that_was_read_is_among_the_agents_own_paths_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mcp-agent.toml");
    std::fs::write(&file, EXAMPLE).unwrap();
    let config = AgentConfig::load(&file, []).unwrap();
    assert!(config.own_paths().any(|own| own == file));
}
