//! P3.3: deploy.

use std::fs;

use mcp_proto::v1::plan_request::Intent;
use mcp_proto::v1::{
    ComponentPlan, ComponentResult, ComponentSpec, OperationStep, PlanResponse, RuntimeCommand,
    ServicePlan,
};

use crate::double::{Call, Double, Script};
use crate::fixtures::{component, done, service};
use crate::snapshot;
use crate::world::World;

const TWO: &str = "name = \"hello\"\nnode = \"rift\"\n\n[[components]]\nname = \"web\"\nimage = \"localhost/web:v2\"\n\n[[components]]\nname = \"api\"\nimage = \"localhost/api:v2\"\n";

pub(crate) fn deployed(double: &Double) -> mcp_proto::v1::DeployRequest {
    let mut calls = double.mutations();
    match calls.pop() {
        Some(Call::Deploy(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn images(double: &Double) -> Vec<String> {
    deployed(double)
        .service
        .unwrap()
        .components
        .into_iter()
        .map(|c| c.image)
        .collect()
}

fn remembered(name: &str, image: &str) -> mcp_proto::v1::ComponentInfo {
    let mut info = component(name, "running", "running");
    info.deployed_spec = Some(ComponentSpec {
        name: name.to_owned(),
        image: image.to_owned(),
        ..Default::default()
    });
    info
}

#[tokio::test]
async fn the_named_file_comes_first_then_the_directory_then_the_registry() {
    let world = World::new();
    let script = Script {
        services: vec![service(
            "hello",
            [remembered("hello", "localhost/hello:old")],
        )],
        results: vec![done("hello", "running")],
        ..Default::default()
    };
    let double = world.node("rift", script).await;
    let run = world.mcp(&["deploy", "hello"]).await.expect(0);
    assert_eq!(images(&double), ["localhost/hello:old"]);
    assert!(
        run.stderr.contains("what rift deployed last"),
        "{}",
        run.stderr
    );

    let before = fs::read(world.define("hello", "rift")).unwrap();
    world.mcp(&["deploy", "hello"]).await.expect(0);
    assert_eq!(images(&double), ["localhost/hello:v1.2.0"]);
    assert_eq!(
        fs::read(world.definition("hello")).unwrap(),
        before,
        "deploy does not modify the file"
    );

    let other = world.home().join("other.toml");
    fs::write(
        &other,
        String::from_utf8(before).unwrap().replace("v1.2.0", "v9"),
    )
    .unwrap();
    world
        .mcp(&["deploy", "hello", "-f", other.to_str().unwrap()])
        .await
        .expect(0);
    assert_eq!(images(&double), ["localhost/hello:v9"]);
}

#[tokio::test]
async fn without_any_spec_the_error_says_to_write_a_definition() {
    let world = World::new();
    let double = world.node("rift", Script::default()).await;
    let run = world.mcp(&["deploy", "hello"]).await.expect(1);
    snapshot!("deploy_without_spec", world, run.stderr);
    double.script().services = vec![service("hello", [component("web", "running", "removed")])];
    let run = world.mcp(&["deploy", "hello"]).await.expect(1);
    assert!(
        run.stderr.contains("never deployed its component web"),
        "{}",
        run.stderr
    );
    assert!(double.mutations().is_empty());
}

#[tokio::test]
async fn one_component_can_be_deployed_by_itself() {
    let world = World::new();
    let double = world
        .node(
            "rift",
            Script {
                results: vec![done("web", "running")],
                ..Default::default()
            },
        )
        .await;
    world.define_text("hello", TWO);
    world
        .mcp(&["deploy", "hello/web", "-m", "a reason"])
        .await
        .expect(0);
    let request = deployed(&double);
    assert_eq!(
        (request.component.as_str(), request.message.as_str()),
        ("web", "a reason")
    );
    assert!(request.operation_id.len() >= 16);
    let run = world.mcp(&["deploy", "hello/db"]).await.expect(2);
    assert!(run.stderr.contains("api, web"), "{}", run.stderr);
    assert_eq!(double.mutations().len(), 1);
}

#[tokio::test]
async fn results_are_shown_for_each_component_and_one_failure_fails_the_command() {
    let world = World::new();
    let mut unchanged = done("api", "running");
    unchanged.unchanged = true;
    let failed = ComponentResult {
        name: "web".to_owned(),
        error: "cannot pull localhost/web:v2:\nError: no such image".to_owned(),
        observed_state: "running".to_owned(),
        ..Default::default()
    };
    let script = Script {
        results: vec![unchanged, failed],
        warnings: vec!["service hello is inactive in its definition".to_owned()],
        ..Default::default()
    };
    world.node("rift", script).await;
    world.define_text("hello", TWO);
    let run = world.mcp(&["deploy", "hello"]).await.expect(1);
    snapshot!("deploy_results", world, run.all());
    let json = world
        .mcp(&["deploy", "hello", "--output", "json"])
        .await
        .expect(1)
        .json();
    assert_eq!(json["results"][0]["unchanged"], true);
    assert_eq!(json["results"][1]["success"], false);
    assert_eq!(
        json["warnings"][0],
        "service hello is inactive in its definition"
    );
}

#[tokio::test]
async fn a_deploy_that_does_not_end_in_running_is_no_success() {
    let world = World::new();
    world
        .node(
            "rift",
            Script {
                results: vec![done("hello", "exited")],
                ..Default::default()
            },
        )
        .await;
    world.define("hello", "rift");
    let run = world.mcp(&["deploy", "hello"]).await.expect(1);
    assert!(run.stderr.contains("is exited now"), "{}", run.stderr);
}

#[tokio::test]
async fn steps_are_told_while_the_deploy_runs() {
    let world = World::new();
    let step = |state: &str, phase: &str| {
        vec![OperationStep {
            component: "hello".to_owned(),
            state: state.to_owned(),
            phase: phase.to_owned(),
            ..Default::default()
        }]
    };
    let script = Script {
        results: vec![done("hello", "running")],
        steps: vec![
            step("waiting", ""),
            step("running", "pulling"),
            step("running", "pulling"),
            step("running", "verifying"),
            step("succeeded", ""),
        ],
        ..Default::default()
    };
    world.node("rift", script).await;
    world.define("hello", "rift");
    let run = world.mcp(&["deploy", "hello"]).await.expect(0);
    // The answer may overtake the last look.
    let told: Vec<&str> = run.stderr.lines().take(2).collect();
    assert_eq!(told, ["hello/hello: pulling", "hello/hello: verifying"]);
    assert!(
        !run.all().contains('\u{1b}'),
        "plain lines where there is no terminal"
    );
}

#[tokio::test]
async fn a_dry_run_shows_commands_that_can_be_typed_and_deploys_nothing() {
    let world = World::new();
    let plan = PlanResponse {
        services: vec![ServicePlan {
            name: "hello".to_owned(),
            changed: true,
            components: vec![ComponentPlan {
                name: "hello".to_owned(),
                change: "added".to_owned(),
                commands: vec![RuntimeCommand {
                    argv: [
                        "podman",
                        "run",
                        "--detach",
                        "--label=a b",
                        "localhost/hello:v1.2.0",
                    ]
                    .map(String::from)
                    .into(),
                    env: vec!["XDG_RUNTIME_DIR=/run/user/1".to_owned()],
                }],
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let double = world
        .node(
            "rift",
            Script {
                plan,
                ..Default::default()
            },
        )
        .await;
    world.define("hello", "rift");
    let run = world.mcp(&["deploy", "hello", "--dry-run"]).await.expect(0);
    snapshot!("deploy_dry_run", world, run.all());
    let asked = double.calls().into_iter().find_map(|call| match call {
        Call::Plan(request) => request.intent,
        _ => None,
    });
    let Some(Intent::Deploy(asked)) = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(asked.service.unwrap().name, "hello");
    assert!(double.mutations().is_empty());
    let json = world
        .mcp(&["deploy", "hello", "--dry-run", "--output", "json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        json["nodes"][0]["services"][0]["components"][0]["commands"][0]["argv"][0],
        "podman"
    );
}

#[tokio::test]
async fn a_broken_definition_is_shown_with_its_place_and_nothing_is_sent() {
    let world = World::new();
    let double = world.node("rift", Script::default()).await;
    world.define_text("hello", "name = \"hello\"\nnode = \"rift\"\n\n[[components]]\nname = \"web\"\nimagee = \"localhost/web:v2\"\n");
    let run = world.mcp(&["deploy", "hello"]).await;
    assert_ne!(run.code, Some(0));
    assert!(
        run.stderr.contains("imagee") && run.stderr.contains("hello.toml"),
        "{}",
        run.stderr
    );
    assert!(double.calls().is_empty());
}

#[tokio::test]
async fn a_file_about_another_service_is_refused() {
    let world = World::new();
    let double = world.node("rift", Script::default()).await;
    let file = world.define("other", "rift");
    let run = world
        .mcp(&["deploy", "hello", "-f", file.to_str().unwrap()])
        .await
        .expect(2);
    assert!(
        run.stderr.contains("defines other, not hello"),
        "{}",
        run.stderr
    );
    assert!(double.calls().is_empty());
}
