//! What goes over the wire comes back the same, and no text or number from it does harm.

use std::time::Duration;

use mcp_model::{ComponentSpec, ServiceSpec, Stamp};
use mcp_proto::convert::spec::{component_from_wire, service_from_wire, service_to_wire};
use mcp_proto::convert::time::{duration_from_wire, stamp_from_wire, stamp_to_wire};
use mcp_proto::v1;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::Union;

/// Any of some texts that are values of a grammar.
fn one_of<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug + Clone + 'static>(
    texts: &[&str],
) -> impl Strategy<Value = T> + use<T> {
    Union::new(texts.iter().map(|text| Just(text.parse::<T>().unwrap())))
}

fn any_component() -> impl Strategy<Value = ComponentSpec> {
    let image = one_of(&[
        "localhost/a:1",
        "alpine",
        "registry.example:5000/a/b@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ]);
    let texts = (
        image,
        option::of(one_of(&["bridge", "host", "mcpnet"])),
        option::of(one_of(&["0:0", "nobody"])),
        option::of(one_of(&[
            "no",
            "always",
            "on-failure",
            "on-failure:3",
            "unless-stopped",
        ])),
    );
    let lists = (
        btree_set(
            one_of(&["80:80", "127.0.0.1:81:80", "[::1]:82:80/udp"]),
            0..4,
        ),
        btree_set(one_of(&["/a:/b", "/a:/b:ro,z", "cache:/c"]), 0..4),
        vec("[^\0]{0,12}", 0..4),
        btree_map("[A-Z_][A-Z0-9_]{0,5}", "[^\0]{0,12}", 0..4),
    );
    let timeout =
        || option::of((0u64..86_400, 0u32..1_000_000_000).prop_map(|(s, n)| Duration::new(s, n)));
    (texts, lists, timeout(), timeout()).prop_map(|(texts, lists, stop, pull)| ComponentSpec {
        image: texts.0,
        network: texts.1,
        user: texts.2,
        restart: texts.3,
        ports: lists.0,
        volumes: lists.1,
        cmd: lists.2,
        env: lists
            .3
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value))
            .collect(),
        stop_timeout: stop,
        pull_timeout: pull,
    })
}

fn any_service() -> impl Strategy<Value = ServiceSpec> {
    let components = btree_map("[a-z0-9]{1,8}", any_component(), 1..5);
    ("[a-z][a-z0-9]{0,8}", any::<bool>(), components).prop_map(|(name, active, components)| {
        ServiceSpec {
            name: name.parse().unwrap(),
            active,
            components: components
                .into_iter()
                .map(|(n, c)| (n.parse().unwrap(), c))
                .collect(),
        }
    })
}

proptest! {
    #[test]
    fn a_service_survives_the_wire(service in any_service()) {
        use prost::Message as _;
        let bytes = service_to_wire(&service).encode_to_vec();
        let wire = v1::ServiceSpec::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(service_from_wire(wire).unwrap(), service);
    }

    #[test]
    fn a_stamp_survives_the_wire(millis in -62_000_000_000_000i64..250_000_000_000_000) {
        let stamp = Stamp::from_millis(millis);
        prop_assert_eq!(stamp_from_wire("at", stamp_to_wire(stamp)).unwrap(), stamp);
    }

    #[test]
    fn no_time_from_the_wire_panics(seconds in any::<i64>(), nanos in any::<i32>()) {
        let _ = stamp_from_wire("at", prost_types::Timestamp { seconds, nanos });
        let _ = duration_from_wire("for", prost_types::Duration { seconds, nanos });
    }

    #[test]
    fn no_text_from_the_wire_panics_or_passes_as_a_flag(text in "\\PC{0,20}", which in 0usize..7) {
        let mut wire = v1::ComponentSpec {
            name: "a".into(),
            image: "localhost/a:1".into(),
            ..Default::default()
        };
        match which {
            0 => wire.name.clone_from(&text),
            1 => wire.image.clone_from(&text),
            2 => wire.network.clone_from(&text),
            3 => wire.user.clone_from(&text),
            4 => wire.restart.clone_from(&text),
            5 => wire.ports.push(text.clone()),
            _ => wire.volumes.push(text.clone()),
        }
        let outcome = component_from_wire(wire);
        prop_assert!(!(outcome.is_ok() && text.starts_with('-')));
    }
}
