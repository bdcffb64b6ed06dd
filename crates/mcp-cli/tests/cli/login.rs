//! Logging in, against an identity service that does as it is told.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use mcp_identity::Token;
use mcp_identity::double::{Behaviour, IdentityService};
use rustix::termios::LocalModes;
use tokio::io::AsyncWriteExt as _;

use crate::double::{Double, Script};
use crate::snapshot;
use crate::terminal;
use crate::world::{Run, World, finish, token};

const PASSWORD: &str = "correct horse \"battery\" staple\\ ";

/// A workstation that knows an identity service.
struct Desk {
    world: World,
    service: IdentityService,
}

impl Desk {
    fn new() -> Self {
        let (world, service) = (World::new(), IdentityService::start());
        service.account("bob", PASSWORD, &["admin"]);
        world.append(&format!(
            "[mcias]\nserver_url = \"{}\"\nca_cert = \"{}\"\n",
            service.url(),
            service.ca_cert().display()
        ));
        Self { world, service }
    }

    fn token_file(&self) -> PathBuf {
        self.world.home().join(".config/mcp/token")
    }

    fn stored(&self) -> Option<String> {
        fs::read_to_string(self.token_file()).ok()
    }

    /// A file of mode 0600 with the password.
    fn password_file(&self, text: &str) -> String {
        let file = self.world.home().join("password");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        file.display().to_string()
    }

    /// Logs in as bob with the password in a file; nothing that is said holds a secret.
    async fn login(&self) -> Run {
        let file = self.password_file(&format!("{PASSWORD}\n"));
        let run = self
            .world
            .mcp(&["login", "-v", "--username", "bob", "--password-file", &file])
            .await;
        self.is_discreet(&run);
        run
    }

    /// Runs the binary with something on its standard input.
    async fn feed(&self, args: &[&str], input: &str) -> Run {
        let mut child = self
            .world
            .command(args)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Who does not read it closes it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let run = finish(child).await;
        self.is_discreet(&run);
        run
    }

    #[track_caller]
    fn is_discreet(&self, run: &Run) {
        let stored = self.stored().unwrap_or_default();
        for secret in [PASSWORD.trim(), stored.trim()] {
            assert!(
                secret.is_empty() || !run.all().contains(secret),
                "{}",
                run.all()
            );
        }
    }

    fn settled(&self, text: &str) -> String {
        let text = text.replace(&self.service.ca_cert().display().to_string(), "[ca]");
        self.world.settled(&text)
    }
}

#[tokio::test]
async fn a_login_keeps_the_token_where_only_its_owner_reads_it() {
    let desk = Desk::new();
    desk.world
        .append("service_name = \"mcp-ops\"\ntags = [\"env:prod\", \"b\"]\n");
    let run = desk.login().await.expect(0);
    assert!(run.stderr.contains("logged in as bob"), "{}", run.stderr);
    assert_eq!(run.stdout, "");

    let stored = desk.stored().unwrap();
    let token: Token = stored.parse().unwrap();
    assert_eq!(stored, format!("{}\n", token.secret()));
    let mode = fs::metadata(desk.token_file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    // The folder holds what was there before and the token: no half-written file beside it.
    let names = fs::read_dir(desk.token_file().parent().unwrap()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["mcp.toml", "services", "token"]);

    let sent = desk.service.last_login().unwrap();
    let expected = serde_json::json!({
        "username": "bob", "password": PASSWORD,
        "service_name": "mcp-ops", "tags": ["env:prod", "b"],
    });
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_login_makes_its_folder_and_its_file_for_their_owner_only_whatever_the_umask() {
    for umask in ["000", "077"] {
        let desk = Desk::new();
        desk.world
            .append("[auth]\ntoken_path = \"~/kept/here/token\"\n");
        let file = desk.password_file(&format!("{PASSWORD}\n"));
        let login = ["login", "--username", "bob", "--password-file", &file];
        let mcp = desk.world.command(&login);
        let mcp = mcp.as_std();
        let mut shell = tokio::process::Command::new("sh");
        shell
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(mcp.get_program())
            .args(mcp.get_args())
            .env_clear()
            .env("HOME", desk.world.home());
        assert!(shell.status().await.unwrap().success());
        let mode = |path: &str| {
            let path = desk.world.home().join(path);
            fs::metadata(path).unwrap().permissions().mode() & 0o7777
        };
        for folder in ["kept", "kept/here"] {
            assert_eq!(mode(folder), 0o700, "{folder}, umask {umask}");
        }
        assert_eq!(mode("kept/here/token"), 0o600, "umask {umask}");
    }
}

#[tokio::test]
async fn the_stored_token_goes_to_nodes_without_one_of_their_own() {
    let desk = Desk::new();
    let rift = Double::start(
        &desk.world.folder("rift"),
        &["127.0.0.1"],
        "another",
        Script::default(),
    )
    .await;
    desk.world.append(&format!(
        "[[nodes]]\nname = \"rift\"\naddress = \"127.0.0.1:{}\"\nca_cert = \"{}\"\n",
        rift.port,
        desk.world.folder("rift").join("ca.pem").display()
    ));
    let vade = desk.world.node("vade", Script::default()).await;
    let run = desk.login().await.expect(0);
    assert!(run.stderr.contains("used for them: vade"), "{}", run.stderr);
    let run = desk.world.mcp(&["list"]).await.expect(1);
    assert!(run.stderr.contains("mcp login"), "{}", run.stderr);
    let stored = desk.stored().unwrap();
    assert_eq!(rift.tokens(), [format!("Bearer {}", stored.trim())]);
    assert_eq!(vade.tokens(), [format!("Bearer {}", token("vade"))]);
}

#[tokio::test]
async fn wrong_credentials_and_policy_are_told_apart_and_store_nothing() {
    let desk = Desk::new();
    desk.service.account("bob", "another", &["admin"]);
    let run = desk.login().await.expect(1);
    snapshot!("login_wrong", desk, run.stderr);
    desk.service.account("bob", PASSWORD, &["admin"]);
    desk.service.forbid("bob");
    let run = desk.login().await.expect(1);
    snapshot!("login_policy", desk, run.stderr);
    assert_eq!(desk.stored(), None);
}

#[tokio::test]
async fn a_service_that_does_not_answer_well_leaves_the_old_token() {
    let elsewhere = IdentityService::start();
    let desk = Desk::new();
    desk.login().await.expect(0);
    let old = desk.stored();
    let secret = "sesame-open";
    for (behaviour, words) in [
        (Behaviour::Status(500), "status 500"),
        (
            Behaviour::Redirecting(307, elsewhere.url()),
            "points elsewhere",
        ),
        (
            Behaviour::Redirecting(303, elsewhere.url()),
            "points elsewhere",
        ),
        (Behaviour::Endless, "too long"),
        (Behaviour::Saying("welcome".to_owned()), "not JSON"),
        (Behaviour::Saying(format!("\"{secret}\"")), "another type"),
        (
            Behaviour::Saying(format!("{{\"token\":\"{secret}\"}}")),
            "missing",
        ),
        (
            Behaviour::Saying(format!("{{\"token\":\"{secret}\\n\",\"expires_at\":3}}")),
            "another type",
        ),
        (
            Behaviour::Saying(
                "{\"token\":\"a b\",\"expires_at\":\"2999-01-01T00:00:00Z\"}".to_owned(),
            ),
            "the token is not one",
        ),
    ] {
        desk.service.behave(behaviour.clone());
        let run = desk.login().await.expect(1);
        assert!(run.stderr.contains(words), "{behaviour:?}: {}", run.stderr);
        assert!(!run.stderr.contains(secret), "{}", run.stderr);
        assert_eq!(desk.stored(), old, "{behaviour:?}");
    }
    assert_eq!(elsewhere.counts().all, 0, "the password went nowhere else");

    desk.service.down();
    let run = desk.login().await.expect(1);
    assert!(run.stderr.contains("cannot reach"), "{}", run.stderr);
    desk.service.up();
    desk.service.behave(Behaviour::Silent);
    let file = desk.password_file(PASSWORD);
    let args = [
        "login",
        "--username=bob",
        "--timeout=1ms",
        "--password-file",
    ];
    let run = desk
        .world
        .mcp(&[&args[..], &[&file]].concat())
        .await
        .expect(1);
    assert!(run.stderr.contains("did not answer"), "{}", run.stderr);
    assert_eq!(desk.stored(), old);
}

#[tokio::test]
async fn a_service_with_another_certificate_gets_no_password() {
    let (mut desk, other) = (Desk::new(), IdentityService::start());
    let ca = other.ca_cert();
    desk.world.env.push(("MCP_MCIAS_CA_CERT", ca.into()));
    let run = desk.login().await.expect(1);
    assert!(
        run.stderr.contains("invalid peer certificate"),
        "{}",
        run.stderr
    );
    assert_eq!(desk.service.counts().all, 0);
}

#[tokio::test]
async fn the_configured_account_logs_in_unattended() {
    let desk = Desk::new();
    let file = desk.password_file(&format!("{PASSWORD}\r\n"));
    desk.world.append(&format!(
        "[auth]\nusername = \"bob\"\npassword_file = \"{file}\"\n"
    ));
    desk.world.mcp(&["login"]).await.expect(0);
    assert!(desk.stored().is_some());
    // Its password is not tried for another account.
    let run = desk
        .world
        .mcp(&["login", "--username", "eve"])
        .await
        .expect(2);
    assert!(run.stderr.contains("no password for eve"), "{}", run.stderr);
    assert_eq!(desk.service.counts().logins, 1);
}

#[tokio::test]
async fn a_password_comes_from_standard_input_without_its_line_break() {
    let desk = Desk::new();
    let args = ["login", "--username", "bob", "--password-file", "-"];
    for end in ["", "\n", "\r\n"] {
        desk.feed(&args, &format!("{PASSWORD}{end}"))
            .await
            .expect(0);
        assert_eq!(desk.service.last_login().unwrap()["password"], PASSWORD);
    }
    let logins = desk.service.counts().logins;
    let long = "x".repeat(2000);
    for bad in ["", "\n", "two\nlines\n", "a\0b", &long] {
        let run = desk.feed(&args, bad).await.expect(2);
        assert!(run.stderr.contains("the password in -"), "{}", run.stderr);
    }
    assert_eq!(desk.service.counts().logins, logins);
}

#[tokio::test]
async fn a_password_file_that_others_can_read_is_refused() {
    let desk = Desk::new();
    let file = desk.password_file(PASSWORD);
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let args = ["login", "--username", "bob", "--password-file", &file];
    let run = desk.world.mcp(&args).await.expect(1);
    assert!(run.stderr.contains("chmod 600"), "{}", run.stderr);
    assert_eq!(desk.service.counts().all, 0);
}

#[tokio::test]
async fn without_a_terminal_nothing_is_asked() {
    let desk = Desk::new();
    for args in [&["login"][..], &["login", "--username", "bob"]] {
        let run = desk.world.mcp(args).await.expect(2);
        assert!(run.stderr.contains("--password-file"), "{}", run.stderr);
    }
    let bare = World::new();
    let run = bare.mcp(&["login", "--username", "bob"]).await.expect(2);
    assert!(run.stderr.contains("server_url"), "{}", run.stderr);
}

#[tokio::test]
async fn a_token_on_standard_input_is_kept_trimmed_and_replaces_the_old_one() {
    let mut desk = Desk::new();
    for text in ["first", "second\n", "  third \r\n"] {
        desk.feed(&["login", "--token-stdin"], text).await.expect(0);
        assert_eq!(desk.stored(), Some(format!("{}\n", text.trim())));
        let mode = fs::metadata(desk.token_file())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
    let long = "x".repeat(5000);
    for bad in ["", "\n", "two words", "two\nlines", "a\u{1b}b", &long] {
        let run = desk.feed(&["login", "--token-stdin"], bad).await.expect(2);
        assert!(
            run.stderr.contains("does not hold one token"),
            "{}",
            run.stderr
        );
    }
    let both = ["login", "--token-stdin", "--username", "bob"];
    desk.feed(&both, "fourth").await.expect(2);
    assert_eq!(desk.stored().unwrap(), "third\n");
    assert_eq!(desk.service.counts().all, 0);

    desk.world.env.push(("MCP_TOKEN", "other".into()));
    let run = desk
        .feed(&["login", "--token-stdin"], "fifth")
        .await
        .expect(0);
    assert!(
        run.stderr.contains("MCP_TOKEN is set and wins"),
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn a_token_can_be_kept_for_one_node() {
    let desk = Desk::new();
    let rift = desk.world.node("rift", Script::default()).await;
    desk.world.node("vade", Script::default()).await;
    let args = ["login", "--token-stdin", "--node", "rift"];
    desk.feed(&args, "only-for-rift\n").await.expect(0);
    assert_eq!(desk.stored(), None);
    desk.world.mcp(&["list", "--node", "rift"]).await.expect(1);
    assert_eq!(rift.tokens(), ["Bearer only-for-rift"]);
    let vade = fs::read_to_string(desk.world.folder("vade").join("token")).unwrap();
    assert_eq!(vade.trim(), token("vade"));
}

#[test]
fn on_a_terminal_both_are_asked_for_and_the_password_does_not_show() {
    let desk = Desk::new();
    let (mut child, mut ours) = terminal::run(&desk.world, &["login"]);
    let mut seen = String::new();
    let mut until = |ours: &mut File, words: &str| {
        let mut bytes = [0; 512];
        while !seen.contains(words) {
            let count = ours.read(&mut bytes).unwrap();
            seen += &String::from_utf8_lossy(&bytes[..count]);
        }
        seen.clone()
    };
    until(&mut ours, "Username:");
    ours.write_all(b"bob\n").unwrap();
    until(&mut ours, "Password of bob:");
    // The question comes before the terminal is told not to show the answer.
    while rustix::termios::tcgetattr(&ours)
        .unwrap()
        .local_modes
        .contains(LocalModes::ECHO)
    {
        std::thread::yield_now();
    }
    ours.write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    let seen = until(&mut ours, "logged in as bob");
    assert!(child.wait().unwrap().success(), "{seen}");
    assert!(!seen.contains(PASSWORD.trim()), "{seen}");
    let sent = desk.service.last_login().unwrap();
    assert_eq!(
        (&sent["username"], &sent["password"]),
        (&"bob".into(), &PASSWORD.into())
    );
    assert!(desk.stored().is_some());
}
