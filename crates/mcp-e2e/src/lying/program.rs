//! The program itself: one call of podman, as it was ordered.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use serde_json::Value;

use super::{Lie, gate, log, orders};

/// Makes a process of this program one that only hangs.
const CHILD: &str = "lying-podman-child";

/// Runs one call, as it was ordered.
pub fn main() -> ExitCode {
    let mut args = std::env::args();
    let own = PathBuf::from(args.next().unwrap_or_default());
    let args: Vec<String> = args.collect();
    let dir = own.parent().unwrap_or(Path::new("/")).to_owned();
    if args.first().is_some_and(|first| first == CHILD) {
        hang(&dir);
        return ExitCode::SUCCESS;
    }
    let call = Call {
        subcommand: subcommand(&args).to_owned(),
        args,
        dir,
        own,
    };
    note(&call.dir, "calls", &call.subcommand);
    match call.order() {
        None => call.pass_on(),
        Some(lie) => call.obey(&lie),
    }
}

/// The word that says what to do: `inspect` of `container inspect`.
fn subcommand(args: &[String]) -> &str {
    let words = args.iter().map(String::as_str);
    let mut words = words.filter(|arg| !arg.starts_with('-') && *arg != "container");
    words.next().unwrap_or("version")
}

struct Call {
    own: PathBuf,
    dir: PathBuf,
    subcommand: String,
    args: Vec<String>,
}

impl Call {
    fn order(&self) -> Option<Lie> {
        let read = |name: &str| fs::read(orders(&self.dir).join(name)).ok();
        let order = read(&self.subcommand).or_else(|| read("*"))?;
        Some(Lie::parse(&order).expect("the harness wrote it"))
    }

    fn podman(&self) -> Command {
        let mut podman = Command::new("podman");
        podman.args(&self.args);
        podman
    }

    /// What the real one says, to whoever listens.
    fn pass_on(&self) -> ExitCode {
        let status = self.podman().status().expect("podman runs");
        ExitCode::from(status.code().map_or(125, |code| code.to_le_bytes()[0]))
    }

    fn obey(&self, lie: &Lie) -> ExitCode {
        match lie {
            Lie::Hang => {
                hang(&self.dir);
                self.pass_on()
            }
            Lie::HangWithChild => {
                self.child();
                hang(&self.dir);
                self.pass_on()
            }
            Lie::Linger => {
                self.child();
                self.pass_on()
            }
            Lie::Slow(millis) => {
                wait(Duration::from_millis(*millis));
                self.pass_on()
            }
            Lie::Say(answer) => say(answer),
            Lie::Refuse(code, why) => {
                let _ = writeln!(std::io::stderr(), "{why}");
                ExitCode::from(*code)
            }
            Lie::Die => {
                kill_process(getpid(), Signal::KILL).expect("a process may end itself");
                ExitCode::FAILURE
            }
            _ if self.subcommand == "events" => self.stream(),
            _ => self.twist(lie),
        }
    }

    /// Starts a child that holds this process's output and hangs.
    #[expect(
        clippy::zombie_processes,
        reason = "it outlives whoever could wait for it"
    )]
    fn child(&self) {
        let mut child = Command::new(&self.own);
        child.arg(CHILD).stdin(Stdio::null());
        child.spawn().expect("this program runs");
    }

    /// Passes a true answer on in another shape. A failure is passed on as it is.
    fn twist(&self, lie: &Lie) -> ExitCode {
        let output = self.podman().output().expect("podman runs");
        let _ = std::io::stderr().write_all(&output.stderr);
        if !output.status.success() {
            let _ = std::io::stdout().write_all(&output.stdout);
            return ExitCode::from(output.status.code().map_or(125, |c| c.to_le_bytes()[0]));
        }
        say(&twisted(&output.stdout, lie))
    }

    /// Passes lines on as they come, each as it is ordered by then.
    fn stream(&self) -> ExitCode {
        let mut podman = self.podman();
        let mut podman = podman.stdout(Stdio::piped()).spawn().expect("podman runs");
        let lines = BufReader::new(podman.stdout.take().expect("it is piped")).lines();
        let mut held = None;
        for (number, line) in lines.map_while(Result::ok).enumerate() {
            let now = match self.order() {
                Some(Lie::Drop) if number % 3 == 0 => continue,
                Some(Lie::Double) => vec![line.clone(), line],
                Some(Lie::Reorder) if held.is_none() => {
                    held = Some(line);
                    continue;
                }
                Some(Lie::Die) => break,
                _ => [Some(line), held.take()].into_iter().flatten().collect(),
            };
            let now = now.join("\n") + "\n";
            if std::io::stdout().write_all(now.as_bytes()).is_err() {
                break;
            }
        }
        let _ = podman.kill();
        let _ = podman.wait();
        ExitCode::FAILURE
    }
}

/// Waits until the harness lets go.
fn hang(dir: &Path) {
    note(dir, "hanging", &std::process::id().to_string());
    let _ = File::open(gate(dir));
}

#[expect(clippy::disallowed_methods, reason = "to be slow is what was ordered")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

fn say(answer: &[u8]) -> ExitCode {
    // Whoever asked may be gone.
    let _ = std::io::stdout().write_all(answer);
    ExitCode::SUCCESS
}

/// One line at the end of a log of ours. Short ones do not mix.
fn note(dir: &Path, name: &str, line: &str) {
    let file = File::options()
        .create(true)
        .append(true)
        .open(log(dir, name));
    let _ = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
}

fn twisted(answer: &[u8], lie: &Lie) -> Vec<u8> {
    if let Lie::Cut(bytes) = lie {
        return answer[..answer.len().min(*bytes)].to_vec();
    }
    if *lie == Lie::Journald {
        let text = String::from_utf8_lossy(answer);
        return text
            .replace("\"eventLogger\": \"file\"", "\"eventLogger\": \"journald\"")
            .into();
    }
    let Ok(Value::Array(entries)) = serde_json::from_slice(answer) else {
        return answer.to_vec();
    };
    let entries: Vec<Value> = match lie {
        Lie::Drop => {
            let kept = entries.into_iter().enumerate().filter(|(n, _)| n % 3 != 0);
            kept.map(|(_, entry)| entry).collect()
        }
        Lie::Double => entries.into_iter().flat_map(|e| [e.clone(), e]).collect(),
        Lie::Reorder => entries.into_iter().rev().collect(),
        Lie::Retype => entries.into_iter().map(retyped).collect(),
        _ => entries,
    };
    Value::Array(entries).to_string().into_bytes()
}

fn retyped(entry: Value) -> Value {
    match entry {
        Value::Object(fields) => fields.into_iter().map(|(k, v)| (k, retyped(v))).collect(),
        Value::String(_) | Value::Null => 7.into(),
        Value::Number(_) | Value::Bool(_) => Value::Array(Vec::new()),
        Value::Array(_) => "x".into(),
    }
}
