//! The handle: lanes, readers, and an end at which nothing is lost.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use mcp_model::{
    ComponentRecord, DesiredState, Event, NewEvent, ObservationChange, ObservedState, ServiceSpec,
};
use mcp_registry::{EventFilter, Options, Registry, RegistryError};
use rusqlite::Connection;
use tokio::task::yield_now;

use crate::support::{at, deploy, key, request, service, start, sync};

fn open(folder: &Path) -> Registry {
    Registry::open(&folder.join("mcp.db"), &Options::default()).unwrap()
}

fn seen(millis: u64) -> ObservationChange {
    let event = Event {
        id: 0,
        key: key("a/b"),
        prev: ObservedState::Running,
        new: ObservedState::Exited,
        at: at(millis),
        exit_code: None,
        cause: String::new(),
        operation: None,
    };
    ObservationChange {
        key: key("a/b"),
        observed: ObservedState::Exited,
        since: at(millis),
        instance: None,
        container: None,
        exit_code: None,
        version: String::new(),
        outlived_stop: false,
        events: vec![NewEvent {
            event,
            counted: true,
        }],
    }
}

async fn with_service(folder: &Path) -> Registry {
    let registry = open(folder);
    registry
        .sync(sync(&[service("a", &[("b", "1")])], at(0)))
        .await
        .unwrap();
    registry
}

/// Another process that holds the write lock.
fn hold(folder: &Path) -> Connection {
    let conn = Connection::open(folder.join("mcp.db")).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    conn
}

async fn event_count(registry: &Registry) -> usize {
    let all = EventFilter {
        limit: 1_000,
        ..EventFilter::default()
    };
    registry.events(all).await.unwrap().len()
}

#[tokio::test]
async fn an_operation_overtakes_a_queue_of_ordinary_writes() {
    let folder = tempfile::tempdir().unwrap();
    let registry = with_service(folder.path()).await;
    let holder = hold(folder.path());
    holder
        .execute_batch(
            "CREATE TABLE turns (what TEXT);
             CREATE TRIGGER e AFTER INSERT ON events BEGIN INSERT INTO turns VALUES ('event'); END;
             CREATE TRIGGER o AFTER INSERT ON operations BEGIN INSERT INTO turns VALUES ('operation'); END;",
        )
        .unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..20 {
        let registry = registry.clone();
        calls.spawn(async move { registry.observe(seen(i)).await.unwrap() });
    }
    // Every task has run up to its answer: its write is in the lane.
    yield_now().await;
    let operation = registry.clone();
    calls.spawn(async move {
        operation
            .accept(request("op01", start("a"), at(1)))
            .await
            .unwrap();
    });
    yield_now().await;
    holder.execute_batch("COMMIT").unwrap();
    calls.join_all().await;
    let turns: Vec<String> = holder
        .prepare("SELECT what FROM turns ORDER BY rowid")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let turn = turns.iter().position(|what| what == "operation").unwrap();
    // One write may have been under way when it came.
    assert!(turn <= 1, "{turns:?}");
    assert_eq!(turns.len(), 21);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_undo_what_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let registry = with_service(folder.path()).await;
    let holder = hold(folder.path());
    {
        let mut call = pin!(registry.accept(request("op01", start("a"), at(1))));
        let mut context = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    holder.execute_batch("COMMIT").unwrap();
    registry.close().await.unwrap();
    let registry = open(folder.path());
    assert!(registry.load(key("a/b")).await.unwrap().ticket.is_some());
    registry.close().await.unwrap();
}

#[tokio::test]
async fn closing_does_what_was_asked_and_refuses_what_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let registry = with_service(folder.path()).await;
    let holder = hold(folder.path());
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..50 {
        let registry = registry.clone();
        calls.spawn(async move { registry.observe(seen(i)).await });
    }
    yield_now().await;
    holder.execute_batch("COMMIT").unwrap();
    registry.close().await.unwrap();
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    for late in [
        registry.observe(seen(99)).await,
        registry.keys().await.map(|_| ()),
    ] {
        assert!(
            matches!(late, Err(RegistryError::Closed { .. })),
            "{late:?}"
        );
    }
    registry.close().await.unwrap();
    // Everything is in the file itself, even while somebody else has it open: a copy of it alone is
    // complete.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("mcp.db"), copy.path().join("mcp.db")).unwrap();
    let registry = open(copy.path());
    assert_eq!(event_count(&registry).await, 50);
    registry.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_whole_transactions_while_a_writer_writes() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(folder.path());
    let wanted = |turn: u64| {
        let active = turn.is_multiple_of(2);
        [ServiceSpec {
            active,
            ..service("a", &[("b", "1"), ("c", "1")])
        }]
    };
    registry.sync(sync(&wanted(0), at(0))).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (registry, done) = (registry.clone(), Arc::clone(&done));
        readers.spawn(async move {
            let mut looks = 0u32;
            while !done.load(Ordering::Relaxed) || looks == 0 {
                let service = registry.services().await.unwrap().remove(0);
                let running = |c: &ComponentRecord| c.desired == DesiredState::Running;
                // Two statements read this; one transaction writes it.
                let whole = service
                    .components
                    .iter()
                    .all(|c| running(c) == service.active);
                assert!(whole, "a sync was seen half done: {service:?}");
                looks += 1;
            }
        });
    }
    for i in 1..200 {
        registry.sync(sync(&wanted(i), at(i))).await.unwrap();
        // A write that was answered is there for the next reader.
        let record = registry.load(key("a/b")).await.unwrap().record.unwrap();
        assert_eq!(record.generation, i + 1);
    }
    done.store(true, Ordering::Relaxed);
    readers.join_all().await;
    registry.close().await.unwrap();
}

#[tokio::test]
async fn pruning_through_the_handle_takes_as_many_batches_as_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let registry = with_service(folder.path()).await;
    Connection::open(folder.path().join("mcp.db"))
        .unwrap()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 11000)
             INSERT INTO events (service, component, prev_state, new_state, timestamp)
             SELECT 'a', 'b', 'running', 'exited', '2020-01-01 00:00:00' FROM n",
        )
        .unwrap();
    registry
        .prune(at(0), std::time::Duration::from_mins(1))
        .await
        .unwrap();
    assert_eq!(event_count(&registry).await, 0);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn a_refusal_reaches_the_caller_and_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let registry = with_service(folder.path()).await;
    let error = registry
        .accept(request("op01", start("zzz"), at(1)))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "service zzz is not known on this node");
    let wanted = service("a", &[("b", "2")]);
    registry
        .accept(request("op01", deploy(&wanted), at(1)))
        .await
        .unwrap();
    registry.close().await.unwrap();
}
