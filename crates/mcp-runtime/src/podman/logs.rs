//! The last lines of a container, straight from the file that podman writes them to.
//!
//! A shorter way to what `podman logs` prints, for the `k8s-file` log driver. Whatever is not as
//! expected leads back to the command.

use std::collections::HashMap;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mcp_model::ContainerId;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::parse;

/// How much of a file's end is read, in bytes.
const TAIL: u64 = 64 * 1024;

/// Most files that are remembered. Past it all are forgotten: the next inspect tells them again.
const MOST: usize = 4096;

/// Where containers write, as their inspects have told.
#[derive(Debug, Default)]
pub(super) struct LogFiles(Mutex<HashMap<ContainerId, PathBuf>>);

impl LogFiles {
    /// Takes in what an inspect printed.
    pub(super) fn remember(&self, inspected: &[u8]) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= MOST {
            files.clear();
        }
        files.extend(parse::log_files(inspected));
    }

    /// The last lines, oldest first; `None` where the command has to be asked.
    pub(super) async fn last_lines(&self, id: &ContainerId, lines: u32) -> Option<Vec<String>> {
        let path = self.path(id)?;
        let text = tail(&path).await.ok()?;
        last(&text, lines as usize)
    }

    fn path(&self, id: &ContainerId) -> Option<PathBuf> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }
}

/// The end of a file, from the beginning of a line on.
async fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = tokio::fs::File::open(path).await?;
    let length = file.metadata().await?.len();
    let start = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start)).await?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(match text.split_once('\n') {
        Some((_, whole)) if start > 0 => whole.to_owned(),
        _ => text,
    })
}

/// Reads lines of the form `<time> stdout|stderr F|P <text>`; `P` means that the line goes on.
fn last(text: &str, count: usize) -> Option<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        let mut parts = line.splitn(4, ' ');
        let (_, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
        if !matches!((stream, tag), ("stdout" | "stderr", "F" | "P")) {
            return None;
        }
        let said = parts.next().unwrap_or_default();
        match lines.last_mut() {
            Some(open) if goes_on => open.push_str(said),
            _ => lines.push(said.to_owned()),
        }
        goes_on = tag == "P";
    }
    Some(lines.split_off(lines.len().saturating_sub(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_the_last_ones_returned() {
        let text = "2026-11-20T08:33:16.58Z stdout F one\n2026-11-20T08:33:16.59Z stderr P tw\n\
                    2026-11-20T08:33:16.60Z stderr F o\n2026-11-20T08:33:16.61Z stdout F \n\
                    2026-11-20T08:33:16.62Z stdout F three  words\n";
        assert_eq!(last(text, 3).unwrap(), ["two", "", "three  words"]);
        assert_eq!(last(text, 9).unwrap().len(), 4);
        assert_eq!(last("", 3).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_as_expected_is_left_to_the_command() {
        for text in [
            "plain output\n",
            "{\"log\":\"json\"}\n",
            "t stdout X y\n",
            "t\n",
        ] {
            assert_eq!(last(text, 3), None, "{text:?}");
        }
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctr.log");
        let line = |n: u32| format!("2026-11-20T08:33:16.58Z stdout F line {n}\n");
        std::fs::write(&path, (0..20_000).map(line).collect::<String>()).unwrap();
        let text = tail(&path).await.unwrap();
        assert!(text.len() as u64 <= TAIL);
        assert_eq!(last(&text, 2).unwrap(), ["line 19998", "line 19999"]);
    }
}
