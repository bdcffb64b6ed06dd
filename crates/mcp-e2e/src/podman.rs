//! A podman of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::turn::Turn;
use crate::{Reply, repository};

/// A podman with images, containers, locks, networks and events of its own, and with the images
/// `localhost/hello:v1` and `localhost/hello:v2`. Dropping it removes all of it.
#[derive(Debug)]
pub struct Podman {
    dir: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// Dropped last: by then all of it is gone.
    _turn: Turn,
}

impl Podman {
    /// Makes one.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it starts processes")]
    pub fn new() -> Self {
        let turn = Turn::take();
        let mut create = script("private-podman.sh");
        create.env("OWNER", std::process::id().to_string());
        create.arg("create").args(archives());
        let dir = PathBuf::from(Reply::of(&mut create).ok().trim());
        let lines = |file: &str| -> Vec<String> {
            let text = fs::read_to_string(dir.join(file)).expect("the script wrote it");
            text.lines().map(str::to_owned).collect()
        };
        let pair = |line: &String| {
            let (name, value) = line.split_once('=').expect("NAME=value");
            (name.to_owned(), value.to_owned())
        };
        let args = lines("args");
        let env = lines("env").iter().map(pair).collect();
        Self {
            dir,
            args,
            env,
            _turn: turn,
        }
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Has the containers that are made from now on run by another OCI runtime.
    pub(crate) fn use_runtime(&self, program: &Path) {
        let settings = self.dir.join("containers.conf");
        let text = fs::read_to_string(&settings).expect("the script wrote it");
        let kept = text.lines().filter(|line| !line.starts_with("runtime"));
        let engine = ["[engine]", "runtime = \"of-the-test\""];
        let paths = format!("of-the-test = [\"{}\"]", program.display());
        let lines = engine
            .into_iter()
            .chain(kept.filter(|line| *line != "[engine]"))
            .chain(["[engine.runtimes]", &paths]);
        let text: Vec<&str> = lines.collect();
        fs::write(&settings, text.join("\n")).expect("its folder is writable");
    }

    /// Global arguments that select it.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Variables that select it.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// A command that is ready for a subcommand.
    pub fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command.args(&self.args).envs(self.env.iter().cloned());
        command
    }

    /// Runs a subcommand; what it wrote, trimmed. Panics where it fails.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        Reply::of(self.command().args(args)).ok().trim().to_owned()
    }

    /// What podman knows about a container; `None` where there is none of that name.
    #[track_caller]
    pub fn inspect(&self, container: &str) -> Option<Value> {
        let reply = Reply::of(self.command().args(["container", "inspect", container]));
        if reply.code != Some(0) {
            assert!(
                reply.stderr.contains("no such container"),
                "{}",
                reply.stderr
            );
            return None;
        }
        let all: Value = serde_json::from_str(&reply.stdout).expect("podman writes JSON");
        Some(all[0].clone())
    }

    /// The status of a container, `running` for instance; `None` where there is none.
    #[track_caller]
    pub fn status(&self, container: &str) -> Option<String> {
        let status = self.inspect(container)?["State"]["Status"].clone();
        Some(status.as_str().expect("a status is a string").to_owned())
    }

    /// The names of all containers, sorted.
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        let names = self.run(&["ps", "--all", "--external", "--format={{.Names}}"]);
        let mut names: Vec<_> = names.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Makes every call fail until the guard is dropped.
    #[must_use]
    pub fn break_it(&self) -> Broken {
        let settings = self.dir.join("containers.conf");
        let text = fs::read_to_string(&settings).expect("the script wrote it");
        fs::write(&settings, "this is not TOML").expect("its folder is writable");
        Broken { settings, text }
    }

    /// Lets it speak plain HTTP to the image registry at `address`.
    pub fn trust(&self, address: &str) {
        let entry = format!(
            "unqualified-search-registries = []\n[[registry]]\nlocation = \"{address}\"\ninsecure = true\n"
        );
        fs::write(self.dir.join("registries.conf"), entry).expect("its folder is writable");
    }
}

/// A podman whose every call fails. Dropping it mends it; containers are not touched.
#[derive(Debug)]
pub struct Broken {
    settings: PathBuf,
    text: String,
}

impl Drop for Broken {
    fn drop(&mut self) {
        // Where the folder is gone there is nothing to mend.
        let _ = fs::write(&self.settings, &self.text);
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let reply = Reply::of(script("private-podman.sh").arg("remove").arg(&self.dir));
        // A second panic would hide the first.
        if !std::thread::panicking() {
            reply.ok();
        }
    }
}

/// The archives of the example images, built once per test process.
fn archives() -> &'static [PathBuf] {
    static ARCHIVES: OnceLock<Vec<PathBuf>> = OnceLock::new();
    ARCHIVES.get_or_init(|| {
        let paths = Reply::of(&mut script("images.sh")).ok();
        paths.lines().map(|path| repository().join(path)).collect()
    })
}

fn script(name: &str) -> Command {
    Command::new(repository().join(Path::new("scripts")).join(name))
}
