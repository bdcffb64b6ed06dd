//! What a process and its children take: memory and processor time, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The process and all of its descendants. Containers are none of them: their monitors have
/// detached themselves.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// Children are listed by the thread that started them.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = threads.filter_map(|thread| {
        let path = thread.ok()?.path().join("children");
        fs::read_to_string(path).ok()
    });
    let pids = |list: String| -> Vec<u32> {
        list.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    };
    lists.flat_map(pids).collect()
}

/// Resident memory of one process in bytes; 0 where it has ended.
pub(crate) fn resident(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: Option<u64> = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Of the process itself.
    pub(crate) own: Duration,
    /// Of its children that have ended, and theirs.
    pub(crate) children: Duration,
}

/// Processor time of a process so far.
pub(crate) fn cpu(pid: u32) -> Result<Cpu> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse_cpu(&stat, rustix::param::clock_ticks_per_second())
        .with_context(|| format!("{path} is not as expected"))
}

fn parse_cpu(stat: &str, ticks_per_second: u64) -> Option<Cpu> {
    // The name may hold blanks and parentheses: fields are counted after the last one. The first
    // of them is the third of the line, utime is the fourteenth.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> Option<u64> { fields.next()?.parse().ok() };
    let time = |ticks: u64| Duration::from_millis(ticks * 1000 / ticks_per_second);
    let own = ticks()? + ticks()?;
    let children = ticks()? + ticks()?;
    Some(Cpu {
        own: time(own),
        children: time(children),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_a_name_of_any_shape() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 5 0 99 1 2";
        let cpu = parse_cpu(stat, 100).unwrap();
        assert_eq!(cpu.own, Duration::from_secs(2));
        assert_eq!(cpu.children, Duration::from_millis(500));
    }

    #[test]
    fn a_tree_holds_the_children_of_children() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "cat; exit"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let root = shell.id();
        // The shell takes a moment to start its child, and only then is this process's tree looked
        // at: two looks at different instants need not agree.
        let child = loop {
            if let [_, child] = tree(root)[..] {
                break child;
            }
        };
        let whole = tree(std::process::id());
        assert!(whole.contains(&root), "{whole:?} without {root}");
        assert!(whole.contains(&child), "{whole:?} without {child}");
        assert!(resident(child) > 0);
        // Both end with their input, also where something above has failed.
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
