//! What happens at a point.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mcp_controller::Ports;
use mcp_runtime::Children;
use rustix::process::{Signal, getpid, kill_process};

use super::ports::Pierced;

/// The folder that a test and the agent share.
const FOLDER: &str = "MCP_FAILPOINTS";

/// The points of one agent. `$MCP_FAILPOINTS` names a folder: every point that is passed is a line
/// of `passed` there, and a file `kill` that says `<point>:<n>` ends the agent, with SIGKILL and for
/// once, when it passes that point for the n-th time since the file was there.
#[derive(Debug, Clone, Default)]
pub struct Failpoints(Option<Arc<Switch>>);

#[derive(Debug)]
struct Switch {
    folder: PathBuf,
    passed: File,
    /// What was read last, and how often its point was passed since.
    armed: Mutex<(String, u32)>,
}

impl Failpoints {
    /// As the environment says.
    ///
    /// # Panics
    ///
    /// Where the folder is not usable: a test that cannot see its points shows nothing.
    pub fn from_environment() -> Self {
        Self(std::env::var_os(FOLDER).map(|folder| Arc::new(Switch::of(Path::new(&folder)))))
    }

    /// Passes a point.
    pub fn pass(&self, point: &str) {
        if let Some(switch) = &self.0 {
            switch.pass(point);
        }
    }

    /// The ports, with a point before and after each call.
    #[must_use]
    pub fn around(&self, ports: Ports) -> Ports {
        Ports {
            runtime: Arc::new(Pierced::new(ports.runtime, self)),
            store: Arc::new(Pierced::new(ports.store, self)),
            ..ports
        }
    }

    /// Has children pass their points here.
    pub fn follow(&self, children: &Children) {
        let points = self.clone();
        children.probe(Arc::new(move |point| points.pass(point)));
    }
}

impl Switch {
    fn of(folder: &Path) -> Self {
        let passed = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("passed"))
            .expect("the folder of failpoints is writable");
        Self {
            folder: folder.to_owned(),
            passed,
            armed: Mutex::default(),
        }
    }

    fn pass(&self, point: &str) {
        // Held to the end, so that the order of the lines is the order of the points.
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        // One write: what is written stays written, whoever is killed next.
        let _ = (&self.passed).write_all(format!("{point}\n").as_bytes());
        let Ok(wanted) = fs::read_to_string(self.folder.join("kill")) else {
            return;
        };
        if armed.0 != wanted {
            *armed = (wanted.clone(), 0);
        }
        let Some((name, count)) = wanted.trim().rsplit_once(':') else {
            return;
        };
        if name != point {
            return;
        }
        armed.1 += 1;
        if count.parse() == Ok(armed.1) {
            self.end();
        }
    }

    fn end(&self) -> ! {
        // Not again by the next agent.
        let _ = fs::remove_file(self.folder.join("kill"));
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
