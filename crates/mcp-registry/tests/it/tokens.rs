//! Tokens and audit.

use mcp_model::{Stamp, StepState};
use mcp_registry::{NewAudit, NewToken, RegistryError, TokenSelector};

use crate::support::{
    Node, START, Shorthand, at, deploy, key, origin, service, start, stop, sync, update,
};

fn token(hash: u8, id: &str, subject: &str) -> NewToken {
    NewToken {
        hash: [hash; 32],
        id: id.into(),
        subject: subject.into(),
        roles: vec!["admin".into()],
        created: Stamp::from_millis(START),
        expires: Stamp::from_millis(START + 1_000),
    }
}

#[test]
fn a_token_is_found_by_its_hash_and_revoked_by_id_or_subject() {
    let mut node = Node::new();
    for new in [
        token(1, "t1", "bob"),
        token(2, "t2", "bob"),
        token(3, "t3", "eve"),
    ] {
        node.db.insert_token(&new).unwrap();
    }
    let found = node.db.find_token(&[2; 32]).unwrap().unwrap();
    assert_eq!(
        (found.id.as_str(), found.roles.len(), found.revoked),
        ("t2", 1, None)
    );
    assert_eq!(node.db.find_token(&[9; 32]).unwrap(), None);

    let (first, later) = (at(1).wall, at(2).wall);
    let revoke = |node: &mut Node, which, at| node.db.revoke_tokens(&which, at).unwrap();
    assert_eq!(
        revoke(&mut node, TokenSelector::Id("t1".into()), first),
        ["t1"]
    );
    assert_eq!(
        revoke(&mut node, TokenSelector::Subject("bob".into()), later),
        ["t2"]
    );
    assert!(revoke(&mut node, TokenSelector::Id("none".into()), later).is_empty());
    let node = node.reopen();
    let revoked: Vec<_> = node
        .db
        .tokens()
        .unwrap()
        .into_iter()
        .map(|t| t.revoked)
        .collect();
    assert_eq!(revoked, [Some(first), Some(later), None]);
}

#[test]
fn a_hash_or_an_id_is_never_taken_over() {
    let mut node = Node::new();
    node.db.insert_token(&token(1, "t1", "bob")).unwrap();
    for new in [token(1, "t2", "eve"), token(2, "t1", "eve")] {
        let error = node.db.insert_token(&new).unwrap_err();
        assert!(matches!(
            error,
            RegistryError::Sql {
                operation: "store a token",
                ..
            }
        ));
    }
    assert_eq!(
        node.db.find_token(&[1; 32]).unwrap().unwrap().subject,
        "bob"
    );
}

#[test]
fn an_operation_and_its_audit_record_share_their_fate() {
    let mut node = Node::new();
    let wanted = service("a", &[("b", "1"), ("c", "1")]);
    node.db.accepted("op01", deploy(&wanted), at(0));
    let record = node.db.audits(9).unwrap().remove(0);
    assert_eq!(record.call.operation.unwrap().as_str(), "op01");
    assert_eq!(
        (record.call.origin, record.call.message.as_str()),
        (origin(), "because")
    );
    assert_eq!((record.call.object.as_str(), record.outcome), ("a", None));

    node.db.done("op01", &key("a/b"), StepState::Succeeded);
    assert_eq!(node.db.audits(9).unwrap()[0].outcome, None);
    node.db.done("op01", &key("a/c"), StepState::Failed);
    assert_eq!(
        node.db.audits(9).unwrap()[0].outcome.as_deref(),
        Some("failed")
    );

    // Without room for the record there is no operation either.
    let refuse =
        "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END";
    node.sql().execute_batch(refuse).unwrap();
    let before = node.dump();
    let request = crate::support::request("op02", stop("a"), at(1));
    assert!(node.db.accept(&request).is_err());
    assert!(
        node.db
            .sync(&sync(&[service("z", &[("z", "1")])], at(1)))
            .is_err()
    );
    assert_eq!(node.dump(), before);
}

#[test]
fn after_a_crash_only_what_no_operation_continues_is_interrupted() {
    let mut node = Node::new();
    node.db
        .accepted("op01", deploy(&service("a", &[("b", "1")])), at(0));
    node.db.step(&update("op01", &key("a/b"))).unwrap();
    let call = NewAudit {
        at: at(0).wall,
        origin: origin(),
        operation: None,
        object: "t1".into(),
        message: String::new(),
    };
    let open = node.db.audit(&call).unwrap();
    let done = node.db.audit(&call).unwrap();
    node.db.audit_outcome(done, "issued", at(1).wall).unwrap();

    let mut node = node.reopen();
    assert_eq!(node.db.interrupt_audits(at(2).wall).unwrap(), 1);
    let outcomes: Vec<_> = node
        .db
        .audits(9)
        .unwrap()
        .into_iter()
        .map(|r| (r.id, r.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            (done, Some("issued".into())),
            (open, Some("interrupted".into())),
            (1, None), // the operation goes on
        ]
    );
    node.db.done("op01", &key("a/b"), StepState::Succeeded);
    node.db.accepted("op02", start("a"), at(3));
    assert_eq!(
        node.db
            .audits(9)
            .unwrap()
            .last()
            .unwrap()
            .outcome
            .as_deref(),
        Some("succeeded")
    );
}
