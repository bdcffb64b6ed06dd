//! Tokens of the identity service, against one that does as it is told.

mod clocks;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use mcp_identity::double::{Behaviour, IdentityService};
use mcp_identity::mcias::ANSWER_LIMIT;
use mcp_identity::{
    Account, CaSource, Caller, Mcias, MciasVerifier, Provider, Token, Verifier, VerifyError,
};

use clocks::Clocks;

const HOUR: Duration = Duration::from_hours(1);
const YEAR: i64 = 366 * 24 * 3600 * 1000;

/// A service, a verifier that asks it, and both clocks in the test's hand.
struct World {
    service: IdentityService,
    verifier: MciasVerifier,
    clocks: Arc<Clocks>,
}

impl World {
    /// With so much time for an answer that no slow machine is taken for a slow service.
    fn new() -> Self {
        Self::within(HOUR)
    }

    fn within(limit: Duration) -> Self {
        let service = IdentityService::start();
        let clocks = Arc::new(Clocks::of_today());
        let verifier = verifier(&service, &service, limit, &clocks);
        Self {
            service,
            verifier,
            clocks,
        }
    }

    /// Lets the service vouch for any token, each with this much life left by the agent's clock.
    fn vouch(&self, left: Duration) {
        let expires = self.clocks.now().wall.plus(left).timestamp();
        self.service.behave(Behaviour::Saying(format!(
            "{{\"valid\":true,\"username\":\"bob\",\"expires_at\":\"{expires}\"}}"
        )));
    }

    fn admin(&self) -> Token {
        self.service.issue("bob", &["admin"], HOUR)
    }

    async fn verify(&self, token: &Token) -> Result<Caller, VerifyError> {
        self.verifier.verify(token.secret()).await
    }

    fn asked(&self) -> usize {
        self.service.counts().validations
    }
}

/// Asks `service`, and believes whom the authority of `believed` vouches for.
fn verifier(
    service: &IdentityService,
    believed: &IdentityService,
    limit: Duration,
    clocks: &Arc<Clocks>,
) -> MciasVerifier {
    let ca = CaSource::File(believed.ca_cert());
    let client = Mcias::new(&service.url(), Some(&ca), limit).unwrap();
    let clocks = Arc::clone(clocks);
    MciasVerifier::new(client, Arc::new(move || clocks.now()))
}

fn is_unavailable(result: &Result<Caller, VerifyError>) -> bool {
    matches!(result, Err(VerifyError::Unavailable(_)))
}

#[tokio::test]
async fn the_service_says_who_holds_a_token_and_with_which_roles() {
    let world = World::new();
    for (roles, admin) in [
        (&["admin", "x"][..], true),
        (&["viewer"], false),
        (&[], false),
    ] {
        let token = world.service.issue("bob", roles, HOUR);
        let caller = world.verify(&token).await.unwrap();
        assert_eq!(caller.subject.as_str(), "bob");
        assert_eq!(caller.provider, Provider::Mcias);
        assert_eq!(caller.account, Some(Account::Human));
        let known: Vec<_> = caller.roles.iter().map(ToString::to_string).collect();
        assert_eq!(known, roles);
        assert_eq!(caller.is_admin(), admin, "{roles:?}");
    }
}

#[tokio::test]
async fn a_verdict_holds_for_thirty_seconds_and_is_never_prolonged() {
    let world = World::new();
    let token = world.admin();
    world.verify(&token).await.unwrap();
    // Used all the time, up to the last millisecond.
    for _ in 0..29 {
        world.clocks.pass(1000);
        world.verify(&token).await.unwrap();
    }
    world.clocks.pass(999);
    world.verify(&token).await.unwrap();
    assert_eq!(world.asked(), 1);
    world.clocks.pass(1);
    world.verify(&token).await.unwrap();
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn each_of_many_revocations_counts_within_thirty_seconds() {
    let world = World::new();
    let tokens: Vec<Token> = (0..40).map(|_| world.admin()).collect();
    for (n, token) in tokens.iter().enumerate() {
        world.verify(token).await.unwrap();
        world.service.revoke(token);
        world.clocks.pass(i64::try_from(n).unwrap() % 7);
        // Still let in: it was asked about a moment ago.
        world.verify(token).await.unwrap();
    }
    world.clocks.pass(30_000);
    for token in &tokens {
        let refused = world.verify(token).await.unwrap_err();
        assert!(matches!(refused, VerifyError::Rejected), "{refused}");
    }
}

#[tokio::test]
async fn the_window_begins_with_the_request_and_not_with_the_answer() {
    let world = World::new();
    let token = world.admin();
    world.service.behave(Behaviour::Silent);
    let waiting = world.verify(&token);
    let meanwhile = async {
        world.service.came(|counts| counts.validations == 1).await;
        world.clocks.pass(4000);
        world.service.behave(Behaviour::Honest);
    };
    let (first, ()) = futures::join!(waiting, meanwhile);
    first.unwrap();
    world.clocks.pass(25_999);
    world.verify(&token).await.unwrap();
    assert_eq!(world.asked(), 1);
    world.clocks.pass(1);
    world.verify(&token).await.unwrap();
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn no_verdict_outlives_its_token() {
    let world = World::new();
    let token = world.admin();
    world.vouch(Duration::from_secs(10));
    world.verify(&token).await.unwrap();
    world.clocks.pass(9_999);
    world.verify(&token).await.unwrap();
    assert_eq!(world.asked(), 1);
    world.clocks.pass(1);
    let refused = world.verify(&token).await.unwrap_err();
    assert!(matches!(refused, VerifyError::Expired { .. }), "{refused}");
}

#[tokio::test]
async fn a_wall_clock_that_jumps_prolongs_no_verdict() {
    for years in [-50, -1, 1, 50] {
        let world = World::new();
        let token = world.admin();
        world.vouch(Duration::from_secs(20));
        world.verify(&token).await.unwrap();
        world.clocks.jump(years * YEAR);
        if years > 0 {
            let refused = world.verify(&token).await.unwrap_err();
            assert!(
                matches!(refused, VerifyError::Expired { .. }),
                "{years}: {refused}"
            );
        }
        // Its twenty seconds are over on the clock that does not jump.
        world.service.behave(Behaviour::Status(401));
        world.clocks.pass(20_000);
        let refused = world.verify(&token).await.unwrap_err();
        assert!(
            matches!(refused, VerifyError::Rejected),
            "{years}: {refused}"
        );
    }
}

#[tokio::test]
async fn callers_with_one_new_token_wait_for_one_request() {
    let world = World::new();
    let token = world.admin();
    world.service.behave(Behaviour::Silent);
    let callers = join_all((0..64).map(|_| world.verify(&token)));
    let meanwhile = async {
        world.service.came(|counts| counts.validations > 0).await;
        world.service.behave(Behaviour::Honest);
    };
    let (answers, ()) = futures::join!(callers, meanwhile);
    for answer in answers {
        answer.unwrap();
    }
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn a_caller_who_leaves_takes_nothing_from_the_others() {
    let world = World::new();
    let token = world.admin();
    world.service.behave(Behaviour::Silent);
    let mut first = Box::pin(world.verify(&token));
    let second = world.verify(&token);
    // The first one has begun the request.
    assert!(first.as_mut().now_or_never().is_none());
    let meanwhile = async {
        tokio::select! {
            _ = &mut first => panic!("it was not answered"),
            () = world.service.came(|counts| counts.validations > 0) => {}
        }
        drop(first);
        world.service.behave(Behaviour::Honest);
    };
    let (answer, ()) = futures::join!(second, meanwhile);
    answer.unwrap();
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn when_all_have_left_the_next_caller_begins_anew() {
    let world = World::new();
    let token = world.admin();
    world.service.behave(Behaviour::Silent);
    tokio::select! {
        _ = world.verify(&token) => panic!("it was not answered"),
        () = world.service.came(|counts| counts.validations == 1) => {}
    }
    world.service.behave(Behaviour::Honest);
    world.verify(&token).await.unwrap();
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn whatever_is_no_clear_answer_is_unavailable_and_not_remembered() {
    let world = World::new();
    // Trusted as much as the first place: nothing but the refusal to follow keeps the token here.
    let elsewhere = format!("{}/elsewhere", world.service.url());
    let saying = |text: &str| Behaviour::Saying(text.to_owned());
    let expires = "\"expires_at\":\"2999-01-01T00:00:00Z\"";
    let wrong = [
        Behaviour::Status(500),
        Behaviour::Status(503),
        Behaviour::Status(404),
        Behaviour::Status(403),
        Behaviour::Status(204),
        Behaviour::Redirecting(301, elsewhere.clone()),
        Behaviour::Redirecting(307, elsewhere.clone()),
        Behaviour::Redirecting(308, elsewhere.clone()),
        Behaviour::Endless,
        saying(""),
        saying("true"),
        saying("[]"),
        saying("<html>welcome</html>"),
        saying("{\"valid\":true"),
        saying("{}"),
        saying("{\"valid\":\"true\"}"),
        saying("{\"valid\":1}"),
        saying("{\"valid\":true,\"username\":\"bob\",\"roles\":[\"admin\"]}"),
        saying(
            "{\"valid\":true,\"username\":\"bob\",\"roles\":[\"admin\"],\"expires_at\":\"soon\"}",
        ),
        saying(&format!(
            "{{\"valid\":true,\"username\":\"bob\",\"roles\":\"admin\",{expires}}}"
        )),
        saying(&format!(
            "{{\"valid\":true,\"roles\":[\"admin\"],{expires}}}"
        )),
        saying(&format!(
            "{{\"valid\":true,\"username\":\"b o b\",\"roles\":[\"admin\"],{expires}}}"
        )),
        // Whom the node's own kernel vouches for, and nobody else.
        saying(&format!(
            "{{\"valid\":true,\"username\":\"local:uid:0\",\"roles\":[\"admin\"],{expires}}}"
        )),
        saying(&format!(
            "{{\"valid\":true,\"username\":\"bob\",{expires}}} {{}}"
        )),
        saying(&format!(
            "{{\"valid\":false,\"valid\":true,\"username\":\"bob\",{expires}}}"
        )),
    ];
    for behaviour in wrong {
        let token = world.admin();
        world.service.behave(behaviour.clone());
        let before = world.service.counts().all;
        for _ in 0..2 {
            let answer = world.verify(&token).await;
            assert!(is_unavailable(&answer), "{behaviour:?}: {answer:?}");
        }
        let all = world.service.counts().all;
        assert_eq!(all, before + 2, "one request each: {behaviour:?}");
        world.service.behave(Behaviour::Honest);
        world.verify(&token).await.unwrap();
    }
}

#[tokio::test]
async fn a_service_that_is_down_is_unavailable_until_it_is_back() {
    let world = World::new();
    let (token, known) = (world.admin(), world.admin());
    world.verify(&known).await.unwrap();
    world.service.down();
    assert!(is_unavailable(&world.verify(&token).await));
    world.clocks.pass(29_999);
    world.verify(&known).await.unwrap();
    world.clocks.pass(1);
    assert!(
        is_unavailable(&world.verify(&known).await),
        "never extended"
    );
    world.service.up();
    world.verify(&known).await.unwrap();
    world.verify(&token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_is_unavailable_at_the_deadline() {
    for behaviour in [Behaviour::Silent, Behaviour::Stalling] {
        let world = World::within(ANSWER_LIMIT);
        world.service.behave(behaviour);
        let answer = world.verify(&world.admin()).await;
        assert!(is_unavailable(&answer), "{answer:?}");
    }
}

#[tokio::test]
async fn a_service_with_another_certificate_gets_no_token() {
    let world = World::new();
    let other = IdentityService::start();
    let verifier = verifier(&world.service, &other, HOUR, &world.clocks);
    let answer = verifier.verify(world.admin().secret()).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    assert_eq!(world.service.counts().all, 0);
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let world = World::new();
    let token = world.admin();
    world.service.behave(Behaviour::Status(401));
    for _ in 0..2 {
        let refused = world.verify(&token).await.unwrap_err();
        assert!(matches!(refused, VerifyError::Rejected), "{refused}");
    }
    world.service.behave(Behaviour::Honest);
    world.verify(&token).await.unwrap();
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn a_nodes_own_token_is_never_sent_to_the_service() {
    let world = World::new();
    let own = Token::generate();
    for text in [own.secret(), &format!("{}x", own.secret()), "mcp_"] {
        let refused = world.verifier.verify(text).await.unwrap_err();
        assert!(matches!(refused, VerifyError::NodeToken), "{refused}");
    }
    assert_eq!(world.service.counts().all, 0);
}

#[tokio::test]
async fn a_flood_of_unknown_tokens_is_not_passed_on_at_once() {
    let world = World::new();
    world.service.behave(Behaviour::Silent);
    let tokens: Vec<String> = (0..60).map(|n| format!("unknown-{n}")).collect();
    let callers = join_all(tokens.iter().map(|token| world.verifier.verify(token)));
    let meanwhile = async {
        world.service.came(|counts| counts.validations >= 16).await;
        // Whatever was sent with the first has come by the time that a later one has.
        let other = verifier(&world.service, &world.service, HOUR, &world.clocks);
        let before = world.asked();
        tokio::select! {
            _ = other.verify("later") => panic!("it was not answered"),
            () = world.service.came(|counts| counts.validations > before) => {}
        }
        assert!(world.asked() <= 17);
        world.service.behave(Behaviour::Honest);
    };
    let (answers, ()) = futures::join!(callers, meanwhile);
    for answer in answers {
        let refused = answer.unwrap_err();
        assert!(matches!(refused, VerifyError::Rejected), "{refused}");
    }
    assert_eq!(world.asked(), 61);
}

#[tokio::test]
async fn no_error_holds_the_token() {
    let world = World::new();
    let token = world.admin();
    let quoting = format!("\"{}\"", token.secret());
    let field = format!("{{\"valid\":{quoting}}}");
    for behaviour in [
        Behaviour::Status(500),
        Behaviour::Status(401),
        Behaviour::Saying(quoting),
        Behaviour::Saying(field),
        Behaviour::Redirecting(307, format!("https://{}.example", token.secret())),
    ] {
        world.service.behave(behaviour);
        let error = world.verify(&token).await.unwrap_err();
        let first: &dyn std::error::Error = &error;
        let chain = std::iter::successors(Some(first), |error| error.source());
        let text = chain.fold(String::new(), |text, error| {
            format!("{text} {error} {error:?}")
        });
        assert!(!text.contains(token.secret()), "{text}");
    }
}
