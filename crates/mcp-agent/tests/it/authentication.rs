//! The one layer: every RPC that there is, and some that there are not, with every kind of bad
//! credential, under both providers. None is let in, each gets its code, and each is in the audit
//! log.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_identity::Token;
use mcp_identity::double::IdentityService;
use mcp_registry::TokenSelector;
use serde_json::Value;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Channel;
use tower::{Service as _, ServiceExt as _};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::{Node, now};

const HOUR: Duration = Duration::from_hours(1);

/// What this project logs in one test, at the level that says most.
#[derive(Clone, Default)]
struct AuditLog(Arc<Mutex<Vec<u8>>>);

impl Write for AuditLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl AuditLog {
    /// Begins to record what this thread logs: that of the test's node.
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || writer.clone())
            .finish()
            .with(
                Targets::new()
                    .with_target("mcp_agent", LevelFilter::TRACE)
                    .with_target("mcp_identity", LevelFilter::TRACE)
                    .with_target("audit", LevelFilter::INFO),
            );
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The calls since the last time; `secrets` are in none of the lines.
    fn calls(&self, secrets: &[&Token]) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        for secret in secrets {
            assert!(!text.contains(secret.secret()), "{text}");
        }
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|record: &Value| record["target"] == mcp_agent::gate::AUDIT_TARGET)
            .collect()
    }
}

/// Paths of every RPC of every service behind the port, read from their descriptors, and of some
/// that are not there.
fn paths() -> Vec<String> {
    let published = [
        mcp_proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut paths: Vec<String> = published
        .into_iter()
        .flat_map(mcp_proto::descriptor::methods_of)
        .map(|method| method.path())
        .collect();
    for known in [
        "/mcp.v1.McpAgentService/Deploy",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        assert!(paths.iter().any(|path| path == known), "{known}: {paths:?}");
    }
    assert!(paths.len() >= 22, "{paths:?}");
    paths.extend(
        [
            "/mcp.v1.LocalAdminService/IssueToken",
            "/mcp.v1.LocalAdminService/RevokeTokens",
            "/mcp.v1.LocalAdminService/ListTokens",
            "/mcp.v1.McpAgentService/NoSuchMethod",
            "/no.such.Service/Method",
            "/",
        ]
        .map(str::to_owned),
    );
    paths
}

/// Somebody who is not to be let in.
struct Stranger {
    what: &'static str,
    /// The values of the authorization header.
    shows: Vec<Vec<u8>>,
    code: Code,
    words: &'static str,
}

impl Stranger {
    fn new(what: &'static str, shows: &[&[u8]], words: &'static str) -> Self {
        Self {
            what,
            shows: shows.iter().map(|value| value.to_vec()).collect(),
            code: Code::Unauthenticated,
            words,
        }
    }

    fn with(what: &'static str, token: &str, words: &'static str) -> Self {
        Self::new(what, &[bearer(token).as_bytes()], words)
    }

    fn and_code(self, code: Code) -> Self {
        Self { code, ..self }
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Who is refused before anybody is asked, whatever the token of `admin` is good for.
fn malformed(admin: &Token) -> Vec<Stranger> {
    let token = admin.secret();
    let whole = bearer(token);
    let new = Stranger::new;
    let charset = "a character that no token has";
    vec![
        new("no header", &[], "no token"),
        new("an empty header", &[b""], "must read: Bearer"),
        new("blanks", &[b"   "], "must read: Bearer"),
        new(
            "another scheme",
            &[b"Basic YWxpY2U6cHc="],
            "must read: Bearer",
        ),
        new("no scheme", &[token.as_bytes()], "must read: Bearer"),
        new(
            "no blank",
            &[format!("Bearer{token}").as_bytes()],
            "must read: Bearer",
        ),
        new(
            "a tab",
            &[format!("Bearer\t{token}").as_bytes()],
            "must read: Bearer",
        ),
        new("no token", &[b"Bearer"], "no token after Bearer"),
        new(
            "the token twice",
            &[whole.as_bytes(), whole.as_bytes()],
            "more than one",
        ),
        new(
            "a bad one first",
            &[b"Bearer x", whole.as_bytes()],
            "more than one",
        ),
        new(
            "a bad one last",
            &[whole.as_bytes(), b"Basic x"],
            "more than one",
        ),
        new(
            "two in one",
            &[format!("{whole},{whole}").as_bytes()],
            charset,
        ),
        new(
            "two blanks",
            &[format!("Bearer  {token}").as_bytes()],
            charset,
        ),
        new(
            "a word behind it",
            &[format!("{whole} x").as_bytes()],
            charset,
        ),
        new("other bytes", &[b"Bearer \xff\xfe\x80"], charset),
        new(
            "quotes",
            &[format!("Bearer \"{token}\"").as_bytes()],
            charset,
        ),
        new(
            "eight KiB",
            &[bearer(&"a".repeat(8192)).as_bytes()],
            "longer than",
        ),
        new(
            "it and more",
            &[bearer(&format!("{token}{}", "a".repeat(4096))).as_bytes()],
            "longer",
        ),
    ]
}

struct Answer {
    code: Option<Code>,
    message: String,
    level: Option<String>,
}

/// Calls a method by its path, with these values of the authorization header, and an empty body.
async fn call(channel: &mut Channel, path: &str, authorization: &[Vec<u8>]) -> Answer {
    let mut request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for value in authorization {
        request = request.header("authorization", value.as_slice());
    }
    let request = request.body(Body::empty()).unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    let header = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
    Answer {
        code: header("grpc-status").map(|code| Code::from_bytes(code.as_bytes())),
        message: header("grpc-message")
            .unwrap_or_default()
            .replace("%20", " "),
        level: header("mcp-api-level"),
    }
}

/// A node with its log, and what its callers show.
struct Matrix {
    node: Node,
    channel: Channel,
    log: AuditLog,
    refusals: u64,
    secrets: Vec<Token>,
    _log: DefaultGuard,
}

impl Matrix {
    async fn of(node: Node, secrets: &[&Token]) -> Self {
        let (log, guard) = AuditLog::start();
        Self {
            channel: node.channel().await,
            node,
            log,
            refusals: 0,
            secrets: secrets.iter().map(|&secret| secret.clone()).collect(),
            _log: guard,
        }
    }

    fn calls(&self) -> Vec<Value> {
        self.log.calls(&self.secrets.iter().collect::<Vec<_>>())
    }

    /// Nobody of them gets anything from any of the RPCs, and each attempt is on record.
    async fn refuses(&mut self, strangers: &[Stranger]) {
        self.calls();
        for path in paths() {
            for stranger in strangers {
                let at = format!("{path} with {}", stranger.what);
                let answer = call(&mut self.channel, &path, &stranger.shows).await;
                assert_eq!(answer.code, Some(stranger.code), "{at}: {}", answer.message);
                assert!(
                    answer.message.contains(stranger.words),
                    "{at}: {}",
                    answer.message
                );
                assert_eq!(answer.level.as_deref(), Some("1"), "{at}");
                self.refusals += 1;
                let calls = self.calls();
                assert_eq!(calls.len(), 1, "{at}: {calls:?}");
                assert_eq!(calls[0]["message"], "rpc refused", "{at}");
                assert_eq!(calls[0]["method"], path, "{at}");
                assert_eq!(calls[0]["outcome"], format!("{:?}", stranger.code), "{at}");
                assert_eq!(calls[0]["refusals"], self.refusals, "{at}");
            }
        }
        assert!(self.node.fake.mutations().is_empty());
        let registry = self.node.running.registry();
        assert!(registry.services().await.unwrap().is_empty());
        assert_eq!(registry.audits(10).await.unwrap(), []);
    }

    /// With this token the gate is open, however the scheme is spelled: it was the gate that
    /// refused the others, and not the lack of a proper request.
    async fn admits(&mut self, token: &Token, provider: &str) {
        for path in paths() {
            for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
                let shows = format!("{scheme} {}", token.secret()).into_bytes();
                let answer = call(&mut self.channel, &path, &[shows]).await;
                let refused = [Code::Unauthenticated, Code::PermissionDenied].map(Some);
                assert!(
                    !refused.contains(&answer.code),
                    "{path}: {}",
                    answer.message
                );
                assert_eq!(answer.level.as_deref(), Some("1"), "{path}");
                let calls = self.calls();
                assert_eq!(calls.len(), 1, "{path}: {calls:?}");
                assert_eq!(calls[0]["message"], "rpc", "{path}");
                assert_eq!(calls[0]["provider"], provider, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn every_rpc_is_refused_to_every_caller_who_may_not() {
    let (node, other) = (Node::start().await, Node::start().await);
    let identity_service = IdentityService::start();
    let token = async |subject, role, valid| -> Token {
        node.issue(subject, role, valid).await.parse().unwrap()
    };
    let admin = token("root", "admin", HOUR).await;
    let viewer = token("eve", "viewer", HOUR).await;
    let nearly = token("mallory", "Admin", HOUR).await;
    let expired = token("late", "admin", Duration::ZERO).await;
    let revoked = token("gone", "admin", HOUR).await;
    let registry = node.running.registry();
    let selector = TokenSelector::Id("gone".to_owned());
    registry.revoke_tokens(selector, now()).await.unwrap();
    let elsewhere: Token = other.issue("root", "admin", HOUR).await.parse().unwrap();
    let platform = identity_service.issue("root", &["admin"], HOUR);

    let text = admin.secret();
    let (unknown, form) = ("does not know", "not a token of this node");
    let (one, with) = (Token::generate(), Stranger::with);
    let mut strangers = malformed(&admin);
    strangers.extend([
        with("an unknown token", one.secret(), unknown),
        with("another node's token", elsewhere.secret(), unknown),
        with("a token of the identity service", platform.secret(), form),
        with("a word", "abc", form),
        with("its hash", &admin.hash().to_string(), form),
        with("a letter too many", &format!("{text}0"), form),
        with("a letter too few", &text[..text.len() - 1], form),
        with("capitals", &text.to_uppercase(), form),
        with("an expired token", expired.secret(), "expired"),
        with("a revoked token", revoked.secret(), "revoked"),
        with("another role", viewer.secret(), "the role admin").and_code(Code::PermissionDenied),
        with("nearly the role", nearly.secret(), "the role admin").and_code(Code::PermissionDenied),
    ]);
    let secrets = [
        &admin, &viewer, &nearly, &expired, &revoked, &elsewhere, &platform, &one,
    ];
    let mut matrix = Matrix::of(node, &secrets).await;
    matrix.refuses(&strangers).await;
    matrix.admits(&admin, "local").await;
    assert_eq!(identity_service.counts().all, 0);
}

#[tokio::test]
async fn every_rpc_is_refused_to_everybody_whom_the_identity_service_does_not_vouch_for() {
    let service = IdentityService::start();
    let node = Node::start_with(|config| {
        config.auth.provider = mcp_config::agent::Provider::Mcias;
        config.mcias.server_url = Some(service.url());
        config.mcias.ca_cert = Some(service.ca_cert());
    })
    .await;
    let admin = service.issue("root", &["operator", "admin"], HOUR);
    let viewer = service.issue("eve", &["viewer"], HOUR);
    let nearly = service.issue("mallory", &["Admin", "admins", "x:admin"], HOUR);
    let nobody = service.issue("nobody", &[], HOUR);
    let expired = service.issue("late", &["admin"], Duration::ZERO);
    let revoked = service.issue("gone", &["admin"], HOUR);
    service.revoke(&revoked);
    // Issued by this very node, and good for it under the other provider.
    let own: Token = node.issue("root", "admin", HOUR).await.parse().unwrap();

    let text = admin.secret();
    let (rejected, role) = ("does not accept the token", "the role admin");
    let (one, with) = (Token::generate(), Stranger::with);
    let mut unasked = malformed(&admin);
    unasked.extend([
        with("the node's own token", own.secret(), "a node's own token"),
        with("some node's token", one.secret(), "a node's own token"),
    ]);
    let asked_about = [
        with("an unknown token", "a.b.c", rejected),
        with("a letter too many", &format!("{text}0"), rejected),
        with("a letter too few", &text[..text.len() - 1], rejected),
        with("capitals", &text.to_uppercase(), rejected),
        with("an expired token", expired.secret(), rejected),
        with("a revoked token", revoked.secret(), rejected),
        with("another role", viewer.secret(), role).and_code(Code::PermissionDenied),
        with("nearly the role", nearly.secret(), role).and_code(Code::PermissionDenied),
        with("no role", nobody.secret(), role).and_code(Code::PermissionDenied),
    ];
    let secrets = [
        &admin, &viewer, &nearly, &nobody, &expired, &revoked, &own, &one,
    ];
    let mut matrix = Matrix::of(node, &secrets).await;
    matrix.refuses(&unasked).await;
    assert_eq!(service.counts().all, 0, "there was nothing to ask");
    matrix.refuses(&asked_about).await;
    matrix.admits(&admin, "mcias").await;

    // Fails closed.
    service.down();
    let new = service.issue("root", &["admin"], HOUR);
    let cannot = with(
        "a token while the service is down",
        new.secret(),
        "cannot be checked now",
    );
    matrix.refuses(&[cannot.and_code(Code::Unavailable)]).await;
}
