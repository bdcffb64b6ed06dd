//! Which sources a runtime offers.

use std::path::{Path, PathBuf};

use crate::argv::PodmanArgs;
use crate::error::RuntimeError;
use crate::parse::Info;
use crate::podman::Podman;

/// Where events other than the end of a process come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventSource {
    /// The event log on disk, watched.
    File,
    /// A `podman events` child.
    Follower,
    /// Nowhere; the resync finds out.
    None,
}

/// The sources of one runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintSources {
    /// Directories to watch: exit files, and the event log where it is a file.
    pub directories: Vec<PathBuf>,
    /// Where events come from.
    pub events: EventSource,
}

impl HintSources {
    /// Asks podman where its events go, and looks which of its directories are there.
    pub async fn detect(podman: &Podman) -> Result<Self, RuntimeError> {
        let info = podman.info().await?;
        let runtime_dir = podman
            .args()
            .env
            .get("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
        let tmpdir = tmpdir(podman.args(), &info, runtime_dir.as_deref());
        Ok(Self::choose(&info, tmpdir.as_deref(), Path::is_dir))
    }

    /// Chooses by what podman says and which directories are there. podman does not tell its
    /// tmpdir, and `containers.conf` may move it: where it is not found, the follower is left.
    fn choose(info: &Info, tmpdir: Option<&Path>, exists: impl Fn(&Path) -> bool) -> Self {
        let there = |sub: &str| tmpdir.map(|dir| dir.join(sub)).filter(|dir| exists(dir));
        let mut directories: Vec<PathBuf> = there("exits").into_iter().collect();
        let events = match (info.event_logger.as_str(), there("events")) {
            ("none", _) => EventSource::None,
            ("file", Some(log)) => {
                directories.push(log);
                EventSource::File
            }
            _ => EventSource::Follower,
        };
        Self {
            directories,
            events,
        }
    }
}

/// podman's tmpdir: as configured, else the default for root or for a user.
fn tmpdir(args: &PodmanArgs, info: &Info, runtime_dir: Option<&Path>) -> Option<PathBuf> {
    let global = &args.global_args;
    let joined = global
        .iter()
        .rev()
        .find_map(|arg| arg.strip_prefix("--tmpdir="));
    let apart = || {
        let at = global.iter().rposition(|arg| arg == "--tmpdir")?;
        global.get(at + 1).map(String::as_str)
    };
    match joined.or_else(apart) {
        Some(dir) => Some(PathBuf::from(dir)),
        None if info.rootless => runtime_dir.map(|dir| dir.join("libpod/tmp")),
        None => Some(PathBuf::from("/run/libpod")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(event_logger: &str, rootless: bool) -> Info {
        Info {
            event_logger: event_logger.into(),
            rootless,
        }
    }

    #[test]
    fn the_follower_is_used_only_where_nothing_better_is_there() {
        let dir = Path::new("/t");
        let all = |_: &Path| true;
        let nothing = |_: &Path| false;
        let exits = vec![dir.join("exits")];
        let both = vec![dir.join("exits"), dir.join("events")];
        let choose = |logger: &str, exists: fn(&Path) -> bool| {
            let chosen = HintSources::choose(&info(logger, false), Some(dir), exists);
            (chosen.directories, chosen.events)
        };
        assert_eq!(choose("file", all), (both, EventSource::File));
        assert_eq!(
            choose("journald", all),
            (exits.clone(), EventSource::Follower)
        );
        assert_eq!(choose("none", all), (exits, EventSource::None));
        assert_eq!(choose("file", nothing), (vec![], EventSource::Follower));
        assert_eq!(choose("", nothing), (vec![], EventSource::Follower));
    }

    #[test]
    fn the_tmpdir_is_the_configured_one_or_podmans_default() {
        let with = |global: &[&str]| PodmanArgs {
            global_args: global.iter().map(|&arg| arg.to_owned()).collect(),
            ..PodmanArgs::default()
        };
        let run = Some(Path::new("/run/user/7"));
        let found = |args: &PodmanArgs, rootless| tmpdir(args, &info("file", rootless), run);
        assert_eq!(found(&with(&["--tmpdir=/a"]), true), Some("/a".into()));
        assert_eq!(
            found(&with(&["--tmpdir", "/b", "--x"]), false),
            Some("/b".into())
        );
        assert_eq!(found(&with(&[]), false), Some("/run/libpod".into()));
        assert_eq!(
            found(&with(&[]), true),
            Some("/run/user/7/libpod/tmp".into())
        );
        assert_eq!(tmpdir(&with(&[]), &info("file", true), None), None);
    }
}
