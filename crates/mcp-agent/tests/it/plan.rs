//! Previews.

use mcp_proto::v1;
use mcp_proto::v1::plan_request::Intent;
use tonic::Code;

use crate::support::{Node, component, deploy, hello, service, sync};

fn preview(intent: Intent) -> v1::PlanRequest {
    v1::PlanRequest {
        intent: Some(intent),
    }
}

fn lines(component: &v1::ComponentPlan) -> Vec<String> {
    component
        .commands
        .iter()
        .map(|command| command.argv.join(" "))
        .collect()
}

#[tokio::test]
async fn a_sync_preview_names_what_changes_field_by_field_and_changes_nothing() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client
        .sync_desired_state(sync(&[
            hello(),
            service("other", &[("a", "localhost/hello:v1")]),
        ]))
        .await
        .unwrap();
    let before = node.running.registry().services().await.unwrap();

    let web = v1::ComponentSpec {
        env: vec!["DB_PASSWORD=hunter2".to_owned(), "MODE=fast".to_owned()],
        ..component("web", "localhost/hello:v2")
    };
    let job = v1::ComponentSpec {
        restart: "no".to_owned(),
        cmd: vec!["--once".to_owned()],
        ..component("job", "localhost/hello:v1")
    };
    let newer = v1::ServiceSpec {
        active: false,
        components: vec![web, job],
        ..hello()
    };
    let plan = client
        .plan(preview(Intent::Sync(sync(&[newer]))))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(plan.unmentioned, ["other"]);
    let hello = &plan.services[0];
    let changes: Vec<_> = hello
        .components
        .iter()
        .map(|c| (c.name.as_str(), c.change.as_str()))
        .collect();
    assert_eq!(
        changes,
        [("job", "added"), ("web", "changed"), ("api", "orphaned")]
    );
    let said: Vec<&str> = hello.components[0]
        .fields
        .iter()
        .map(|f| f.field.as_str())
        .collect();
    assert_eq!(
        said,
        ["image", "restart", "cmd", "desired"],
        "all that a new one says"
    );
    let web = &hello.components[1];
    let field = |name: &str| web.fields.iter().find(|field| field.field == name).unwrap();
    assert_eq!(
        (
            field("image").before.as_str(),
            field("image").after.as_str()
        ),
        ("localhost/hello:v1", "localhost/hello:v2")
    );
    assert_eq!(
        (
            field("desired").before.as_str(),
            field("desired").after.as_str()
        ),
        ("running", "stopped")
    );
    let shown = format!("{plan:?}");
    assert!(
        shown.contains("fast") && !shown.contains("hunter2"),
        "{shown}"
    );
    assert_eq!(node.running.registry().services().await.unwrap(), before);
}

#[tokio::test]
async fn a_sync_preview_of_what_is_stored_is_unchanged() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.sync_desired_state(sync(&[hello()])).await.unwrap();
    let plan = client
        .plan(preview(Intent::Sync(sync(&[hello()]))))
        .await
        .unwrap()
        .into_inner();
    assert!(!plan.services[0].changed);
    assert!(
        plan.services[0]
            .components
            .iter()
            .all(|c| c.change == "unchanged" && c.fields.is_empty())
    );
}

#[tokio::test]
async fn a_deploy_preview_shows_the_runtime_commands_in_order_without_secrets() {
    let node = Node::start_with(|config| {
        config.runtime.args = vec!["--root=/r".to_owned()];
        config.runtime.env = [("API_TOKEN", "hunter3"), ("HOME", "/h")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    })
    .await;
    let mut client = node.client().await;
    let app = v1::ServiceSpec {
        components: vec![v1::ComponentSpec {
            env: vec!["DB_PASSWORD=hunter2".to_owned()],
            ..component("web", "example.org/app:v1.2.3")
        }],
        ..hello()
    };
    let first = client
        .plan(preview(Intent::Deploy(deploy(app.clone()))))
        .await
        .unwrap()
        .into_inner();
    let commands = lines(&first.services[0].components[0]);
    assert_eq!(commands.len(), 3, "{commands:?}");
    for (command, part) in commands.iter().zip([" pull ", " run ", " inspect "]) {
        assert!(
            command.starts_with("podman --root=/r ") && command.contains(part),
            "{command}"
        );
    }
    let shown = format!("{first:?}");
    assert!(
        shown.contains("HOME=/h") && shown.contains("DB_PASSWORD=***"),
        "{shown}"
    );
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(node.fake.mutations().is_empty());

    client.deploy(deploy(app.clone())).await.unwrap();
    let old = node
        .fake
        .container("hello-web")
        .unwrap()
        .instance
        .id
        .to_string();
    let again = client
        .plan(preview(Intent::Deploy(deploy(app))))
        .await
        .unwrap()
        .into_inner();
    let commands = lines(&again.services[0].components[0]);
    let parts = [" pull ", " stop ", " rename ", " run ", " inspect ", " rm "];
    assert_eq!(commands.len(), parts.len(), "{commands:?}");
    for (command, part) in commands.iter().zip(parts) {
        assert!(command.contains(part), "{part}: {commands:?}");
    }
    assert!(
        commands[1].ends_with(&old) && commands[5].ends_with(&old),
        "{commands:?}"
    );
}

#[tokio::test]
async fn a_preview_refuses_what_the_call_itself_would_refuse() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut bad = hello();
    bad.components[0].volumes = vec!["/etc:/data".to_owned()];
    for intent in [
        Intent::Deploy(deploy(bad.clone())),
        Intent::Sync(sync(&[bad])),
    ] {
        let refused = client.plan(preview(intent)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let nothing = client
        .plan(v1::PlanRequest { intent: None })
        .await
        .unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
}
