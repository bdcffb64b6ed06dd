//! P3.6 and S8: sync.

use mcp_proto::v1::{
    ComponentPlan, FieldChange, PlanResponse, ServicePlan, ServiceSyncResult,
    SyncDesiredStateResponse,
};

use crate::double::{Call, Double, Script};
use crate::fixtures::done;
use crate::snapshot;
use crate::world::World;
use tonic::Code;

fn synced(double: &Double) -> Vec<Vec<String>> {
    let calls = double
        .mutations()
        .into_iter()
        .filter_map(|call| match call {
            Call::Sync(request) => Some(request.services.into_iter().map(|s| s.name).collect()),
            _ => None,
        });
    calls.collect()
}

fn undeployed(double: &Double) -> Vec<String> {
    let mut calls: Vec<String> = double
        .mutations()
        .into_iter()
        .filter_map(|call| match call {
            Call::Undeploy(request) => Some(format!("{}/{}", request.service, request.component)),
            _ => None,
        })
        .collect();
    calls.sort();
    calls
}

/// Too much of everything: an orphan, a service of nobody's, and one that moved to vade.
fn excess() -> Script {
    Script {
        sync: SyncDesiredStateResponse {
            results: vec![ServiceSyncResult {
                name: "hello".to_owned(),
                changed: true,
                summary: "1 component added".to_owned(),
                orphaned: vec!["old".to_owned()],
            }],
            unmentioned: vec!["forgotten".to_owned(), "mail".to_owned()],
        },
        results: vec![done("c", "removed")],
        ..Default::default()
    }
}

#[tokio::test]
async fn every_node_is_sent_its_own_services_and_those_without_any_are_called_too() {
    let world = World::new();
    let rift = world.node("rift", Script::default()).await;
    let vade = world.node("vade", Script::default()).await;
    let bare = world.node("bare", Script::default()).await;
    for (service, node) in [("a", "rift"), ("b", "vade"), ("c", "rift")] {
        world.define(service, node);
    }
    world.mcp(&["sync"]).await.expect(0);
    assert_eq!(synced(&rift), [["a", "c"]]);
    assert_eq!(synced(&vade), [["b"]]);
    assert_eq!(synced(&bare), [[""; 0]]);
}

#[tokio::test]
async fn the_summary_names_what_changed_what_is_too_much_and_strays() {
    let world = World::new();
    let rift = world.node("rift", excess()).await;
    world.node("vade", Script::default()).await;
    world.define("hello", "rift");
    world.define("mail", "vade");
    let run = world.mcp(&["sync"]).await.expect(0);
    snapshot!("sync", world, run.all());
    assert!(undeployed(&rift).is_empty());
    let json = world
        .mcp(&["sync", "--output", "json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        json["strays"][0],
        serde_json::json!({"service": "mail", "node": "rift", "defined_on": "vade"})
    );
}

#[tokio::test]
async fn one_broken_file_refuses_the_whole_sync_and_all_of_them_are_shown() {
    let world = World::new();
    let rift = world.node("rift", Script::default()).await;
    world.define("a", "rift");
    world.define_text(
        "b",
        "name = \"b\"\nnode = \"rift\"\n[[components]]\nname = \"b\"\n",
    );
    world.define_text("c", "name = ");
    let run = world.mcp(&["sync"]).await.expect(1);
    assert!(
        run.stderr.contains("b.toml") && run.stderr.contains("c.toml"),
        "{}",
        run.stderr
    );
    assert!(rift.calls().is_empty());
}

#[tokio::test]
async fn the_place_of_a_mistake_can_be_copied_however_long_its_path_is() {
    let world = World::new();
    world.node("rift", Script::default()).await;
    let name = "a-long-name-with-many-hyphens-that-a-line-could-be-broken-at";
    world.define_text(name, "name = ");
    let run = world.mcp(&["sync"]).await.expect(1);
    assert!(
        run.stderr
            .lines()
            .next()
            .unwrap()
            .contains(&format!("/{name}.toml:1:")),
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn a_definition_for_a_node_that_is_not_configured_is_refused_before_anything_is_sent() {
    let world = World::new();
    let rift = world.node("rift", Script::default()).await;
    world.define("a", "rift");
    world.define("b", "vade");
    for args in [
        &["sync"] as &[&str],
        &["sync", "--dry-run"],
        &["sync", "--node", "rift"],
    ] {
        let run = world.mcp(args).await.expect(1);
        assert!(
            run.stderr.contains("vade") && run.stderr.contains("nothing was sent"),
            "{}",
            run.stderr
        );
    }
    assert!(rift.calls().is_empty());
}

fn days_ago(days: u64) -> prost_types::Timestamp {
    let span = std::time::Duration::from_hours(24 * days);
    std::time::SystemTime::now()
        .checked_sub(span)
        .unwrap()
        .into()
}

#[tokio::test]
async fn a_dry_run_shows_each_field_and_changes_nothing() {
    let world = World::new();
    let field = |field: &str, before: &str, after: &str| FieldChange {
        field: field.to_owned(),
        before: before.to_owned(),
        after: after.to_owned(),
    };
    let plan = PlanResponse {
        services: vec![ServicePlan {
            name: "hello".to_owned(),
            changed: true,
            components: vec![
                ComponentPlan {
                    name: "web".to_owned(),
                    change: "changed".to_owned(),
                    fields: vec![
                        field("image", "localhost/web:v1", "localhost/web:v2"),
                        field("user", "", "0:0"),
                    ],
                    ..Default::default()
                },
                ComponentPlan {
                    name: "old".to_owned(),
                    change: "orphaned".to_owned(),
                    overwrites: "bob@vade".to_owned(),
                    overwrites_from: Some(days_ago(12)),
                    ..Default::default()
                },
            ],
        }],
        unmentioned: vec!["mail".to_owned()],
    };
    let rift = world
        .node(
            "rift",
            Script {
                plan,
                ..Default::default()
            },
        )
        .await;
    world.node("vade", Script::default()).await;
    world.define("hello", "rift");
    world.define("mail", "vade");
    let run = world.mcp(&["sync", "--dry-run", "--prune"]).await.expect(0);
    snapshot!("sync_dry_run", world, run.all());
    assert!(rift.mutations().is_empty());
    let run = world.mcp(&["sync", "--dry-run"]).await.expect(0);
    for left in [
        "hello/old (orphaned: left as it is)",
        "mail (unmentioned: left as it is)",
    ] {
        assert!(run.stdout.contains(left), "{}", run.stdout);
    }
    world
        .mcp(&["sync", "--dry-run", "--output", "json"])
        .await
        .expect(0)
        .json();
}

#[tokio::test]
async fn pruning_without_a_terminal_and_without_yes_is_refused_before_anything_is_sent() {
    let world = World::new();
    let rift = world.node("rift", excess()).await;
    let run = world.mcp(&["sync", "--prune"]).await.expect(2);
    assert!(run.stderr.contains("--yes"), "{}", run.stderr);
    assert!(rift.calls().is_empty());
}

#[tokio::test]
async fn pruning_shows_and_removes_orphans_and_unmentioned_services() {
    let world = World::new();
    let rift = world.node("rift", excess()).await;
    world.node("vade", Script::default()).await;
    world.define("hello", "rift");
    world.define("mail", "vade");
    let run = world.mcp(&["sync", "--prune", "--yes"]).await.expect(0);
    snapshot!("sync_prune", world, run.all());
    assert_eq!(undeployed(&rift), ["forgotten/", "hello/old", "mail/"]);
}

#[tokio::test]
async fn a_missing_directory_never_prunes() {
    let world = World::new();
    let rift = world.node("rift", excess()).await;
    std::fs::remove_dir(world.home().join(".config/mcp/services")).unwrap();
    world.mcp(&["sync", "--prune", "--yes"]).await.expect(2);
    assert!(rift.calls().is_empty());
    let run = world.mcp(&["sync"]).await.expect(0);
    assert!(
        run.stderr.contains("no services directory"),
        "{}",
        run.stderr
    );
    assert_eq!(synced(&rift), [[""; 0]]);
}

#[tokio::test]
async fn a_node_that_is_down_does_not_keep_the_others_from_their_intent() {
    let world = World::new();
    let rift = world.node("rift", Script::default()).await;
    world.dead_node("vade").await;
    world.define("a", "rift");
    world.define("b", "vade");
    let run = world.mcp(&["sync", "--output", "json"]).await.expect(1);
    assert_eq!(synced(&rift), [["a"]]);
    assert!(run.json()["nodes"][1]["error"].is_string());
}

#[tokio::test]
async fn what_somebody_else_said_is_overwritten_by_force_only() {
    let world = World::new();
    let words = "hello/hello (its spec) was changed by bob@vade 2 h ago, and differs from what you \
                 send; to overwrite it, repeat with --force";
    let refuses = Script {
        refusals: [
            ("sync", (Code::FailedPrecondition, words)),
            ("deploy", (Code::FailedPrecondition, words)),
        ]
        .into(),
        results: vec![done("hello", "running")],
        ..Default::default()
    };
    let rift = world.node("rift", refuses).await;
    world.define("hello", "rift");
    for command in [&["sync"][..], &["deploy", "hello"]] {
        let run = world.mcp(command).await.expect(1);
        for part in ["bob@vade 2 h ago", "--force"] {
            assert!(run.all().contains(part), "{}", run.all());
        }
        rift.script().refusals.remove(command[0]);
        let forced: Vec<_> = command.iter().chain(&["--force"]).copied().collect();
        world.mcp(&forced).await.expect(0);
    }
    let forced = rift.mutations().into_iter().map(|call| match call {
        Call::Sync(request) => request.force,
        Call::Deploy(request) => request.force,
        other => panic!("{other:?}"),
    });
    assert_eq!(forced.collect::<Vec<_>>(), [false, true, false, true]);
    let own = rustix::system::uname();
    let own = own.nodename().to_str().unwrap();
    assert!(rift.hosts().iter().all(|host| host == own));
    assert!(!rift.hosts().is_empty());
}
