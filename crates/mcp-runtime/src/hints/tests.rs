use std::path::Path;
use std::process::{Child, Command, Stdio};

use mcp_model::{ContainerId, Instance, Stamp};

use super::*;

fn id(number: u32) -> ContainerId {
    format!("{number:064x}").parse().unwrap()
}

fn life(number: u32, pid: u32, started: i64) -> Instance {
    Instance {
        id: id(number),
        pid: Some(pid),
        started_at: Some(Stamp::from_millis(started * 1000)),
        restart_count: Some(0),
    }
}

/// A process that lives until its standard input is closed.
fn process() -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).spawn().unwrap()
}

fn end(process: &mut Child) {
    drop(process.stdin.take());
    process.wait().unwrap();
}

fn nothing() -> HintSources {
    HintSources {
        directories: vec![],
        events: EventSource::None,
    }
}

/// Runs the hints of these sources beside `body`.
async fn beside<F: Future<Output = ()>>(
    sources: HintSources,
    podman: PodmanArgs,
    body: impl FnOnce(HintReceiver, HintHandles) -> F,
) {
    let (sender, receiver) = channel(16);
    let (hints, handles) = Hints::new(podman, sources, sender);
    let shutdown = CancellationToken::new();
    let body = async {
        body(receiver, handles).await;
        shutdown.cancel();
    };
    tokio::join!(hints.run(shutdown.clone()), body);
}

#[tokio::test]
async fn the_end_of_a_process_is_told_with_its_container() {
    beside(
        nothing(),
        PodmanArgs::default(),
        async |mut hints, handles| {
            let mut processes: Vec<Child> = (0..20).map(|_| process()).collect();
            for (number, process) in (0..).zip(&processes) {
                handles.processes.watch(&life(number, process.id(), 1));
                assert_eq!(
                    hints.recv().await,
                    Some(Hint::Container(id(number))),
                    "second look"
                );
            }
            for number in [7, 3] {
                end(&mut processes[number as usize]);
                assert_eq!(hints.recv().await, Some(Hint::Container(id(number))));
            }
            for process in &mut processes {
                end(process);
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_process_that_is_not_the_containers_is_looked_at_again_and_once() {
    beside(
        nothing(),
        PodmanArgs::default(),
        async |mut hints, handles| {
            // The pid that the listing told belongs to somebody else by now.
            let (mut somebody, mut gone) = (process(), process());
            handles.processes.watch(&life(1, somebody.id(), 1));
            assert_eq!(hints.recv().await, Some(Hint::Container(id(1))));
            handles.processes.watch(&life(1, somebody.id(), 1));
            end(&mut gone);
            handles.processes.watch(&life(2, gone.id(), 1));
            assert_eq!(hints.recv().await, Some(Hint::Container(id(2))));
            end(&mut somebody);
        },
    )
    .await;
}

#[tokio::test]
async fn a_process_that_is_gone_already_is_told_at_once_and_once_per_life() {
    let mut process = process();
    end(&mut process);
    let pid = process.id();
    beside(
        nothing(),
        PodmanArgs::default(),
        async |mut hints, handles| {
            handles.processes.watch(&life(1, pid, 1));
            assert_eq!(hints.recv().await, Some(Hint::Container(id(1))));
            // A listing, which knows less, still shows it: to fire again would be a loop.
            let mut listed = life(1, pid, 1);
            listed.restart_count = None;
            handles.processes.watch(&listed);
            handles.processes.watch(&life(0, pid, 1));
            assert_eq!(hints.recv().await, Some(Hint::Container(id(0))));
            // Another life, even with the same pid, is another watch.
            handles.processes.watch(&life(1, pid, 2));
            assert_eq!(hints.recv().await, Some(Hint::Container(id(1))));
            handles.processes.watch(&life(2, pid, 1));
            assert_eq!(hints.recv().await, Some(Hint::Container(id(2))));
        },
    )
    .await;
}

#[tokio::test]
async fn a_stale_watch_is_replaced_and_a_forgotten_one_is_silent() {
    let (mut old, mut new, mut other) = (process(), process(), process());
    beside(
        nothing(),
        PodmanArgs::default(),
        async |mut hints, mut handles| {
            handles.processes.watch(&life(1, old.id(), 1));
            handles.processes.watch(&life(2, other.id(), 1));
            handles.health.changed().await.unwrap();
            assert_eq!(
                hints.recv().await,
                Some(Hint::Container(id(1))),
                "second look"
            );
            assert_eq!(
                hints.recv().await,
                Some(Hint::Container(id(2))),
                "second look"
            );
            handles.processes.watch(&life(1, new.id(), 2));
            assert_eq!(
                hints.recv().await,
                Some(Hint::Container(id(1))),
                "second look"
            );
            handles.processes.unwatch(&id(2));
            // A third watch that fires at once tells that the two changes were taken up.
            let mut gone = process();
            end(&mut gone);
            handles.processes.watch(&life(3, gone.id(), 1));
            assert_eq!(hints.recv().await, Some(Hint::Container(id(3))));
            end(&mut old);
            end(&mut other);
            end(&mut new);
            assert_eq!(hints.recv().await, Some(Hint::Container(id(1))));
        },
    )
    .await;
}

fn directories(dir: &Path) -> HintSources {
    HintSources {
        directories: vec![dir.join("exits"), dir.join("events")],
        events: EventSource::File,
    }
}

async fn healthy(handles: &mut HintHandles, name: SourceName, healthy: bool) {
    let is_so = |map: &HealthMap| map.get(&name).is_some_and(|s| s.healthy == healthy);
    handles.health.wait_for(is_so).await.unwrap();
}

#[tokio::test]
async fn an_exit_file_tells_who_and_the_event_log_tells_that_something_happened() {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["exits", "events"] {
        std::fs::create_dir(dir.path().join(sub)).unwrap();
    }
    beside(
        directories(dir.path()),
        PodmanArgs::default(),
        async |mut hints, mut handles| {
            healthy(&mut handles, SourceName::Inotify, true).await;
            // As conmon does it.
            let finished = dir.path().join(format!("exits/{}", id(5)));
            let unfinished = dir.path().join(format!("exits/{}.A1B2C3", id(5)));
            std::fs::write(&unfinished, "137").unwrap();
            std::fs::rename(&unfinished, &finished).unwrap();
            assert_eq!(hints.recv().await, Some(Hint::Container(id(5))));
            std::fs::write(dir.path().join("events/events.log"), "{}").unwrap();
            assert_eq!(hints.recv().await, Some(Hint::Changed));
            let health = handles.health.borrow();
            assert!(health[&SourceName::Inotify].last_seen.is_some());
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn directories_that_come_late_or_go_away_are_watched_again() {
    let dir = tempfile::tempdir().unwrap();
    let make = || {
        for sub in ["exits", "events"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
    };
    beside(
        directories(dir.path()),
        PodmanArgs::default(),
        async |mut hints, mut handles| {
            for _ in 0..2 {
                healthy(&mut handles, SourceName::Inotify, false).await;
                make();
                healthy(&mut handles, SourceName::Inotify, true).await;
                // What happened in between was missed.
                while hints.recv().await != Some(Hint::Changed) {}
                std::fs::remove_dir(dir.path().join("exits")).unwrap();
                std::fs::remove_dir(dir.path().join("events")).unwrap();
            }
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_follower_passes_ids_on_and_comes_back_after_its_end() {
    let sources = HintSources {
        directories: vec![],
        events: EventSource::Follower,
    };
    let script = format!(r#"echo '{{"ID":"{}"}}'; echo '{{"Type":"system"}}'"#, id(9));
    let podman = PodmanArgs {
        program: "sh".into(),
        global_args: vec!["-c".into(), script],
        ..PodmanArgs::default()
    };
    beside(sources, podman, async |mut hints, mut handles| {
        for _ in 0..2 {
            // It missed what came before it, then says whom and that something happened.
            assert_eq!(hints.recv().await, Some(Hint::Changed));
            assert_eq!(hints.recv().await, Some(Hint::Container(id(9))));
            assert_eq!(hints.recv().await, Some(Hint::Changed));
            healthy(&mut handles, SourceName::Follower, false).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_becomes_one_change_that_is_never_lost() {
    let (sender, mut receiver) = channel(2);
    for number in 0..10 {
        sender.send(Hint::Container(id(number)));
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(receiver.recv().await.unwrap());
    }
    let expected = [
        Hint::Changed,
        Hint::Container(id(0)),
        Hint::Container(id(1)),
    ];
    assert_eq!(seen, expected);
    sender.send(Hint::Container(id(11)));
    assert_eq!(receiver.recv().await, Some(Hint::Container(id(11))));
    drop(sender);
    assert_eq!(receiver.recv().await, None);
}
