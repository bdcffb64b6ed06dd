//! P3.4 and S53: start, stop, restart.

use std::fs;
use std::os::fd::AsRawFd;

use tonic::Code;

use crate::double::{Call, Script};
use crate::fixtures::{component, done, service};
use crate::snapshot;
use crate::world::{ENOUGH, World};

const COMMENTED: &str = "# hello, kept by hand\nname = \"hello\"\nnode = \"rift\"\n\nactive = true   # until the move\n\n[[components]]\nname  = \"hello\" # aligned\nimage = \"localhost/hello:v1.2.0\"\n\n# the end\n";

fn ends_as(observed: &str) -> Script {
    Script {
        results: vec![done("hello", observed)],
        ..Default::default()
    }
}

#[tokio::test]
async fn stop_and_start_change_one_word_of_the_file_and_call_the_right_rpc() {
    let world = World::new();
    let double = world.node("rift", ends_as("stopped")).await;
    let path = world.define_text("hello", COMMENTED);
    world
        .mcp(&["stop", "hello", "-m", "moving"])
        .await
        .expect(0);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        COMMENTED.replace("active = true", "active = false")
    );
    double.script().results = vec![done("hello", "running")];
    world.mcp(&["start", "hello"]).await.expect(0);
    assert_eq!(fs::read_to_string(&path).unwrap(), COMMENTED);
    let calls = double.mutations();
    let [Call::Stop(stop), Call::Start(start)] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    assert_eq!(
        (
            stop.name.as_str(),
            stop.message.as_str(),
            start.name.as_str()
        ),
        ("hello", "moving", "hello")
    );
    assert_ne!(stop.operation_id, start.operation_id);
}

#[tokio::test]
async fn restart_leaves_the_file_alone() {
    let world = World::new();
    let double = world.node("rift", ends_as("running")).await;
    let path = world.define_text(
        "hello",
        &COMMENTED.replace("active = true", "active = false"),
    );
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    world.mcp(&["restart", "hello"]).await.expect(0);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    let calls = double.mutations();
    let [Call::Restart(request)] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    assert_eq!(request.name, "hello");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused_before_anything_is_sent() {
    let world = World::new();
    let double = world.node("rift", ends_as("stopped")).await;
    // Nothing stops root from writing a read-only file, so that there the folder has to be one in
    // which nobody can make a file: the file is reached through a link to what was deleted.
    let path = world.define_text("hello", COMMENTED);
    let gone = world.folder("gone").join("hello.toml");
    fs::rename(&path, &gone).unwrap();
    let held = fs::File::open(&gone).unwrap();
    fs::remove_dir_all(gone.parent().unwrap()).unwrap();
    let link = format!("/proc/{}/fd/{}", std::process::id(), held.as_raw_fd());
    std::os::unix::fs::symlink(link, &path).unwrap();
    for verb in ["stop", "start"] {
        let run = world.mcp(&[verb, "hello"]).await.expect(1);
        assert!(run.stderr.contains("nothing was sent"), "{}", run.stderr);
    }
    assert!(double.calls().is_empty());
}

#[tokio::test]
async fn a_refused_stop_leaves_the_file_as_it_is() {
    let world = World::new();
    let double = world.node("rift", ends_as("stopped")).await;
    let path = world.define_text("hello", COMMENTED);
    double
        .script()
        .refusals
        .insert("stop", (Code::Aborted, "deploy by alice holds it"));
    let run = world.mcp(&["stop", "hello"]).await.expect(1);
    assert!(run.stderr.contains("deploy by alice"), "{}", run.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), COMMENTED);
}

#[tokio::test]
async fn the_file_follows_what_the_node_accepted_even_if_the_waiting_ended() {
    let world = World::new();
    world.node("rift", Script::endless()).await;
    let path = world.define_text("hello", COMMENTED);
    let run = world
        .mcp(&["stop", "hello", "--timeout", ENOUGH])
        .await
        .expect(1);
    assert!(run.stderr.contains("goes on there"), "{}", run.stderr);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        COMMENTED.replace("active = true", "active = false")
    );
}

#[tokio::test]
async fn without_a_file_the_node_alone_is_told_and_the_cli_says_so() {
    let world = World::new();
    let double = world.node("rift", ends_as("stopped")).await;
    let run = world.mcp(&["stop", "hello"]).await.expect(0);
    snapshot!("stop_without_file", world, run.all());
    assert_eq!(double.mutations().len(), 1);
}

#[tokio::test]
async fn a_file_about_another_node_is_left_as_it_is() {
    let world = World::new();
    world.node("rift", ends_as("stopped")).await;
    let vade = world.node("vade", ends_as("stopped")).await;
    let path = world.define_text("hello", COMMENTED);
    let run = world
        .mcp(&["stop", "hello", "--node", "vade"])
        .await
        .expect(0);
    assert!(run.stderr.contains("left as it is"), "{}", run.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), COMMENTED);
    assert_eq!(vade.mutations().len(), 1);
}

#[tokio::test]
async fn what_was_skipped_is_said_and_is_no_failure() {
    let world = World::new();
    let mut skipped = done("api", "stopped");
    skipped.skipped = "desired stopped".to_owned();
    let script = Script {
        services: vec![service("hello", [component("api", "stopped", "stopped")])],
        results: vec![done("hello", "running"), skipped],
        ..Default::default()
    };
    world.node("rift", script).await;
    let run = world
        .mcp(&["restart", "hello", "--output", "json"])
        .await
        .expect(0);
    assert_eq!(run.json()["results"][1]["skipped"], "desired stopped");
    let run = world.mcp(&["restart", "hello"]).await.expect(0);
    assert!(
        run.stdout.contains("skipped") && run.stdout.contains("desired stopped"),
        "{}",
        run.stdout
    );
}

#[tokio::test]
async fn a_stop_after_which_something_runs_is_no_success() {
    let world = World::new();
    world.node("rift", ends_as("running")).await;
    let path = world.define_text("hello", COMMENTED);
    let run = world.mcp(&["stop", "hello"]).await.expect(1);
    assert!(run.stderr.contains("is running now"), "{}", run.stderr);
    // The intent was accepted all the same.
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .contains("active = false")
    );
}

#[tokio::test]
async fn an_operation_that_waits_for_its_turn_is_said_to_go_on_with_the_holders_name() {
    let world = World::new();
    let script = Script {
        in_the_way: Some("hello/hello is held by operation x of alice"),
        ..Default::default()
    };
    world.node("rift", script).await;
    let path = world.define_text("hello", COMMENTED);
    let run = world.mcp(&["stop", "hello"]).await.expect(1);
    assert!(
        run.stderr.contains("of alice") && run.stderr.contains("goes on there"),
        "{}",
        run.stderr
    );
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        COMMENTED.replace("active = true", "active = false")
    );
}
