//! P3.10: nodes in the configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mcp_identity::{Bundle, CertPaths, Token};
use mcp_model::Stamp;
use tokio::io::AsyncWriteExt;

use crate::double::{Double, Script};
use crate::fixtures::{component, service};
use crate::world::{World, finish};

const COMMENTED: &str = "# mine\n[services]\ndir = \"defs\" # here\n\n# the first\n[[nodes]]\nname = \"vade\"\naddress = \"10.0.0.1:9444\"   # overlay\n";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn nodes_are_added_listed_and_removed_and_comments_stay() {
    let world = World::new();
    fs::write(world.config(), COMMENTED).unwrap();
    let run = world
        .mcp(&[
            "node",
            "add",
            "rift",
            "rift.example:9444",
            "--server-name",
            "rift",
        ])
        .await
        .expect(0);
    assert!(run.stderr.contains("next: "), "{}", run.stderr);
    let added = fs::read_to_string(world.config()).unwrap();
    assert!(added.starts_with(COMMENTED), "{added}");

    let run = world
        .mcp(&["node", "list", "--output", "json"])
        .await
        .expect(0);
    let names: Vec<_> = run.json()["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["name"].clone())
        .collect();
    assert_eq!(names, ["vade", "rift"]);
    let table = world.mcp(&["node", "list"]).await.expect(0).stdout;
    assert!(
        table.contains("rift.example:9444") && table.contains("10.0.0.1:9444"),
        "{table}"
    );

    world.mcp(&["node", "remove", "rift"]).await.expect(0);
    assert_eq!(
        fs::read_to_string(world.config()).unwrap().trim_end(),
        COMMENTED.trim_end()
    );
}

#[tokio::test]
async fn a_node_that_is_there_is_replaced_only_on_request() {
    let world = World::new();
    world
        .mcp(&["node", "add", "rift", "10.0.0.1:9444"])
        .await
        .expect(0);
    let before = fs::read_to_string(world.config()).unwrap();
    let run = world
        .mcp(&["node", "add", "rift", "10.0.0.2:9444"])
        .await
        .expect(2);
    assert!(
        run.stderr.contains("configured already") && run.stderr.contains("--replace"),
        "{}",
        run.stderr
    );
    assert_eq!(fs::read_to_string(world.config()).unwrap(), before);
    world
        .mcp(&["node", "add", "rift", "10.0.0.2:9444", "--replace"])
        .await
        .expect(0);
    assert!(
        fs::read_to_string(world.config())
            .unwrap()
            .contains("10.0.0.2:9444")
    );
}

#[tokio::test]
async fn removing_what_is_not_there_is_a_usage_error() {
    let world = World::new();
    world
        .mcp(&["node", "add", "rift", "10.0.0.1:9444"])
        .await
        .expect(0);
    let before = fs::read_to_string(world.config()).unwrap();
    let run = world.mcp(&["node", "remove", "vade"]).await.expect(2);
    assert!(run.stderr.contains("rift"), "{}", run.stderr);
    assert_eq!(fs::read_to_string(world.config()).unwrap(), before);
}

#[tokio::test]
async fn a_bundle_is_all_that_a_workstation_needs() {
    let world = World::new();
    let token = Token::generate();
    let folder = world.folder("made");
    let script = Script {
        services: vec![service("hello", [component("web", "running", "running")])],
        ..Default::default()
    };
    let double = Double::start(&folder, &["rift.internal"], token.secret(), script).await;
    let bundle = Bundle {
        node: "rift".parse().unwrap(),
        address: format!("127.0.0.1:{}", double.port),
        server_name: Some("rift.internal".to_owned()),
        ca_cert_pem: fs::read_to_string(CertPaths::within(&folder).ca_cert).unwrap(),
        token: token.clone(),
        expires: Stamp::from_millis(2_000_000_000_000),
    };
    let mut child = world
        .command(&["node", "add", "--bundle", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(bundle.to_text().as_bytes()).await.unwrap();
    drop(stdin);
    let run = finish(child).await.expect(0);
    assert!(!run.all().contains(token.secret()), "a token was shown");
    assert!(double.calls().is_empty(), "nothing is checked remotely");

    let dir = world.home().join(".config/mcp/nodes/rift");
    assert_eq!(
        (
            mode(&dir),
            mode(&dir.join("token")),
            mode(&dir.join("ca.pem"))
        ),
        (0o700, 0o600, 0o600)
    );
    assert!(
        !fs::read_to_string(world.config())
            .unwrap()
            .contains(token.secret())
    );
    let run = world.mcp(&["list"]).await.expect(0);
    assert!(run.stdout.contains("hello"), "{}", run.all());

    world.mcp(&["node", "remove", "rift"]).await.expect(0);
    assert!(!dir.exists(), "a token that nobody needs is left behind");
}

#[tokio::test]
async fn a_broken_bundle_changes_nothing_and_shows_nothing_of_itself() {
    let world = World::new();
    let file = world.home().join("bundle");
    fs::write(
        &file,
        "version = 1\nnode = \"rift\"\ntoken = \"mcp_secret\" oops\n",
    )
    .unwrap();
    let run = world
        .mcp(&["node", "add", "--bundle", file.to_str().unwrap()])
        .await
        .expect(1);
    assert!(
        run.stderr.contains("not a bundle") && !run.stderr.contains("mcp_secret"),
        "{}",
        run.stderr
    );
    assert!(!world.config().exists() && !world.home().join(".config/mcp/nodes").exists());
}

#[tokio::test]
async fn a_token_the_operator_put_elsewhere_is_not_deleted() {
    let world = World::new();
    let token = world.home().join("my-token");
    fs::write(&token, "x").unwrap();
    let path = token.to_str().unwrap();
    world
        .mcp(&["node", "add", "rift", "10.0.0.1:9444", "--token-path", path])
        .await
        .expect(0);
    world.mcp(&["node", "remove", "rift"]).await.expect(0);
    assert!(token.exists());
}
