//! Variables that override keys (S51).

use super::*;

#[test]
fn the_environment_wins_over_the_file() {
    let env = [
        ("MCP_AGENT_SERVER_GRPC_ADDR", "192.0.2.9:1"),
        ("MCP_AGENT_SERVER_ALLOW_ALL_INTERFACES", "true"),
        ("MCP_AGENT_AGENT_NODE_NAME", "other"),
        ("MCP_AGENT_AGENT_VOLUME_PREFIXES", "[\"/a\", \"/b\"]"),
        ("MCP_AGENT_RUNTIME_ENV", "{ HOME = \"/x\" }"),
        ("MCP_AGENT_MONITOR_FLAP_THRESHOLD", "7"),
        ("MCP_AGENT_MONITOR_INTERVAL", "5s"),
        ("MCP_AGENT_MCIAS_SERVER_URL", ""),
    ];
    let config = parse_with(FULL, &env).unwrap();
    assert_eq!(config.server.grpc_addr, "192.0.2.9:1".parse().unwrap());
    assert!(config.server.allow_all_interfaces);
    assert_eq!(config.agent.node_name.as_str(), "other");
    assert_eq!(
        config.agent.volume_prefixes,
        [Path::new("/a"), Path::new("/b")]
    );
    assert_eq!(config.runtime.env["HOME"], "/x");
    assert_eq!(config.runtime.env.len(), 1);
    assert_eq!(config.monitor.flap_threshold, 7);
    assert_eq!(config.monitor.interval, Duration::from_secs(5));
    assert_eq!(config.mcias.server_url, None);
}

#[test]
fn the_environment_alone_can_make_a_configuration() {
    let env = [
        ("MCP_AGENT_SERVER_GRPC_ADDR", "192.0.2.1:9444"),
        ("MCP_AGENT_SERVER_TLS_CERT", "/srv/mcp/certs/cert.pem"),
        ("MCP_AGENT_SERVER_TLS_KEY", "/srv/mcp/certs/key.pem"),
        ("MCP_AGENT_DATABASE_PATH", "/srv/mcp/mcp.db"),
        ("MCP_AGENT_AGENT_NODE_NAME", "rift"),
    ];
    assert_eq!(parse_with("", &env).unwrap(), least());
}

#[test]
fn a_bad_override_is_told_by_the_name_of_its_variable() {
    for (variable, value, told) in [
        (
            "MCP_AGENT_MONITOR_INTERVAL",
            "1",
            "[monitor] interval: \"1\" is not a duration",
        ),
        ("MCP_AGENT_RUNTIME_ARGS", "--root /x", "[runtime] args: "),
        (
            "MCP_AGENT_RUNTIME_ARGS",
            "[1]",
            "[runtime] args: must be a list of strings",
        ),
        (
            "MCP_AGENT_MONITOR_NOTIFY_CLOSE",
            "yes",
            "[monitor] notify_close: ",
        ),
        (
            "MCP_AGENT_SERVER_GRPC_ADDR",
            "0.0.0.0:1",
            "[server] grpc_addr: 0.0.0.0:1 listens on all",
        ),
        (
            "MCP_AGENT_RECONCILE_MAX",
            "999ms",
            "[reconcile] max: 999ms is less than initial, which is 1s",
        ),
        (
            "MCP_AGENT_AGENT_RUN_DIR",
            "",
            "[agent] run_dir: must not be empty",
        ),
    ] {
        let error = parse_with(LEAST, &[(variable, value)])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&format!("{variable}: {told}")), "{error}");
    }
}

#[test]
fn variables_that_name_no_key_are_ignored() {
    let env = [
        ("MCP_AGENT_FUTURE_KEY", "x"),
        ("MCP_AGENT_SERVER", "x"),
        ("MCP_COMPONENT", "web"),
        ("MCP_MONITOR_INTERVAL", "x"),
        ("mcp_agent_monitor_interval", "x"),
    ];
    assert_eq!(parse_with(LEAST, &env).unwrap(), least());
}
