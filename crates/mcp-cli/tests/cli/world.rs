//! A workstation: a home directory with configuration and definitions, and the real binary.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::process::Command;

use crate::double::{Double, Script};

/// A deadline that can be waited for, and that no call misses that is answered at all.
pub(crate) const ENOUGH: &str = "3s";

/// What the binary said and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Everything, in one text for snapshots.
    pub(crate) fn all(&self) -> String {
        let code = self
            .code
            .map_or_else(|| "signal".to_owned(), |code| code.to_string());
        format!(
            "exit {code}\n--- stdout\n{}--- stderr\n{}",
            self.stdout, self.stderr
        )
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.all());
        self
    }

    /// The one document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.all()))
    }
}

pub(crate) struct World {
    home: TempDir,
    /// The ports of nodes that are down.
    held: Mutex<Vec<TcpSocket>>,
    pub(crate) env: Vec<(&'static str, OsString)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = TempDir::with_prefix("mcp-").unwrap();
        fs::create_dir_all(home.path().join(".config/mcp/services")).unwrap();
        Self {
            home,
            held: Mutex::default(),
            env: Vec::new(),
        }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.home().join(".config/mcp/mcp.toml")
    }

    pub(crate) fn definition(&self, service: &str) -> PathBuf {
        self.home()
            .join(format!(".config/mcp/services/{service}.toml"))
    }

    /// Writes a definition with one component of the service's name.
    pub(crate) fn define(&self, service: &str, node: &str) -> PathBuf {
        self.define_text(
            service,
            &format!(
                "name = \"{service}\"\nnode = \"{node}\"\nactive = true\n\n\
                 [[components]]\nname = \"{service}\"\nimage = \"localhost/{service}:v1.2.0\"\n"
            ),
        )
    }

    pub(crate) fn define_text(&self, service: &str, text: &str) -> PathBuf {
        let path = self.definition(service);
        fs::write(&path, text).unwrap();
        path
    }

    /// Starts an agent and puts it into the configuration with a token and CA of its own.
    pub(crate) async fn node(&self, name: &str, script: Script) -> Double {
        let folder = self.folder(name);
        let token = token(name);
        let double = Double::start(&folder, &["127.0.0.1"], &token, script).await;
        self.configure(name, double.port, &token, &folder.join("ca.pem"), "");
        double
    }

    /// A folder for the files of one node.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.home().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Adds a node to the configuration.
    pub(crate) fn configure(&self, name: &str, port: u16, token: &str, ca: &Path, more: &str) {
        let token_path = self.folder(name).join("token");
        fs::write(&token_path, format!("{token}\n")).unwrap();
        fs::set_permissions(&token_path, fs::Permissions::from_mode(0o600)).unwrap();
        self.append(&format!(
            "\n[[nodes]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\ntoken_path = \"{}\"\nca_cert = \"{}\"\n{more}",
            token_path.display(),
            ca.display()
        ));
    }

    /// Adds a node that nobody answers for, on a port that is held, so that nobody comes to listen
    /// there.
    pub(crate) async fn dead_node(&self, name: &str) {
        let folder = self.folder(name);
        // For its certificates.
        Double::start(&folder, &["127.0.0.1"], "unused", Script::default()).await;
        let down = TcpSocket::new_v4().unwrap();
        down.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = down.local_addr().unwrap().port();
        self.held.lock().unwrap().push(down);
        self.configure(name, port, &token(name), &folder.join("ca.pem"), "");
    }

    pub(crate) fn append(&self, text: &str) {
        let old = fs::read_to_string(self.config()).unwrap_or_default();
        fs::write(self.config(), old + text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn mcp(&self, args: &[&str]) -> Run {
        finish(self.command(args).spawn().unwrap()).await
    }

    /// The text without what differs from run to run.
    pub(crate) fn settled(&self, text: &str) -> String {
        text.replace(&self.home().display().to_string(), "[home]")
    }
}

/// Waits for the end.
pub(crate) async fn finish(child: tokio::process::Child) -> Run {
    let output = child.wait_with_output().await.unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn token(node: &str) -> String {
    format!("token-of-{node}")
}

/// Compares with a stored snapshot, without ports, folders and operation ids.
#[macro_export]
macro_rules! snapshot {
    ($name:literal, $world:expr, $text:expr) => {
        insta::with_settings!({ filters => vec![
            (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
            (r"\b[a-z2-7]{20}\b", "[operation]"),
            (r"(?m) +$", ""),
        ], prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $world.settled(&$text));
        });
    };
}
