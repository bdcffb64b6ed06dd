//! Intent of another origin is not overwritten unasked (S10).

use mcp_model::{DesiredState, Moment, OperationRequest, Origin, Request, ServiceSpec};
use mcp_registry::{AcceptError, SyncRequest};

use crate::support::{Node, at, deploy, deploy_only, key, request, service, start, stop, sync};

const BOB: (&str, &str) = ("bob", "vade");
const ALICE: (&str, &str) = ("alice", "mesa");

fn from((caller, host): (&str, &str)) -> Origin {
    Origin {
        caller: caller.into(),
        peer: String::new(),
        method: "test".into(),
        host: host.into(),
    }
}

fn asked(by: (&str, &str), id: &str, what: Request, at: Moment) -> OperationRequest {
    OperationRequest {
        origin: from(by),
        ..request(id, what, at)
    }
}

fn said(by: (&str, &str), services: &[ServiceSpec], at: Moment) -> SyncRequest {
    SyncRequest {
        origin: from(by),
        ..sync(services, at)
    }
}

fn refusal<T>(result: Result<T, AcceptError>) -> String {
    match result {
        Err(error @ AcceptError::Overwrites(_)) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("somebody's intent was overwritten unasked"),
    }
}

/// Desired state, generation, origin, and whether its service names it.
fn intent(node: &Node, text: &str) -> (DesiredState, u64, String, bool) {
    let record = node.db.load(&key(text)).unwrap().record.unwrap();
    (
        record.desired,
        record.generation,
        record.intent_by,
        !record.orphaned,
    )
}

/// A node on which bob has said two components.
fn bobs() -> Node {
    let mut node = Node::new();
    let two = service("a", &[("b", "1"), ("c", "1")]);
    node.db.sync(&said(BOB, &[two], at(0))).unwrap();
    node
}

#[test]
fn what_somebody_else_said_is_overwritten_by_force_only() {
    let inactive = ServiceSpec {
        active: false,
        ..service("a", &[("b", "1"), ("c", "1")])
    };
    for (mine, named) in [
        (
            service("a", &[("b", "2"), ("c", "1")]),
            "a/b (its spec) was changed by bob@vade 2 h ago",
        ),
        (
            service("a", &[("b", "1")]),
            "a/c (that it exists) was changed by bob@vade 2 h ago",
        ),
        (
            inactive,
            "a/b (what is wanted of it) was changed by bob@vade 2 h ago",
        ),
    ] {
        let mut node = bobs();
        let before = (intent(&node, "a/b"), intent(&node, "a/c"));
        let other = service("z", &[("z", "1")]);
        let mut sync = said(ALICE, &[other, mine], at(7_300_000));
        let why = refusal(node.db.sync(&sync));
        assert!(why.contains(named), "{why}");
        assert!(why.contains("--force"), "{why}");
        let now = (intent(&node, "a/b"), intent(&node, "a/c"));
        assert_eq!(now, before, "nothing of a refused sync is stored");
        assert!(node.db.load(&key("z/z")).unwrap().record.is_none());

        sync.force = true;
        node.db.sync(&sync).unwrap();
        assert_ne!((intent(&node, "a/b"), intent(&node, "a/c")), before);
    }
}

#[test]
fn whoever_overwrote_it_is_its_origin_from_then_on() {
    let mut node = bobs();
    let mine = service("a", &[("b", "2"), ("c", "1")]);
    let mut first = said(ALICE, std::slice::from_ref(&mine), at(1));
    first.force = true;
    node.db.sync(&first).unwrap();
    assert_eq!(intent(&node, "a/b").2, "alice@mesa");
    assert_eq!(intent(&node, "a/c").2, "bob@vade", "that one is as he said");

    let newer = service("a", &[("b", "3"), ("c", "1")]);
    let again = said(ALICE, std::slice::from_ref(&newer), at(2));
    node.db.sync(&again).unwrap();
    let why = refusal(node.db.sync(&said(BOB, &[mine], at(3))));
    assert!(why.contains("a/b (its spec) was changed by alice@mesa"));
}

#[test]
fn nobody_is_asked_about_what_is_his_own_is_the_same_or_is_new() {
    let mut node = bobs();
    let two = service("a", &[("b", "1"), ("c", "1")]);
    let same = said(ALICE, &[two], at(1));
    assert!(!node.db.sync(&same).unwrap().services[0].changed);
    let more = service("a", &[("b", "1"), ("c", "1"), ("d", "1")]);
    node.db.sync(&said(ALICE, &[more], at(2))).unwrap();
    let own = service("a", &[("b", "2"), ("c", "1"), ("d", "1")]);
    node.db.sync(&said(BOB, &[own], at(3))).unwrap();
}

#[test]
fn intent_of_which_nobody_noted_the_origin_may_be_overwritten() {
    let mut node = bobs();
    let sql = "UPDATE components SET intent_by = ''";
    node.sql().execute(sql, []).unwrap();
    let mine = service("a", &[("b", "2"), ("c", "2")]);
    node.db.sync(&said(ALICE, &[mine], at(1))).unwrap();
}

#[test]
fn the_same_caller_on_another_host_is_another_origin() {
    let mut node = bobs();
    let mine = service("a", &[("b", "2"), ("c", "1")]);
    let elsewhere = said((BOB.0, "laptop"), &[mine], at(1));
    assert!(refusal(node.db.sync(&elsewhere)).contains("bob@vade"));
}

#[test]
fn a_stop_is_not_undone_by_somebody_elses_deploy_unasked() {
    let mut node = bobs();
    let wanted = service("a", &[("b", "1"), ("c", "1")]);
    let stopped = asked(ALICE, "stop1", stop("a"), at(1));
    node.db.accept(&stopped).unwrap();
    let mut again = asked(BOB, "depl1", deploy(&wanted), at(2));
    let why = refusal(node.db.accept(&again));
    assert!(why.contains("a/b (what is wanted of it) was changed by alice@mesa"));
    assert_eq!(intent(&node, "a/b").0, DesiredState::Stopped);
    again.force = true;
    node.db.accept(&again).unwrap();

    // A start says itself that what is wanted changes.
    let stopped = asked(ALICE, "stop2", stop("a"), at(3));
    node.db.accept(&stopped).unwrap();
    node.db
        .accept(&asked(BOB, "star1", start("a"), at(4)))
        .unwrap();
}

#[test]
fn a_deploy_of_one_component_is_asked_about_that_one_only() {
    let mut node = bobs();
    let mine = service("a", &[("b", "2"), ("c", "2"), ("d", "1")]);
    let new = asked(ALICE, "depl1", deploy_only(&mine, "d"), at(1));
    node.db.accept(&new).unwrap();
    let his = asked(ALICE, "depl2", deploy_only(&mine, "b"), at(2));
    let why = refusal(node.db.accept(&his));
    assert!(why.contains("a/b") && !why.contains("a/c"), "{why}");
}
