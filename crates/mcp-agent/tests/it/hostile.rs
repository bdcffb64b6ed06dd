//! Hostile requests through the real agent, whose podman writes down what it is given.

use std::fs;
use std::path::Path;

use mcp_config::agent::AgentConfig;
use mcp_model::text;
use mcp_proto::v1;
use tonic::{Code, Status};

use crate::support::{Client, Node, component, deploy, hello, service, sync};

/// Writes down each call in a file of its own, each word ended by NUL, and answers that there are
/// no containers. A `run` fails in hostile words.
const RECORDER: &str = r#"
dir=$1
shift
printf '%s\0' "$@" >"$dir.$$"
mv "$dir.$$" "$dir/$$"
case $1 in
--version) echo podman version 4.3.1 ;;
info) echo '{"host":{"eventLogger":"none","security":{"rootless":false}}}' ;;
ps) echo '[]' ;;
container) echo "Error: no container with name or ID \"x\" found: no such container" >&2; exit 125 ;;
*) printf 'Error: \033]0;owned\007\033[2J\342\200\256forged\r\n' >&2; exit 126 ;;
esac
"#;

fn record(config: &mut AgentConfig, dir: &Path) {
    let (script, calls) = (dir.join("recorder.sh"), dir.join("calls"));
    fs::write(&script, RECORDER).unwrap();
    fs::create_dir(&calls).unwrap();
    "sh".clone_into(&mut config.agent.container_runtime);
    config.runtime.args = [script, calls]
        .map(|path| path.display().to_string())
        .into();
}

/// A node with real TLS, a real token and the recorder for a podman.
async fn recorded() -> Node {
    Node::over_podman(record).await
}

/// Every call so far, as words.
fn calls(node: &Node) -> Vec<Vec<String>> {
    let files = fs::read_dir(node.dir.path().join("calls")).unwrap();
    let words = |file: fs::DirEntry| {
        let text = String::from_utf8(fs::read(file.path()).unwrap()).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    };
    files.map(|file| words(file.unwrap())).collect()
}

/// What no name, image, network, user, port or volume may be.
const HOSTILE: [&str; 14] = [
    "-a",
    "--all",
    "-rm",
    "--privileged",
    "--",
    "-v/:/x",
    "a\u{1b}[2J",
    "a\r\nb",
    "a\nb",
    "a\u{202e}b",
    "a\u{200b}b",
    "a\u{9b}31m",
    "a\0b",
    "a b; rm -rf /",
];

type Spoil = fn(&mut v1::ComponentSpec, String);

/// Where a value stands in a spec.
const FIELDS: [(&str, Spoil); 7] = [
    ("name", |spec, text| spec.name = text),
    ("image", |spec, text| spec.image = text),
    ("network", |spec, text| spec.network = text),
    ("user", |spec, text| spec.user = text),
    ("restart", |spec, text| spec.restart = text),
    ("ports", |spec, text| spec.ports = vec![text]),
    ("volumes", |spec, text| {
        spec.volumes = vec![format!("{text}:/data"), text];
    }),
];

#[track_caller]
fn assert_refused<T>(what: &str, outcome: Result<T, Status>) {
    let Err(status) = outcome else {
        panic!("{what} was accepted");
    };
    assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
    let plain = !status.message().contains(text::is_hostile);
    assert!(plain, "{what}: {:?}", status.message());
}

async fn ask_everything_with(client: &mut Client, name: &str) {
    let own = || name.to_owned();
    let stop = v1::StopServiceRequest {
        name: own(),
        ..Default::default()
    };
    assert_refused("stop", client.stop_service(stop).await);
    let start = v1::StartServiceRequest {
        name: own(),
        ..Default::default()
    };
    assert_refused("start", client.start_service(start).await);
    let restart = v1::RestartServiceRequest {
        name: own(),
        ..Default::default()
    };
    assert_refused("restart", client.restart_service(restart).await);
    let undeploy = v1::UndeployRequest {
        service: own(),
        ..Default::default()
    };
    assert_refused("undeploy", client.undeploy(undeploy).await);
    let only = v1::DeployRequest {
        component: own(),
        ..deploy(hello())
    };
    assert_refused("deploy one", client.deploy(only).await);
    let id = v1::DeployRequest {
        operation_id: own(),
        ..deploy(hello())
    };
    assert_refused("deploy with an id", client.deploy(id).await);
    let named = service(name, &[("web", "localhost/hello:v1")]);
    assert_refused("deploy", client.deploy(deploy(named.clone())).await);
    assert_refused("sync", client.sync_desired_state(sync(&[named])).await);
    let status = v1::GetServiceStatusRequest {
        name: own(),
        cached: true,
    };
    assert_refused("status", client.get_service_status(status).await);
}

#[tokio::test]
async fn hostile_requests_are_refused_by_grammar_and_none_reaches_podman() {
    let node = recorded().await;
    let mut client = node.client().await;
    for hostile in HOSTILE {
        ask_everything_with(&mut client, hostile).await;
        for (field, spoil) in FIELDS {
            let mut spec = component("web", "localhost/hello:v1");
            spoil(&mut spec, hostile.to_owned());
            let service = v1::ServiceSpec {
                components: vec![spec],
                ..hello()
            };
            let what = format!("{field} = {hostile:?}");
            assert_refused(&what, client.deploy(deploy(service.clone())).await);
            assert_refused(&what, client.sync_desired_state(sync(&[service])).await);
        }
    }
    let mut firsts: Vec<_> = calls(&node)
        .into_iter()
        .map(|words| words[0].clone())
        .collect();
    firsts.sort();
    firsts.dedup();
    assert!(
        firsts.contains(&"ps".to_owned()),
        "the recorder was called: {firsts:?}"
    );
    firsts.retain(|first| !matches!(first.as_str(), "--version" | "info" | "ps" | "events"));
    assert_eq!(firsts, Vec::<String>::new(), "what was asked of podman");
}

#[tokio::test]
async fn hostile_arguments_and_values_reach_podman_behind_the_image_or_a_flag() {
    let node = recorded().await;
    let mut client = node.client().await;
    let hostile = ["-f", "--all", "--", "$(id)", "a\nb", "\u{1b}[2J", ""];
    let spec = v1::ComponentSpec {
        cmd: hostile.map(str::to_owned).into(),
        env: vec!["X=--privileged".to_owned(), "Y=-v/:/x".to_owned()],
        ..component("web", "localhost/hello:v1")
    };
    let service = v1::ServiceSpec {
        components: vec![spec],
        ..hello()
    };
    let reply = client.deploy(deploy(service)).await.unwrap().into_inner();

    let error = &reply.results[0].error;
    assert!(
        error.contains("forged"),
        "podman's words are passed on: {error:?}"
    );
    assert!(!error.contains(text::is_hostile), "{error:?}");

    let calls = calls(&node);
    let run = calls
        .iter()
        .find(|words| words[0] == "run")
        .expect("it was asked to run");
    let end = run.iter().position(|word| word == "--").expect("flags end");
    let known = |word: &String| word == "-d" || word.starts_with("--");
    assert!(run[1..end].iter().all(known), "{run:?}");
    assert!(
        run[..end].contains(&"--env=X=--privileged".to_owned()),
        "{run:?}"
    );
    assert_eq!(run[end + 1], "localhost/hello:v1");
    assert_eq!(run[end + 2..], hostile);
}
