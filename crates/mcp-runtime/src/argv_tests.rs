use mcp_model::ComponentSpec;
use mcp_model::spec::Volume;
use proptest::prelude::*;

use super::*;
use crate::mount::MountPolicy;
use crate::process::{self, Limits};

fn id() -> ContainerId {
    "0123456789abcdef".repeat(4).parse().unwrap()
}

fn request(spec: ComponentSpec) -> RunRequest {
    RunRequest {
        key: "metacrypt/api".parse().unwrap(),
        spec,
        revision: 7,
        operation: "op1234".parse().unwrap(),
        replace_phantom: false,
    }
}

fn of_image(image: &str) -> ComponentSpec {
    ComponentSpec::of_image(image.parse().unwrap())
}

fn run(request: &RunRequest) -> Vec<String> {
    let policy = MountPolicy {
        prefixes: vec!["/srv".into()],
        denied: vec![],
        denied_beginnings: vec![],
    };
    let mounts = policy.permit(&request.spec.volumes).unwrap();
    PodmanArgs::default().run(request, "agent-1", &mounts).args
}

#[test]
fn every_field_of_a_spec_has_its_flag() {
    let mut spec = of_image("registry.example:8443/metacrypt:v1.7.0");
    spec.network = Some("mcpnet".parse().unwrap());
    spec.user = Some("0:0".parse().unwrap());
    spec.restart = Some("on-failure:3".parse().unwrap());
    spec.ports = ["127.0.0.1:8443:8443", "53:53/udp"]
        .map(|port| port.parse().unwrap())
        .into();
    let volume: Volume = "/srv/metacrypt:/srv/metacrypt:ro,z".parse().unwrap();
    spec.volumes = [volume, "cache:/cache".parse().unwrap()].into();
    spec.cmd = ["server", "--config", "-v"].map(str::to_owned).into();
    spec.env = [("MODE".parse().unwrap(), "a b=c".to_owned())].into();
    spec.stop_timeout = Some(Duration::from_millis(2500));
    let expected = [
        "run",
        "-d",
        "--name=metacrypt-api",
        "--label=mcp.agent=agent-1",
        "--label=mcp.service=metacrypt",
        "--label=mcp.component=api",
        "--label=mcp.revision=7",
        "--label=mcp.operation=op1234",
        "--network=mcpnet",
        "--user=0:0",
        "--restart=on-failure:3",
        "--publish=127.0.0.1:8443:8443",
        "--publish=53:53/udp",
        "--volume=/srv/metacrypt:/srv/metacrypt:ro,z",
        "--volume=cache:/cache",
        "--env=MODE=a b=c",
        "--stop-timeout=3",
        "--pull=never",
        "--",
        "registry.example:8443/metacrypt:v1.7.0",
        "server",
        "--config",
        "-v",
    ];
    assert_eq!(run(&request(spec)), expected);
}

#[test]
fn what_a_spec_leaves_out_has_the_documented_default() {
    let args = run(&request(of_image("localhost/a:1")));
    for expected in [
        "--network=bridge",
        "--restart=unless-stopped",
        "--stop-timeout=10",
    ] {
        assert!(
            args.iter().any(|arg| arg == expected),
            "{expected} {args:?}"
        );
    }
    for absent in ["--user", "--publish", "--volume", "--env", "--replace"] {
        assert!(!args.iter().any(|arg| arg.starts_with(absent)), "{absent}");
    }
}

#[test]
fn a_name_is_replaced_only_where_a_phantom_was_confirmed() {
    let mut request = request(of_image("localhost/a:1"));
    assert!(!run(&request).contains(&"--replace".to_owned()));
    request.replace_phantom = true;
    assert!(run(&request).contains(&"--replace".to_owned()));
}

#[test]
fn every_call_is_written_as_an_operator_would_check_it() {
    let podman = PodmanArgs {
        program: "/usr/bin/podman".into(),
        global_args: vec!["--root".into(), "/s".into()],
        env: [("HOME".to_owned(), "/h".to_owned())].into(),
    };
    let id = id();
    let seconds = Duration::from_secs;
    for (command, expected) in [
        (podman.version(), "--version".to_owned()),
        (podman.list(), "ps -a --no-trunc --format=json".into()),
        (podman.inspect([&id]), format!("container inspect -- {id}")),
        (podman.inspect_name("-f"), "container inspect -- -f".into()),
        (
            podman.list_name("a.b"),
            r"ps -a --external --no-trunc --format=json --filter=name=^a\.b$".into(),
        ),
        (
            podman.pull(&"docker.io/library/a:1".parse().unwrap()),
            "pull -q -- docker.io/library/a:1".into(),
        ),
        (podman.start(&id), format!("start -- {id}")),
        (
            podman.stop(&id, seconds(10)),
            format!("stop --time=10 -- {id}"),
        ),
        (podman.remove(&id), format!("rm --force -- {id}")),
        (podman.rename(&id, "-x"), format!("rename -- {id} -x")),
        (podman.logs(&id, 5), format!("logs --tail=5 -- {id}")),
        (podman.info(), "info --format=json".into()),
        (podman.events(), "events --format=json --stream=true".into()),
    ] {
        assert_eq!(command.args.join(" "), format!("--root /s {expected}"));
        assert_eq!(command.program, "/usr/bin/podman");
        assert_eq!(command.env["HOME"], "/h");
    }
}

/// Reads an argument vector as podman's flag parser does: words that begin with `-` are flags up
/// to `--`, and for `run` up to the image as well.
fn flags(args: &[String]) -> Vec<&str> {
    let before = args.iter().take_while(|arg| *arg != "--");
    before
        .map(String::as_str)
        .filter(|arg| arg.starts_with('-'))
        .collect()
}

fn is_known(flag: &str) -> bool {
    const WITH_VALUE: [&str; 11] = [
        "--name=",
        "--label=",
        "--network=",
        "--user=",
        "--restart=",
        "--publish=",
        "--volume=",
        "--env=",
        "--stop-timeout=",
        "--pull=never",
        "--filter=name=^",
    ];
    let alone = ["-d", "-a", "--external", "--no-trunc", "--format=json"];
    alone.contains(&flag) || WITH_VALUE.iter().any(|known| flag.starts_with(known))
}

proptest! {
    #[test]
    fn no_value_becomes_a_flag(
        cmd in proptest::collection::vec("-{0,2}[^\0]{0,12}", 0..4),
        env in proptest::collection::btree_map("[A-Z_]{1,5}", "-{0,2}[^\0]{0,12}", 0..4),
        network in "[a-z-]{1,8}",
        user in "[a-z0-9:-]{1,8}",
        name in "-{0,2}[^\0]{0,12}",
    ) {
        let mut spec = of_image("localhost/a:1");
        spec.cmd.clone_from(&cmd);
        spec.env = env.into_iter().map(|(k, v)| (k.parse().unwrap(), v)).collect();
        spec.network = network.parse().ok();
        spec.user = user.parse().ok();
        let args = run(&request(spec));
        prop_assert!(flags(&args).into_iter().all(is_known), "{args:?}");
        let end = args.iter().position(|arg| arg == "--").unwrap();
        prop_assert_eq!(&args[end + 1], "localhost/a:1");
        prop_assert_eq!(&args[end + 2..], &cmd[..]);

        let podman = PodmanArgs::default();
        for command in [podman.rename(&id(), &name), podman.inspect_name(&name)] {
            prop_assert!(flags(&command.args).is_empty(), "{:?}", command.args);
        }
        prop_assert!(flags(&podman.list_name(&name).args).into_iter().all(is_known));
    }
}

/// A podman that writes down what it was given, each word ended by NUL.
#[tokio::test]
async fn a_recording_podman_receives_every_word_whole() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = dir.path().join("podman");
    std::fs::write(&recorder, "printf '%s\\0' \"$@\"\n").unwrap();
    let mut spec = of_image("localhost/a:1");
    spec.cmd = ["-f", "--all", "$(id)", "a\nb", "", "'\"*"]
        .map(str::to_owned)
        .into();
    spec.env = [("X".parse().unwrap(), "--privileged\n-v/:/x".to_owned())].into();
    let podman = PodmanArgs {
        program: "sh".into(),
        global_args: vec![recorder.to_str().unwrap().to_owned()],
        ..PodmanArgs::default()
    };
    let command = podman.run(&request(spec), "agent", &[]);
    let limits = Limits {
        deadline: Duration::from_mins(1),
        stdout: 1 << 20,
    };
    let finished = process::run(&command, &limits).await.unwrap();
    let said = String::from_utf8(finished.stdout).unwrap();
    let received: Vec<&str> = said.split_terminator('\0').collect();
    assert_eq!(received, command.args[1..]);
}
