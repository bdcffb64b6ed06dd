//! Waiting for an operation ends by itself, by a deadline or by an interrupt, and can be taken up
//! again (S18).

use mcp_proto::v1::OperationStep;
use rustix::process::{Pid, Signal, kill_process};

use crate::deploy::deployed;
use crate::double::{Call, Script};
use crate::fixtures::{component, done, service};
use crate::world::{ENOUGH, World, finish};

#[tokio::test]
async fn the_clients_deadline_ends_the_waiting_and_says_that_the_operation_goes_on() {
    let world = World::new();
    let double = world.node("rift", Script::endless()).await;
    world.define("hello", "rift");
    let run = world
        .mcp(&["deploy", "hello", "--timeout", ENOUGH])
        .await
        .expect(1);
    let id = deployed(&double).operation_id;
    assert!(
        run.stderr.contains(&format!("goes on there as {id}")),
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn an_interrupt_ends_the_waiting_and_says_that_the_operation_goes_on() {
    let world = World::new();
    let double = world.node("rift", Script::endless()).await;
    world.define("hello", "rift");
    let child = world.command(&["deploy", "hello"]).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    double.accepted().await;
    kill_process(pid, Signal::INT).unwrap();
    let run = finish(child).await.expect(1);
    let id = deployed(&double).operation_id;
    assert!(
        run.stderr.contains("interrupted")
            && run.stderr.contains(&format!("goes on there as {id}")),
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn an_interrupted_wait_says_how_to_take_it_up_and_a_finished_one_what_it_was_for() {
    let world = World::new();
    let script = Script {
        never_ends: true,
        message: "the rollback of monday\u{1b}[2J",
        ..Default::default()
    };
    let double = world.node("rift", script).await;
    let id = "abcdefghijklmnopqrst";
    double.knows(id);
    for (args, again) in [
        (&["wait", id][..], format!("mcp wait {id}\n")),
        (
            &["wait", id, "--node", "rift"],
            format!("mcp wait {id} --node rift"),
        ),
    ] {
        let before = double.calls().len();
        let child = world.command(args).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        while !matches!(
            double.calls()[before..].last(),
            Some(Call::Read("operations"))
        ) {
            tokio::task::yield_now().await;
        }
        kill_process(pid, Signal::INT).unwrap();
        let run = finish(child).await.expect(1);
        assert!(
            run.stderr.contains("what is under way goes on"),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains(&again), "{}", run.stderr);
    }
    double.script().never_ends = false;
    let shown = world.mcp(&["wait", id]).await.expect(0).stdout;
    assert!(
        shown.contains(r"the rollback of monday\u{1b}[2J"),
        "{shown}"
    );
    let told = world.mcp(&["wait", id, "--output", "json"]).await.expect(0);
    assert_eq!(
        told.json()["operations"][0]["message"],
        "the rollback of monday\u{1b}[2J"
    );
}

#[tokio::test]
async fn an_operation_that_expired_or_was_superseded_is_told_with_the_reason() {
    for (state, why) in [
        ("expired", "it did not begin in time"),
        ("superseded", "newer intent came before it began"),
    ] {
        let world = World::new();
        let step = OperationStep {
            component: "web".to_owned(),
            state: state.to_owned(),
            error: why.to_owned(),
            ..Default::default()
        };
        let script = Script {
            results: vec![done("web", "running")],
            ended: Some((state, step)),
            ..Default::default()
        };
        let double = world.node("rift", script).await;
        world.define("hello", "rift");
        world.mcp(&["deploy", "hello"]).await;
        let id = deployed(&double).operation_id;
        let run = world.mcp(&["wait", &id]).await.expect(1);
        for word in [state, why] {
            assert!(run.stdout.contains(word), "{}", run.all());
        }
    }
}

#[tokio::test]
async fn waiting_can_be_taken_up_again_by_id_and_by_service() {
    let world = World::new();
    let script = Script {
        never_ends: true,
        ..Default::default()
    };
    let double = world.node("rift", script).await;
    world.define("hello", "rift");
    let run = world
        .mcp(&["deploy", "hello", "--timeout", ENOUGH])
        .await
        .expect(1);
    let id = deployed(&double).operation_id;
    assert!(
        run.stderr.contains(&format!("mcp wait {id} --node rift")),
        "{}",
        run.stderr
    );
    let run = world
        .mcp(&["wait", "hello", "--timeout", ENOUGH])
        .await
        .expect(1);
    assert!(
        run.stderr.contains("did not finish in time"),
        "{}",
        run.stderr
    );
    assert_eq!(run.stdout, "", "something is being done");
    double.script().never_ends = false;
    let json = world
        .mcp(&["wait", &id, "--output", "json"])
        .await
        .expect(0)
        .json();
    assert_eq!(json["operations"][0]["state"], "succeeded");
    double.script().services = vec![service("hello", [component("hello", "running", "running")])];
    let run = world.mcp(&["wait", "hello"]).await.expect(0);
    assert_eq!(run.stdout, "nothing is being done\n");
    for unknown in ["helo", "0000", "abcdefghijklmnop"] {
        let run = world.mcp(&["wait", unknown]).await.expect(1);
        assert!(run.stderr.contains("no node knows"), "{}", run.all());
        assert_eq!(run.stdout, "");
    }
}
