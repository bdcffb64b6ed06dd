use super::*;
use proptest::prelude::*;

#[test]
fn a_refusal_reads_as_a_sentence() {
    for (error, words) in [
        (
            parse_env("FOO").unwrap_err().to_string(),
            "is not an environment entry: ",
        ),
        (
            "80".parse::<PortMapping>().unwrap_err().to_string(),
            "is not a port mapping: ",
        ),
    ] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn values_outside_their_grammar_are_refused() {
    for port in [
        "",
        "80",
        "x:80",
        "0:80",
        "80:70000",
        "1.2.3:80:80",
        "80:80/icmp",
        "-p:1",
        "1-3:1-2",
        "80:80\n",
        "+80:80",
    ] {
        assert!(port.parse::<PortMapping>().is_err(), "{port:?}");
    }
    for volume in [
        "",
        "/a",
        "/a:b",
        "/a/../b:/c",
        "/a//b:/c",
        "/a:/c:suid",
        "/a:/c:ro,dev",
        "-v:/c",
        "/a:/",
        "../x:/c",
        "/a:/c:ro:rw",
        "/a\u{1b}:/c",
        "/a/./b:/c",
        "./a:/b",
    ] {
        assert!(volume.parse::<Volume>().is_err(), "{volume:?}");
    }
    for user in ["", "-u", "0:", ":0", "0:-g", "a b", "root\n", "0:0:0"] {
        assert!(user.parse::<User>().is_err(), "{user:?}");
    }
    let long = "n".repeat(MAX_VALUE + 1);
    for network in ["", "--net", "a b", "ns:/proc/1", "container:x", &long] {
        assert!(network.parse::<Network>().is_err(), "{network:?}");
    }
    for restart in [
        "",
        "never",
        "on-failure:",
        "on-failure:x",
        "on-failure:-1",
        "Always",
    ] {
        assert!(restart.parse::<Restart>().is_err(), "{restart:?}");
    }
    for env in ["", "A", "=b", "1A=b", "A B=c", "A=\0"] {
        assert!(parse_env(env).is_err(), "{env:?}");
    }
}

#[test]
fn values_within_their_grammar_are_kept() {
    for port in [
        "80:80",
        "127.0.0.1:8080:80",
        "[::1]:80:80/udp",
        "8000-8010:9000-9010",
    ] {
        assert_eq!(port.parse::<PortMapping>().unwrap().as_str(), port);
    }
    let volume: Volume = "/srv/a/:/data/:ro,z".parse().unwrap();
    assert_eq!(
        (volume.source(), volume.target(), volume.options()),
        ("/srv/a", "/data", "ro,z")
    );
    let named: Volume = "cache:/var/cache".parse().unwrap();
    assert!(!named.is_bind() && named.options().is_empty());
    for restart in [
        "no",
        "always",
        "on-failure",
        "on-failure:3",
        "unless-stopped",
    ] {
        assert_eq!(restart.parse::<Restart>().unwrap().to_string(), restart);
    }
}

#[test]
fn one_meaning_has_one_spelling() {
    let port = |text: &str| text.parse::<PortMapping>().unwrap();
    assert_eq!(port("80:80/tcp"), port("80:80"));
    assert_eq!(
        "/a/:/b/".parse::<Volume>().unwrap(),
        "/a:/b".parse::<Volume>().unwrap()
    );
}

#[test]
fn a_default_said_aloud_means_the_same_as_silence() {
    let silent = ComponentSpec::of_image("localhost/a:1".parse().unwrap());
    let mut aloud = silent.clone();
    aloud.network = Some("bridge".parse().unwrap());
    aloud.restart = Some(Restart::UnlessStopped);
    assert_ne!(silent, aloud);
    assert_eq!(silent.effective(), aloud.effective());
}

#[test]
fn colliding_container_names_are_refused_and_both_named() {
    let keys: Vec<ComponentKey> = ["a/b-c", "x/y", "a-b/c"]
        .iter()
        .map(|k| k.parse().unwrap())
        .collect();
    let error = check_container_names(&keys).unwrap_err().to_string();
    assert_eq!(
        error,
        "a/b-c and a-b/c would both have a container called a-b-c"
    );
}

proptest! {
    #[test]
    fn no_value_is_ever_a_flag(text in "\\PC{0,30}") {
        prop_assert!(!text.parse::<PortMapping>().is_ok_and(|v| v.as_str().starts_with('-')));
        prop_assert!(!text.parse::<Volume>().is_ok_and(|v| v.as_str().starts_with('-')));
        prop_assert!(!text.parse::<User>().is_ok_and(|v| v.as_str().starts_with('-')));
        prop_assert!(!text.parse::<Network>().is_ok_and(|v| v.as_str().starts_with('-')));
    }

    #[test]
    fn a_stored_spec_reads_back_the_same(
        cmd in proptest::collection::vec("[^\0]{0,10}", 0..4),
        env in proptest::collection::btree_map("[A-Z_][A-Z0-9_]{0,5}", "[^\0]{0,10}", 0..4),
        user in proptest::option::of("[a-z0-9]{1,5}(:[a-z0-9]{1,5})?"),
        stop in proptest::option::of(0u64..1000),
    ) {
        let mut spec = ComponentSpec::of_image("localhost/a:1".parse().unwrap());
        spec.cmd = cmd;
        spec.env = env.into_iter().map(|(k, v)| (k.parse().unwrap(), v)).collect();
        spec.user = user.map(|u| u.parse().unwrap());
        spec.stop_timeout = stop.map(Duration::from_millis);
        let json = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(serde_json::from_str::<ComponentSpec>(&json).unwrap(), spec);
    }
}
