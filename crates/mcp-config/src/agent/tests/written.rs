//! The documented example, and the files that are made from it.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::super::{read, render};
use super::*;
use crate::reader::keys_of;

/// The example with its comments of the form `# key = value` made real.
fn uncommented() -> String {
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(stated) if !key_in(line).is_empty() => stated.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn key_in(line: &str) -> &str {
    render::key_of(line).0
}

#[test]
fn the_example_loads_and_its_comments_are_the_defaults() {
    assert_eq!(parse(EXAMPLE).unwrap(), least());
    let mut stated = parse(&uncommented()).unwrap();
    assert_eq!(
        stated.mcias.server_url.take().unwrap(),
        "https://mcias.example:8443"
    );
    assert_eq!(
        stated.mcias.ca_cert.take().unwrap(),
        Path::new("/srv/mcp/certs/mcias-ca.pem")
    );
    assert_eq!(stated, least());
}

#[test]
fn the_example_shows_every_key_and_says_what_it_is() {
    let known = keys_of(read::agent);
    let mut section = "";
    let mut shown = Vec::new();
    let mut above = "";
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let key = key_in(line);
        if !key.is_empty() {
            // What stands above a key is prose, or another key that shares its prose.
            assert!(
                above.starts_with("# ") || !key_in(above).is_empty(),
                "{key}"
            );
            shown.push((section, key));
        }
        above = line;
    }
    let mut wanted: Vec<(&str, &str)> = known;
    wanted.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, wanted);
}

#[test]
fn what_is_said_is_written_below_its_documentation() {
    assert_eq!(
        render::render(&least()),
        EXAMPLE.replace("# run_dir =", "run_dir =")
    );
    let written = render::render(&full());
    assert_eq!(written.lines().count(), EXAMPLE.lines().count());
    for line in [
        "grpc_addr = \"[2001:db8::1]:9444\"",
        "volume_prefixes = [\"/data\", \"/media\"]",
        "env = { HOME = \"/h\", NO_PROXY = \"\" }",
        "interval = \"30s\"",
        "notify_close = false",
    ] {
        assert!(
            written.lines().any(|written| written == line),
            "{line} in {written}"
        );
    }
}

prop_compose! {
    fn time(least: u64, most: u64)(millis in least..=most) -> Duration {
        Duration::from_millis(millis)
    }
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec("[^\0]{0,12}", 0..4)
}

fn any_path() -> impl Strategy<Value = PathBuf> {
    "(/[a-zA-Z0-9 \"'\\\\#é-]{1,8}){1,3}".prop_map(PathBuf::from)
}

prop_compose! {
    fn monitor()(
        interval in time(1000, 86_400_000),
        alert_command in texts(),
        alert_env in btree_map("[A-Z_]{1,5}", "[^\0]{0,9}", 0..3),
        cooldown in time(0, 1_000_000),
        flap_threshold in 1u32..10_000,
        flap_window in time(1000, 86_400_000),
        retention in time(3_600_000, 99_999_999_999),
        notify_close in any::<bool>(),
        (settle, settle_intent) in (time(0, 3_600_000), time(0, 86_400_000)),
    ) -> Monitor {
        Monitor {
            interval, alert_command, alert_env, cooldown, flap_threshold, flap_window, retention,
            notify_close, settle, settle_intent,
        }
    }
}

prop_compose! {
    fn reconcile()(
        auto in any::<bool>(),
        (one, other) in (time(100, 86_400_000), time(100, 86_400_000)),
        budget in 1u32..=1000,
        window in time(1000, 1_000_000_000),
    ) -> Reconcile {
        Reconcile { auto, initial: one.min(other), max: one.max(other), budget, window }
    }
}

prop_compose! {
    fn config()(
        monitor in monitor(),
        reconcile in reconcile(),
        paths in [any_path(), any_path(), any_path(), any_path(), any_path()],
        volume_prefixes in vec(any_path(), 0..3),
        args in texts(),
        env in btree_map("[A-Z_]{1,5}", "[^\0]{0,9}", 0..3),
        url in proptest::option::of("https://[a-z]{1,9}(:[1-9]{1,4})?"),
        timeout in time(1000, 60_000),
        (local, all, port) in (any::<bool>(), any::<bool>(), any::<u16>()),
    ) -> AgentConfig {
        let [tls_cert, tls_key, path, service_root, run_dir] = paths;
        let mut config = full();
        config.server = Server {
            grpc_addr: ([if all { 0 } else { 127 }, 0, 0, 0], port).into(),
            tls_cert, tls_key, allow_all_interfaces: all,
        };
        config.database.path = path;
        config.mcias.server_url = url;
        config.auth.provider = match config.mcias.server_url {
            Some(_) if !local => Provider::Mcias,
            _ => Provider::Local,
        };
        config.agent = Agent { service_root, volume_prefixes, run_dir, ..config.agent };
        config.runtime = Runtime { args, env, timeout };
        AgentConfig { monitor, reconcile, ..config }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(config in config()) {
        let elsewhere = [("XDG_RUNTIME_DIR", "/run/user/7")];
        let read = parse_with(&render::render(&config), &elsewhere).map_err(|error| error.to_string());
        prop_assert_eq!(read, Ok(config));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\[(server|agent|x)\\]\n)?\\PC{0,40}") {
        prop_assert!(parse(&text).is_err());
    }
}
