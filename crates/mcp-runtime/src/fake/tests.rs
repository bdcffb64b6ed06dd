use mcp_model::{ComponentSpec, Exit, RuntimeState};

use super::*;
use crate::hints::channel;

const IMAGE: &str = "localhost/a:1";
const SECOND: Duration = Duration::from_secs(1);

fn fake() -> Fake {
    let fake = Fake::new(Stamp::from_millis(1_800_000_000_000), "me");
    fake.add_image(&IMAGE.parse().unwrap());
    fake
}

fn request(key: &str, restart: &str) -> RunRequest {
    let mut spec = ComponentSpec::of_image(IMAGE.parse().unwrap());
    spec.restart = Some(restart.parse().unwrap());
    RunRequest {
        key: key.parse().unwrap(),
        spec,
        revision: 1,
        operation: "op1234".parse().unwrap(),
        replace_phantom: false,
    }
}

fn broken() -> RuntimeError {
    RuntimeError::Failed {
        call: Call::List,
        object: "it".into(),
        exit: None,
        words: "broken".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_followed_by_what_the_restart_policy_says() {
    for (policy, code, restarts) in [
        ("no", 1, 0),
        ("always", 0, 1),
        ("unless-stopped", 0, 1),
        ("on-failure", 0, 0),
        ("on-failure:1", 7, 1),
        ("on-failure:0", 7, 0),
    ] {
        let fake = fake();
        let id = fake.run(&request("a/b", policy)).await.unwrap();
        let before = fake.container("a-b").unwrap();
        assert!(fake.crash("a-b", code, true));
        let dead = fake.inspect(&id).await.unwrap().unwrap();
        assert_eq!(dead.state, RuntimeState::Exited);
        let out_of_memory = true;
        assert_eq!(
            dead.exit,
            Some(Exit {
                code,
                out_of_memory
            })
        );
        tokio::time::sleep(SECOND).await;
        let after = fake.inspect(&id).await.unwrap().unwrap();
        assert_eq!(after.instance.restart_count, Some(restarts), "{policy}");
        let runs = after.state == RuntimeState::Running;
        assert_eq!(runs, restarts == 1, "{policy}");
        assert!(!runs || !after.instance.is_same_life(&before.instance));
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ends_by_itself_counts_its_restarts() {
    let fake = fake();
    let ends = Some((SECOND, 3));
    let behaviour = Behaviour {
        ends,
        ..Behaviour::default()
    };
    fake.add_image_that(&IMAGE.parse().unwrap(), behaviour);
    fake.run(&request("a/b", "on-failure:3")).await.unwrap();
    tokio::time::sleep(SECOND * 10).await;
    let ended = fake.container("a-b").unwrap();
    assert_eq!(ended.instance.restart_count, Some(3));
    assert_eq!(ended.state, RuntimeState::Exited);
}

#[tokio::test(start_paused = true)]
async fn a_container_killed_by_hand_stays_down() {
    let fake = fake();
    fake.run(&request("a/b", "always")).await.unwrap();
    assert!(fake.kill("a-b", 137));
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(fake.container("a-b").unwrap().state, RuntimeState::Exited);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_sits_out_its_grace_is_a_kill() {
    let fake = fake();
    let behaviour = Behaviour {
        ignores_term: true,
        ..Behaviour::default()
    };
    fake.add_image_that(&IMAGE.parse().unwrap(), behaviour);
    let id = fake.run(&request("a/b", "always")).await.unwrap();
    let began = Instant::now();
    fake.stop(&id, SECOND * 10).await.unwrap();
    assert_eq!(began.elapsed(), SECOND * 10);
    let exit = fake.container("a-b").unwrap().exit.unwrap();
    assert_eq!(exit.code, 137);
}

#[tokio::test(start_paused = true)]
async fn a_published_port_is_held_by_one_running_container_only() {
    let fake = fake();
    let with_port = |key| {
        let mut request = request(key, "no");
        request.spec.ports = ["8080:80".parse().unwrap()].into();
        request
    };
    let first = fake.run(&with_port("a/a")).await.unwrap();
    let refused = fake.run(&with_port("b/b")).await.unwrap_err();
    assert!(refused.to_string().contains("address already in use"));
    // As podman leaves it: made, holding its name, not running.
    let left = fake.container("b").unwrap();
    assert_eq!(left.state, RuntimeState::Created);
    fake.stop(&first, SECOND).await.unwrap();
    fake.start(&left.instance.id).await.unwrap();
    assert!(fake.start(&first).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn scripted_faults_meet_the_calls_that_they_were_scripted_for() {
    let fake = fake();
    let id = fake.run(&request("a/b", "no")).await.unwrap();
    fake.next(Call::List, 2, &Fault::Fail(broken()));
    assert!(fake.list().await.is_err());
    assert!(fake.inspect(&id).await.is_ok());
    assert!(fake.list().await.is_err());
    assert!(fake.list().await.is_ok());
    fake.next(Call::Remove, 1, &Fault::DoThenFail(broken()));
    fake.kill("a-b", 0);
    assert!(fake.remove(&id).await.is_err());
    assert!(fake.container("a-b").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_goes_on_when_released_or_times_out() {
    let fake = fake();
    fake.next(Call::List, 2, &Fault::Hang);
    let release = async {
        tokio::time::sleep(SECOND).await;
        fake.release();
    };
    let (released, ()) = tokio::join!(fake.list(), release);
    assert!(released.is_ok());
    assert!(matches!(
        fake.list().await,
        Err(RuntimeError::TimedOut { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_slow_look_answers_with_what_was_true_when_it_began() {
    let fake = fake();
    let id = fake.run(&request("a/b", "no")).await.unwrap();
    fake.latency(Call::Inspect, SECOND);
    let crash = async { fake.crash("a-b", 1, false) };
    let (seen, _) = tokio::join!(fake.inspect(&id), crash);
    assert_eq!(seen.unwrap().unwrap().state, RuntimeState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_listing_can_be_stale_or_lack_what_an_inspect_finds() {
    let fake = fake();
    fake.freeze_listing();
    let id = fake.run(&request("a/b", "no")).await.unwrap();
    assert!(fake.list().await.unwrap().containers.is_empty());
    fake.thaw_listing();
    assert_eq!(fake.list().await.unwrap().containers.len(), 1);
    fake.hide_from_listing("a-b", true);
    assert!(fake.list().await.unwrap().containers.is_empty());
    assert!(fake.inspect(&id).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn hints_are_lost_doubled_and_delayed_as_told() {
    let fake = fake();
    let (sender, mut hints) = channel(64);
    fake.send_hints_to(sender);
    let id = fake.run(&request("a/b", "no")).await.unwrap();
    assert_eq!(hints.recv().await, Some(Hint::Changed));
    let delay = SECOND;
    fake.hint_policy(HintPolicy { copies: 2, delay });
    let began = Instant::now();
    fake.crash("a-b", 1, false);
    for _ in 0..2 {
        assert_eq!(hints.recv().await, Some(Hint::Container(id.clone())));
    }
    assert_eq!(began.elapsed(), delay);
    for _ in 0..2 {
        assert_eq!(hints.recv().await, Some(Hint::Changed));
    }
    let copies = 0;
    fake.hint_policy(HintPolicy { copies, delay });
    fake.remove_by_hand("a-b");
    let silence = tokio::time::timeout(SECOND * 100, hints.recv()).await;
    assert!(silence.is_err());
}

#[tokio::test(start_paused = true)]
async fn calls_are_recorded_and_mutating_ones_told_apart() {
    let fake = fake();
    fake.list().await.unwrap();
    let id = fake.run(&request("a/b", "no")).await.unwrap();
    fake.stop(&id, SECOND).await.unwrap();
    fake.crash("a-b", 1, false);
    let kinds = |calls: Vec<Recorded>| calls.into_iter().map(|c| c.call).collect::<Vec<_>>();
    assert_eq!(kinds(fake.calls()), [Call::List, Call::Run, Call::Stop]);
    assert_eq!(kinds(fake.mutations()), [Call::Run, Call::Stop]);
}

#[tokio::test(start_paused = true)]
async fn a_pid_can_come_back_in_another_life() {
    let fake = fake();
    let id = fake.run(&request("a/b", "no")).await.unwrap();
    let first = fake.container("a-b").unwrap().instance;
    fake.crash("a-b", 1, false);
    fake.reuse_pid_of("a-b");
    tokio::time::sleep(SECOND).await;
    fake.start(&id).await.unwrap();
    let second = fake.container("a-b").unwrap().instance;
    assert_eq!(first.pid, second.pid);
    assert!(!first.is_same_life(&second));
}
