//! Reading: files, the environment, and what is refused.

mod edits;

use std::io::Write as _;
use std::os::fd::AsRawFd as _;

use super::*;
use crate::MAX_FILE;
use crate::reader::keys_of;

const FULL: &str = r#"[services]
dir = "~/services"
[mcias]
server_url = "https://mcias.example:8443"
ca_cert = "/c/ca.pem"
service_name = "cli"
tags = ["env:prod", "ops"]
[auth]
token_path = "secret/token"
username = "mcp-operator"
password_file = "~/credentials"

[[nodes]]
name = "rift"
address = "100.95.252.120:9444"

[[nodes]]
name = "vade"
address = "[2001:db8::1]:9444"
token_path = "~/vade/token"
ca_cert = "vade.pem"
server_name = "vade.example"
"#;

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    pairs.iter().map(owned).collect()
}

fn parse_with(text: &str, more: &[(&str, &str)]) -> Result<CliConfig, ConfigError> {
    let mut env = env(&[("HOME", "/home/ops")]);
    env.extend(self::env(more));
    CliConfig::parse(text, Path::new("/etc/mcp/mcp.toml"), env)
}

fn parse(text: &str) -> Result<CliConfig, ConfigError> {
    parse_with(text, &[])
}

fn node(name: &str) -> Node {
    Node {
        name: name.parse().unwrap(),
        address: "192.0.2.1:9444".parse().unwrap(),
        token_path: None,
        ca_cert: None,
        server_name: None,
    }
}

#[test]
fn every_key_of_a_file_is_read() {
    let config = parse(FULL).unwrap();
    let vade = Node {
        address: "[2001:db8::1]:9444".parse().unwrap(),
        token_path: Some("/home/ops/vade/token".into()),
        ca_cert: Some("/etc/mcp/vade.pem".into()),
        server_name: Some("vade.example".to_owned()),
        ..node("vade")
    };
    let rift = Node {
        address: "100.95.252.120:9444".parse().unwrap(),
        ..node("rift")
    };
    let wanted = CliConfig {
        path: "/etc/mcp/mcp.toml".into(),
        services: Services {
            dir: "/home/ops/services".into(),
        },
        mcias: Mcias {
            server_url: Some("https://mcias.example:8443".to_owned()),
            ca_cert: Some("/c/ca.pem".into()),
            service_name: "cli".to_owned(),
            tags: vec!["env:prod".to_owned(), "ops".to_owned()],
        },
        auth: Auth {
            token_path: "/etc/mcp/secret/token".into(),
            username: Some("mcp-operator".to_owned()),
            password_file: Some("/home/ops/credentials".into()),
        },
        nodes: vec![rift, vade],
    };
    assert_eq!(config, wanted);
}

#[test]
fn silence_means_the_documented_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.services.dir, Path::new("/etc/mcp/services"));
    assert_eq!(config.auth.token_path, Path::new("/etc/mcp/token"));
    assert_eq!(config.mcias.service_name, "mcp");
    assert_eq!(
        (config.mcias.server_url, config.mcias.ca_cert),
        (None, None)
    );
    assert!(config.nodes.is_empty());
    assert_eq!(
        parse("[mcias]\nserver_url = \"\"\nca_cert = \"\"").unwrap(),
        parse("").unwrap()
    );
}

#[test]
fn what_a_node_has_of_its_own_wins_over_what_is_common() {
    let config = parse(FULL).unwrap();
    let of = |name: &str| {
        let node = config.node(&name.parse().unwrap()).unwrap();
        (config.token_path(node), config.ca_cert(node).unwrap())
    };
    let path = Path::new;
    assert_eq!(
        of("vade"),
        (path("/home/ops/vade/token"), path("/etc/mcp/vade.pem"))
    );
    assert_eq!(
        of("rift"),
        (path("/etc/mcp/secret/token"), path("/c/ca.pem"))
    );
    assert_eq!(config.node(&"nobody".parse().unwrap()), None);
}

#[test]
fn the_environment_wins_over_the_file() {
    let env = [
        ("MCP_SERVICES_DIR", "elsewhere"),
        ("MCP_AUTH_TOKEN_PATH", "~/t"),
        ("MCP_MCIAS_SERVICE_NAME", "other"),
        ("MCP_MCIAS_CA_CERT", ""),
    ];
    let config = parse_with(FULL, &env).unwrap();
    // A variable is set in a shell: there, a relative path begins at the current directory.
    assert_eq!(config.services.dir, Path::new("elsewhere"));
    assert_eq!(config.auth.token_path, Path::new("/home/ops/t"));
    assert_eq!(config.mcias.service_name, "other");
    assert_eq!(config.mcias.ca_cert, None);
    let error = parse_with(FULL, &[("MCP_SERVICES_DIR", "")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "MCP_SERVICES_DIR: [services] dir: must not be empty"
    );
}

#[test]
fn variables_of_alerts_and_of_the_agent_are_not_settings() {
    let env = [
        ("MCP_TOKEN", "secret"),
        ("MCP_COMPONENT", "web"),
        ("MCP_SERVICE", "hello"),
        ("MCP_NODE", "rift"),
        ("MCP_NODES_NAME", "x"),
        ("MCP_NODES_ADDRESS", "x"),
        ("MCP_AGENT_MCIAS_SERVER_URL", "x"),
        ("MCP_AGENT_SERVER_GRPC_ADDR", "x"),
        ("MCP_SERVICES_FUTURE", "x"),
    ];
    assert_eq!(parse_with(FULL, &env).unwrap(), parse(FULL).unwrap());
}

#[test]
fn every_bad_value_is_refused_with_file_line_and_key() {
    for (text, told) in [
        (
            "[services]\ndir = 1",
            "2: [services] dir: must be a string, found integer",
        ),
        (
            "[services]\ndir = \"~ann/x\"",
            "2: [services] dir: \"~ann/x\" names another",
        ),
        (
            "[services]\ndri = \"x\"",
            "2: [services] unknown key `dri`: did you mean `dir`?",
        ),
        (
            "[service]\ndir = \"x\"",
            "1: unknown section or key `service`: did you mean `services`?",
        ),
        (
            "[mcias]\nserver_url = \"x\"",
            "2: [mcias] server_url: \"x\" is not a URL",
        ),
        (
            "\n[[nodes]]\nname = \"a\"",
            "2: [[nodes]] address is missing: write address = ",
        ),
        (
            "[[nodes]]\naddress = \"a:1\"",
            "1: [[nodes]] name is missing: write name = ",
        ),
        (
            "[[nodes]]\nname = \"A\"\naddress = \"a:1\"",
            "2: [[nodes]] name: \"A\" is not a node name",
        ),
        (
            "[[nodes]]\nname = \"a\"\naddress = \"a\"",
            "3: [[nodes]] address: \"a\" is not an address",
        ),
        (
            "[[nodes]]\nname = \"a\"\naddress = \"a:1\"\ncert = \"\"",
            "4: [[nodes]] unknown key `cert`",
        ),
        (
            "[[nodes]]\nname = \"a\"\naddress = \"a:1\"\nserver_name = \"a:1\"",
            "4: [[nodes]] server_name: \"a:1\" is not",
        ),
        ("nodes = 1", "1: nodes must be a list: write [[nodes]]"),
        ("nodes = [1]", "1: nodes must hold tables: write [[nodes]]"),
        (
            "[[nodes]]\nname = \"a\"\naddress = \"a:1\"\n[[nodes]]\nname = \"a\"\naddress = \"b:1\"",
            "4: [[nodes]] name: a stands twice",
        ),
        ("a = ", "1: "),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(
            error.starts_with(&format!("/etc/mcp/mcp.toml:{told}")),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let homeless = CliConfig::parse(FULL, Path::new("mcp.toml"), env(&[])).unwrap_err();
    assert!(
        homeless.to_string().contains("HOME is not set"),
        "{homeless}"
    );
}

#[test]
fn addresses_follow_the_grammar() {
    for (text, host) in [
        ("rift:9444", "rift"),
        ("a-1.example:1", "a-1.example"),
        ("192.0.2.1:65535", "192.0.2.1"),
        ("[::1]:9444", "::1"),
    ] {
        let address: NodeAddress = text.parse().unwrap();
        assert_eq!((address.host(), address.to_string().as_str()), (host, text));
    }
    for bad in [
        "",
        ":",
        "rift",
        "rift:",
        ":9444",
        "rift:0",
        "rift:65536",
        "rift:+1",
        "::1:9444",
        "[::1]",
        "[rift]:1",
        "[::1:1",
        "a b:1",
        "-a:1",
        "a-:1",
        "a..b:1",
        "192.0.2:1",
        "192.0.2.256:1",
        "http://a:1",
        "a/b:1",
        "user@a:1",
        "a\u{1b}:1",
        "a_b:1",
    ] {
        assert!(bad.parse::<NodeAddress>().is_err(), "{bad:?}");
    }
}

#[test]
fn the_default_file_is_found_as_xdg_says_and_may_be_missing() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().to_str().unwrap();
    let config = CliConfig::load(None, env(&[("HOME", home)])).unwrap();
    let path = directory.path().join(".config/mcp/mcp.toml");
    assert_eq!((&config.path, config.nodes.len()), (&path, 0));

    let added = edit::add_node("", &node("rift"), false).unwrap();
    edit::write(&path, &added).unwrap();
    let config = CliConfig::load(None, env(&[("HOME", home)])).unwrap();
    assert_eq!(config.nodes, [node("rift")]);

    let xdg = [("HOME", home), ("XDG_CONFIG_HOME", "/nonexistent")];
    let config = CliConfig::load(None, env(&xdg)).unwrap();
    assert_eq!(config.path, Path::new("/nonexistent/mcp/mcp.toml"));
    let xdg = [("HOME", home), ("XDG_CONFIG_HOME", "relative")];
    assert_eq!(CliConfig::load(None, env(&xdg)).unwrap().path, path);
    assert!(matches!(
        CliConfig::load(None, []),
        Err(ConfigError::NoHome)
    ));
}

#[test]
fn a_named_file_must_be_there_unless_it_is_about_to_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.toml");
    let error = CliConfig::load(Some(&path), []).unwrap_err();
    assert!(error.is_missing_file(), "{error}");
    let config = CliConfig::load_or_new(Some(&path), []).unwrap();
    assert_eq!(
        (config.path, config.services.dir),
        (path, directory.path().join("services"))
    );
}

#[test]
fn a_file_over_the_limit_is_refused_unread() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 40).unwrap();
    let error = CliConfig::load(Some(file.path()), []).unwrap_err();
    assert!(
        matches!(error, ConfigError::TooLarge { size, .. } if size == 1 << 40),
        "{error}"
    );
}

#[test]
fn what_does_not_end_is_read_up_to_the_limit_and_no_further() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let much = vec![b'#'; 3 * usize::try_from(MAX_FILE).unwrap()];
    // Ends with an error as soon as nobody reads on.
    let writing = std::thread::spawn(move || writer.write_all(&much).is_err());
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let error = CliConfig::load(Some(Path::new(&path)), []).unwrap_err();
    assert!(
        matches!(error, ConfigError::TooLarge { size, .. } if size == MAX_FILE + 1),
        "{error}"
    );
    drop(reader);
    assert!(writing.join().unwrap());
}

fn key_in(line: &str) -> &str {
    let stated = line.strip_prefix("# ").unwrap_or(line);
    stated.split_once(" = ").map_or("", |(key, _)| key)
}

#[test]
fn the_example_loads_and_its_comments_are_the_defaults() {
    let silent = parse(EXAMPLE).unwrap();
    assert_eq!(
        (silent.nodes.as_slice(), &silent.services),
        ([node("rift")].as_slice(), &parse("").unwrap().services)
    );
    let line = |line: &str| {
        let real = line.strip_prefix("# ").filter(|_| !key_in(line).is_empty());
        real.unwrap_or(line).to_owned()
    };
    let uncommented = EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n");
    let stated = parse(&uncommented).unwrap();
    assert_eq!(stated.services, silent.services);
    assert_eq!(stated.auth.token_path, silent.auth.token_path);
    assert_eq!(stated.mcias.service_name, silent.mcias.service_name);
}

#[test]
fn the_example_shows_every_key() {
    let mut wanted = keys_of(|reader| Some(read::cli(reader, Path::new("mcp.toml"))));
    // Nodes are read one by one, so none is asked for where there is none.
    wanted.extend(
        ["name", "address", "token_path", "ca_cert", "server_name"].map(|key| ("nodes", key)),
    );
    let mut section = "";
    let mut shown = Vec::new();
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        if !key_in(line).is_empty() {
            shown.push((section, key_in(line)));
        }
    }
    wanted.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, wanted);
}
