//! The node's own tokens, from store to caller.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mcp_identity::verifier::BoxError;
use mcp_identity::{
    LocalVerifier, Provider, Role, Token, TokenHash, TokenRecord, TokenStore, Verifier, VerifyError,
};
use mcp_model::Stamp;

/// What a test can change while the verifier runs.
#[derive(Default)]
struct World {
    record: Mutex<Option<TokenRecord>>,
    broken: Mutex<bool>,
    asked: AtomicUsize,
    millis: AtomicI64,
}

#[async_trait]
impl TokenStore for World {
    /// Hands out its one record whatever is asked for: comparing is the verifier's job too.
    async fn find(&self, _: &TokenHash) -> Result<Option<TokenRecord>, BoxError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if *self.broken.lock().unwrap() {
            return Err("the disk is gone".into());
        }
        Ok(self.record.lock().unwrap().clone())
    }
}

const EXPIRES: i64 = 1_000_000;

fn world(roles: &[&str]) -> (Arc<World>, LocalVerifier, Token) {
    let token = Token::generate();
    let world = Arc::new(World::default());
    *world.record.lock().unwrap() = Some(TokenRecord {
        id: "1".into(),
        hash: token.hash(),
        subject: "bob".parse().unwrap(),
        roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
        created: Stamp::from_millis(0),
        expires: Stamp::from_millis(EXPIRES),
        revoked: None,
    });
    let clock = world.clone();
    let now = move || Stamp::from_millis(clock.millis.load(Ordering::Relaxed));
    let verifier = LocalVerifier::new(world.clone(), Arc::new(now));
    (world, verifier, token)
}

#[tokio::test]
async fn a_known_token_proves_its_subject_and_exactly_its_roles() {
    for (roles, admin) in [
        (&["admin", "x"][..], true),
        (&["operator"], false),
        (&[], false),
    ] {
        let (_, verifier, token) = world(roles);
        let caller = verifier.verify(token.secret()).await.unwrap();
        assert_eq!(caller.subject.as_str(), "bob");
        assert_eq!(caller.provider, Provider::Local);
        let expected: BTreeSet<Role> = roles.iter().map(|r| r.parse().unwrap()).collect();
        assert_eq!(caller.roles, expected);
        assert_eq!(caller.is_admin(), admin, "{roles:?}");
    }
}

#[tokio::test]
async fn a_token_is_refused_from_the_moment_it_expires() {
    let (world, verifier, token) = world(&["admin"]);
    for (now, accepted) in [(EXPIRES - 1, true), (EXPIRES, false), (EXPIRES + 1, false)] {
        world.millis.store(now, Ordering::Relaxed);
        match verifier.verify(token.secret()).await {
            Ok(_) => assert!(accepted, "{now}"),
            Err(VerifyError::Expired { at }) => {
                assert!(!accepted && at.as_millis() == EXPIRES, "{now}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_revocation_counts_from_the_next_call_whatever_its_date() {
    for revoked in [0, 500, EXPIRES * 1000] {
        let (world, verifier, token) = world(&["admin"]);
        world.millis.store(500, Ordering::Relaxed);
        assert!(verifier.verify(token.secret()).await.is_ok());
        let stamp = Stamp::from_millis(revoked);
        world.record.lock().unwrap().as_mut().unwrap().revoked = Some(stamp);
        let outcome = verifier.verify(token.secret()).await;
        assert!(matches!(outcome, Err(VerifyError::Revoked)), "{revoked}");
    }
}

#[tokio::test]
async fn a_token_that_nobody_issued_is_unknown_even_to_a_careless_store() {
    let (world, verifier, _) = world(&["admin"]);
    let other = Token::generate();
    let outcome = verifier.verify(other.secret()).await;
    assert!(
        matches!(outcome, Err(VerifyError::Unknown)),
        "the store gave another's record"
    );
    *world.record.lock().unwrap() = None;
    let outcome = verifier.verify(other.secret()).await;
    assert!(matches!(outcome, Err(VerifyError::Unknown)));
}

#[tokio::test]
async fn what_is_no_token_never_reaches_the_store() {
    let (world, verifier, token) = world(&["admin"]);
    let upper = token.secret().to_uppercase();
    let longer = format!("{}0", token.secret());
    let hash = token.hash().to_string();
    for text in ["", "x", "mcp_", &upper, &longer, &hash, " ", "mcp_\0"] {
        let outcome = verifier.verify(text).await;
        assert!(matches!(outcome, Err(VerifyError::Malformed)), "{text:?}");
    }
    assert_eq!(world.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_store_that_fails_lets_nobody_in() {
    let (world, verifier, token) = world(&["admin"]);
    assert!(verifier.verify(token.secret()).await.is_ok());
    *world.broken.lock().unwrap() = true;
    let error = verifier.verify(token.secret()).await.unwrap_err();
    assert!(matches!(error, VerifyError::Unavailable(_)), "{error:?}");
    assert!(
        !error.to_string().contains("disk"),
        "the cause is the source, not the text"
    );
}

#[tokio::test]
async fn nothing_about_a_refusal_shows_the_token() {
    let (world, verifier, token) = world(&["admin"]);
    let canary = &token.secret()[4..24];
    let mut shown = vec![format!("{verifier:?} {:?}", world.record.lock().unwrap())];
    let upper = format!("mcp_{}X", &token.secret()[4..]);
    shown.push(format!("{:?}", verifier.verify(&upper).await));
    world.millis.store(EXPIRES, Ordering::Relaxed);
    shown.push(format!("{:?}", verifier.verify(token.secret()).await));
    *world.record.lock().unwrap() = None;
    shown.push(format!("{:?}", verifier.verify(token.secret()).await));
    for text in shown {
        assert!(!text.contains(canary), "{text}");
    }
}
