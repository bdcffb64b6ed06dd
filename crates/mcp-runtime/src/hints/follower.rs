//! The `podman events` follower, for hosts whose events go to the journal. It costs 33 MB and 190
//! ms, and the stream loses events: it is used where there is nothing better, and named in health.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::channel::{Hint, HintSender};
use super::health::{Reporter, SourceName};
use crate::argv::Command;
use crate::parse;
use crate::process::{Spawned, prepare};

/// The first wait before another try; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Longest line that is read, in bytes; labels make lines long.
const LINE_LIMIT: u64 = 256 * 1024;

/// Follows for ever, and starts the follower again when it ends.
pub(crate) async fn run(command: &Command, hints: &HintSender, reporter: &Reporter) {
    let mut wait = FIRST_WAIT;
    loop {
        let mut lines = 0;
        let error = follow(command, hints, reporter, &mut lines).await;
        let why = error.map_or_else(|| "it ended".to_owned(), |e| e.to_string());
        tracing::warn!(error = why, "the runtime's event follower stopped");
        reporter.set(SourceName::Follower, false, &why);
        if lines > 0 {
            wait = FIRST_WAIT;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn follow(
    command: &Command,
    hints: &HintSender,
    reporter: &Reporter,
    lines: &mut u64,
) -> Option<io::Error> {
    let mut prepared = prepare(command);
    prepared.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut spawned = match Spawned::new(&mut prepared) {
        Ok(spawned) => spawned,
        Err(error) => return Some(error),
    };
    let mut stdout = BufReader::new(spawned.child.stdout.take().expect("stdout is piped"));
    reporter.set(SourceName::Follower, true, "podman events (fallback)");
    // Whatever happened before it listened was missed.
    hints.send(Hint::Changed);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stdout)
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) => return spawned.wait().await.err(),
            Ok(_) => {
                *lines += 1;
                reporter.seen(SourceName::Follower);
                let hint = parse::event(&line).map_or(Hint::Changed, Hint::Container);
                hints.send(hint);
            }
            Err(error) => return Some(error),
        }
    }
}
