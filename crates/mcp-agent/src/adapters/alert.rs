//! The alert command: an argv array, no shell, its own process group (S32).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mcp_controller::port::{AlertSink, Failure};
use mcp_model::text::escape;
use mcp_model::{Alert, NodeName};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

/// How long a command may take, its children included.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Commands at a time.
const AT_ONCE: usize = 4;
/// Bytes of each of its outputs that are kept for the log; the rest is read and thrown away.
const OUTPUT: usize = 4 * 1024;
/// How long its outputs are read on after its group was killed: what left the group may hold them.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// What of the agent's own environment is passed on.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Tells the operator's command about incidents; logs them where there is none.
#[derive(Debug, Clone)]
pub struct AlertCommand {
    argv: Vec<String>,
    extra: BTreeMap<String, String>,
    inherited: BTreeMap<String, String>,
    node: NodeName,
    slots: Arc<Semaphore>,
}

impl AlertCommand {
    /// `argv` as configured, empty where alerts are only logged; `extra` as `[monitor.alert_env]`
    /// says.
    pub fn new(argv: Vec<String>, extra: BTreeMap<String, String>, node: NodeName) -> Self {
        let inherited = INHERITED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        Self {
            argv,
            extra,
            inherited,
            node,
            slots,
        }
    }

    /// The whole environment of the command. What MCP says wins over what was configured.
    fn environment(&self, alert: &Alert) -> BTreeMap<String, String> {
        let mut env = self.inherited.clone();
        env.extend(self.extra.clone());
        env.extend(variables(alert, &self.node).map(|(name, value)| (name.to_owned(), value)));
        env
    }
}

/// What the command is told.
fn variables(alert: &Alert, node: &NodeName) -> impl Iterator<Item = (&'static str, String)> {
    let key = alert.scope.key();
    let service = key.map(|key| key.service.to_string());
    let component = key.map(|key| key.component.to_string());
    [
        // Empty where it is the node that the message is about.
        ("MCP_SERVICE", service.unwrap_or_default()),
        ("MCP_COMPONENT", component.unwrap_or_default()),
        ("MCP_NODE", node.to_string()),
        ("MCP_DESIRED", alert.desired.to_string()),
        ("MCP_OBSERVED", alert.observed.to_string()),
        ("MCP_PREV_STATE", alert.prev.to_string()),
        ("MCP_ALERT_TYPE", alert.kind.to_string()),
        ("MCP_ALERT_EVENT", alert.event.to_string()),
        ("MCP_TRANSITIONS", alert.transitions.to_string()),
        ("MCP_TIMESTAMP", format!("{:.3}", alert.at.wall.timestamp())),
        (
            "MCP_EXIT_CODE",
            alert
                .exit_code
                .map(|code| code.to_string())
                .unwrap_or_default(),
        ),
        // Causes quote log lines; a NUL would make the call itself fail.
        ("MCP_REASON", escape(&alert.reason).into_owned()),
        ("MCP_INCIDENT_ID", alert.incident.to_string()),
    ]
    .into_iter()
}

#[async_trait]
impl AlertSink for AlertCommand {
    async fn deliver(&self, alert: &Alert) -> Result<(), Failure> {
        info!(
            scope = %alert.scope,
            kind = %alert.kind,
            event = %alert.event,
            desired = %alert.desired,
            observed = %alert.observed,
            reason = %escape(&alert.reason),
            incident = %alert.incident,
            "alert"
        );
        let Some((program, args)) = self.argv.split_first() else {
            return Ok(());
        };
        let stopping = || Failure("the agent is stopping".to_owned());
        let _slot = self.slots.acquire().await.map_err(|_| stopping())?;
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(self.environment(alert));
        let ended = run(command).await;
        report(alert, program, ended)
    }
}

fn report(alert: &Alert, program: &str, ended: Result<Ended, io::Error>) -> Result<(), Failure> {
    let failure = match ended {
        Ok(Ended {
            status: Some(status),
            ..
        }) if status.success() => return Ok(()),
        Ok(Ended {
            status: Some(status),
            output,
        }) => {
            let output = String::from_utf8_lossy(&output);
            warn!(scope = %alert.scope, program, %status, output = %escape(&output), "alert command failed");
            format!("{program}: {status}")
        }
        Ok(Ended {
            status: None,
            output,
        }) => {
            let output = String::from_utf8_lossy(&output);
            warn!(scope = %alert.scope, program, output = %escape(&output), "alert command took too long and was killed");
            format!("{program}: killed after {} s", DEADLINE.as_secs())
        }
        Err(error) => {
            warn!(scope = %alert.scope, program, %error, "alert command could not be run");
            format!("{program}: {error}")
        }
    };
    Err(Failure(failure))
}

/// How a command ended.
struct Ended {
    /// Absent where it was killed at the deadline.
    status: Option<ExitStatus>,
    /// The beginning of what it printed.
    output: Vec<u8>,
}

/// The command's process group. Whatever of it is left dies with this.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Nobody left is the usual case.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

async fn run(mut command: Command) -> io::Result<Ended> {
    let until = Instant::now() + DEADLINE;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let pid = child
        .id()
        .and_then(|id| Pid::from_raw(id.cast_signed()))
        .ok_or_else(|| io::Error::other("the command has no process id"))?;
    let group = Group(pid);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let in_time = {
        let both = async { tokio::join!(read(stdout, &mut output), read(stderr, &mut errors)) };
        let mut reading = std::pin::pin!(futures::FutureExt::fuse(both));
        let in_time = tokio::select! {
            ended = timeout_at(until, exited(pid)) => ended.ok().transpose()?.is_some(),
            // Both outputs were closed; the process may still live.
            _ = &mut reading => timeout_at(until, exited(pid)).await.ok().transpose()?.is_some(),
        };
        // Before the leader is reaped: until then nobody else can have its id. Children that it
        // left behind would otherwise outlive the deadline.
        drop(group);
        // One that has ended already would never say so a second time.
        if !futures::future::FusedFuture::is_terminated(&reading) {
            let _ = timeout(LAST_WORDS, reading).await;
        }
        in_time
    };
    let status = child.wait().await?;
    output.extend(errors);
    Ok(Ended {
        status: in_time.then_some(status),
        output,
    })
}

/// Resolves when the process has ended, without reaping it.
#[expect(
    deprecated,
    reason = "the safe constructor: an owned descriptor is the one that is registered"
)]
async fn exited(pid: Pid) -> io::Result<()> {
    let fd: OwnedFd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    let fd = AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)?;
    fd.readable().await.map(|_| ())
}

/// Keeps the first [`OUTPUT`] bytes and reads on, so that a talkative command is not held up.
async fn read(source: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut source) = source else { return };
    let mut buffer = [0u8; 4096];
    while let Ok(count @ 1..) = source.read(&mut buffer).await {
        let room = OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_a_flood_of_output_only_the_beginning_is_kept() {
        let mut flood = Command::new("sh");
        flood.args(["-c", "yes | head -c 2000000; yes | head -c 2000000 >&2"]);
        let ended = run(flood).await.unwrap();
        assert!(ended.status.unwrap().success());
        assert_eq!(ended.output.len(), 2 * OUTPUT);
    }
}
