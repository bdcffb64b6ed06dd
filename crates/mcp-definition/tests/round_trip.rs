//! Writing a definition and reading it back.

use std::time::Duration;

use mcp_definition::{Definition, load, parse, render, write};
use mcp_model::{ComponentName, ComponentSpec, ServiceSpec};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

fn component() -> impl Strategy<Value = ComponentSpec> {
    let values = (
        option::of("[a-z][a-z0-9_.-]{0,8}"),
        option::of("[a-z0-9]{1,5}(:[a-z0-9]{1,5})?"),
        option::of("no|always|unless-stopped|on-failure(:[0-9]{1,3})?"),
        btree_set("[1-9][0-9]{0,3}:[1-9][0-9]{0,3}(/udp)?", 0..4),
        btree_set("/[a-z]{1,8}:/[a-z]{1,8}(:ro)?", 0..4),
        vec("[^\0]{0,12}", 0..4),
        btree_map("[A-Za-z_][A-Z0-9_]{0,5}", "[^\0]{0,12}", 0..4),
        option::of(0u64..86_400_000),
        option::of(0u64..86_400_000_000_000),
    );
    values.prop_map(
        |(network, user, restart, ports, volumes, cmd, env, stop, pull)| ComponentSpec {
            network: network.map(|v| v.parse().unwrap()),
            user: user.map(|v| v.parse().unwrap()),
            restart: restart.map(|v| v.parse().unwrap()),
            ports: ports.iter().map(|v| v.parse().unwrap()).collect(),
            volumes: volumes.iter().map(|v| v.parse().unwrap()).collect(),
            cmd,
            env: env
                .into_iter()
                .map(|(k, v)| (k.parse().unwrap(), v))
                .collect(),
            stop_timeout: stop.map(Duration::from_millis),
            pull_timeout: pull.map(Duration::from_nanos),
            ..ComponentSpec::of_image("registry.example:5000/a/b:v1".parse().unwrap())
        },
    )
}

fn definition() -> impl Strategy<Value = Definition> {
    let name = "[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?";
    let components = btree_map(name, component(), 1..4);
    (name, name, any::<bool>(), components).prop_map(|(service, node, active, components)| {
        Definition {
            path: "x.toml".into(),
            node: node.parse().unwrap(),
            service: ServiceSpec {
                name: service.parse().unwrap(),
                active,
                components: components
                    .into_iter()
                    .map(|(name, spec)| (name.parse::<ComponentName>().unwrap(), spec))
                    .collect(),
            },
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(definition in definition()) {
        let text = render(&definition);
        prop_assert_eq!(parse(&text, "x.toml").map_err(|e| e.to_string()), Ok(definition.clone()));
        prop_assert_eq!(render(&definition), text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}|[\\[\\]{}=\"'a-c.#\\n -]{0,60}") {
        if let Err(error) = parse(&text, "x.toml") {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn a_file_reads_back_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full.toml");
    let mut definition = parse(FULL, "full.toml").unwrap();
    write(&path, &definition).unwrap();
    definition.path.clone_from(&path);
    assert_eq!(load(&path).unwrap(), definition);
}

#[test]
fn the_written_form_is_for_people() {
    insta::assert_snapshot!(render(&parse(FULL, "full.toml").unwrap()));
}

#[test]
fn active_is_true_where_nothing_is_said() {
    let parsed = parse(
        "name = \"a\"\nnode = \"n\"\n[[components]]\nname = \"a\"\nimage = \"a\"",
        "a.toml",
    )
    .unwrap();
    assert!(parsed.service.active);
    // Nothing said stays nothing said (S7): the defaults are not written into the spec.
    let spec = &parsed.service.components.values().next().unwrap();
    assert_eq!(**spec, ComponentSpec::of_image("a".parse().unwrap()));
}

#[test]
fn environment_may_be_a_table_or_a_list() {
    let with = |env: &str| {
        let text = format!(
            "name = \"a\"\nnode = \"n\"\n[[components]]\nname = \"a\"\nimage = \"a\"\n{env}"
        );
        parse(&text, "a.toml").unwrap().service
    };
    let table = with("env = { A = \"1\", B = \"x=y\" }");
    assert_eq!(table, with("env = [\"A=1\", \"B=x=y\"]"));
    assert_eq!(table, with("[components.env]\nA = \"1\"\nB = \"x=y\""));
    assert_ne!(table, with(""));
}

const FULL: &str = r#"
name = "metacrypt"
node = "rift"
active = false

[[components]]
name = "web"
image = "registry.example:8443/metacrypt-web:v1.2.0"
network = "mcpnet"
user = "0:0"
restart = "on-failure:3"
ports = ["127.0.0.1:18080:8080", "53:53/udp"]
volumes = ["/srv/metacrypt:/srv/metacrypt", "cache:/var/cache:ro"]
cmd = ["server", "--config", "/srv/metacrypt/metacrypt.toml"]
env = { GREETING = "hello, \"world\"", EMPTY = "" }
stop_timeout = "1m 30s"
pull_timeout = "500ms"

[[components]]
name = "api"
image = "localhost/api"
"#;
