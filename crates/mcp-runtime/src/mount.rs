//! Which mounts are allowed (S48).
//!
//! [`MountPolicy::permit`] is the only maker of [`MountArg`], and a mount reaches a command line
//! only as a [`MountArg`]: there is no second way around the policy. A source is judged twice, as
//! it is spelled and as the file system resolves it, since a symlink in a permitted directory can
//! point anywhere.

use std::path::{Path, PathBuf};

use mcp_model::spec::Volume;

/// A mount that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the mount of {} is refused: {why}",
    mcp_model::text::escape(source_path)
)]
pub struct MountRefused {
    /// The source as the spec has it.
    pub source_path: String,
    /// Why.
    pub why: Refusal,
}

/// Why a mount is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not under any allowed prefix.
    #[error("it is under none of the allowed prefixes (volume_prefixes of the agent)")]
    Outside,
    /// Under an allowed prefix as spelled, elsewhere once symlinks are followed.
    #[error("it leads to {}, which is under none of the allowed prefixes", shown(.0))]
    LeadsOutside(PathBuf),
    /// It is, holds or lies within one of the agent's own paths.
    #[error("it would show the agent's own files to the container")]
    AgentsOwn,
    /// A socket, device or pipe that is not listed itself.
    #[error("it is a socket, a device or a pipe, and those must be listed themselves")]
    SpecialFile,
    /// It could not be resolved.
    #[error("it cannot be resolved: {0}")]
    Unresolvable(String),
}

fn shown(path: &Path) -> String {
    mcp_model::text::escape(&path.to_string_lossy()).into_owned()
}

/// A mount that the policy allowed, as the value of `--volume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountArg(String);

impl MountArg {
    /// `source:target[:options]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What may be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountPolicy {
    /// Directories whose content may be mounted, and sockets, devices or pipes listed themselves.
    pub prefixes: Vec<PathBuf>,
    /// The agent's own paths: never mounted, nor anything above or within them, whatever
    /// `prefixes` says.
    pub denied: Vec<PathBuf>,
    /// How the paths of more of them begin, whose names are not known beforehand.
    pub denied_beginnings: Vec<PathBuf>,
}

/// A source as it is spelled and as the file system has it.
struct Source<'a> {
    spelled: &'a Path,
    resolved: PathBuf,
    special: bool,
}

impl MountPolicy {
    /// Judges every mount of a spec; the first that is not allowed is the answer.
    pub fn permit<'a>(
        &self,
        volumes: impl IntoIterator<Item = &'a Volume>,
    ) -> Result<Vec<MountArg>, MountRefused> {
        volumes.into_iter().map(|v| self.permit_one(v)).collect()
    }

    fn permit_one(&self, volume: &Volume) -> Result<MountArg, MountRefused> {
        if volume.is_bind() {
            let refused = |why| MountRefused {
                source_path: volume.source().to_owned(),
                why,
            };
            let source = look(Path::new(volume.source())).map_err(refused)?;
            self.judge(&source).map_err(refused)?;
        }
        Ok(MountArg(volume.as_str().to_owned()))
    }

    fn judge(&self, source: &Source<'_>) -> Result<(), Refusal> {
        let prefixes = both_forms(&self.prefixes);
        let under = |path: &Path| prefixes.iter().any(|prefix| path.starts_with(prefix));
        if !under(source.spelled) {
            return Err(Refusal::Outside);
        }
        if !under(&source.resolved) {
            return Err(Refusal::LeadsOutside(source.resolved.clone()));
        }
        let touches = |path: &Path, own: &Path| path.starts_with(own) || own.starts_with(path);
        let own = both_forms(&self.denied);
        let beginnings = both_forms(&self.denied_beginnings);
        let is_own = |path: &Path| {
            own.iter().any(|own| touches(path, own))
                || beginnings.iter().any(|beginning| begins(path, beginning))
        };
        if is_own(source.spelled) || is_own(&source.resolved) {
            return Err(Refusal::AgentsOwn);
        }
        if source.special && !prefixes.iter().any(|listed| listed == source.spelled) {
            return Err(Refusal::SpecialFile);
        }
        Ok(())
    }
}

/// Unlike [`Path::starts_with`], also within a name.
fn begins(path: &Path, beginning: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.starts_with(beginning.as_os_str().as_encoded_bytes())
}

/// Each path as it is spelled, and as it resolves where that differs.
fn both_forms(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut forms = paths.to_vec();
    for path in paths {
        if let Ok(resolved) = resolve(path)
            && resolved != *path
        {
            forms.push(resolved);
        }
    }
    forms
}

fn look(spelled: &Path) -> Result<Source<'_>, Refusal> {
    let resolved = resolve(spelled).map_err(|e| Refusal::Unresolvable(e.to_string()))?;
    let special =
        std::fs::symlink_metadata(&resolved).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
    Ok(Source {
        spelled,
        resolved,
        special,
    })
}

/// Follows the symlinks of the part of the path that exists.
fn resolve(path: &Path) -> std::io::Result<PathBuf> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        // A dangling link exists as itself: what it would lead to is not known, so it is an error.
        let is_missing = matches!(
            std::fs::symlink_metadata(existing),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound
        );
        match (is_missing, existing.parent(), existing.file_name()) {
            (true, Some(parent), Some(name)) => {
                missing.push(name);
                existing = parent;
            }
            _ => break,
        }
    }
    let mut resolved = std::fs::canonicalize(existing)?;
    resolved.extend(missing.into_iter().rev());
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    struct Place {
        dir: tempfile::TempDir,
        policy: MountPolicy,
    }

    /// `srv` is allowed, `srv/mcp` is the agent's own, `etc` is neither.
    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for sub in ["srv/app", "srv/mcp/db", "etc"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        let policy = MountPolicy {
            prefixes: vec![root.join("srv")],
            denied: vec![root.join("srv/mcp")],
            denied_beginnings: vec![root.join("srv/app/db.v")],
        };
        Place { dir, policy }
    }

    impl Place {
        fn path(&self, sub: &str) -> PathBuf {
            self.dir.path().canonicalize().unwrap().join(sub)
        }

        fn verdict(&self, source: &str) -> Result<(), Refusal> {
            verdict(&self.policy, &self.path(source).display().to_string())
        }
    }

    fn verdict(policy: &MountPolicy, source: &str) -> Result<(), Refusal> {
        let volume: Volume = format!("{source}:/data:ro").parse().unwrap();
        let verdict = policy.permit([&volume]).map_err(|e| e.why)?;
        assert_eq!(verdict[0].as_str(), volume.as_str());
        Ok(())
    }

    #[test]
    fn a_source_must_lie_under_an_allowed_prefix() {
        let place = place();
        assert_eq!(place.verdict("srv/app"), Ok(()));
        assert_eq!(place.verdict("srv/app/not/yet/there"), Ok(()));
        for outside in ["etc", "srvx", "", "srv-not-there/x"] {
            assert_eq!(place.verdict(outside), Err(Refusal::Outside), "{outside}");
        }
    }

    #[test]
    fn a_symlink_is_judged_by_where_it_leads() {
        let place = place();
        symlink(place.path("etc"), place.path("srv/app/link")).unwrap();
        symlink(place.path("nowhere"), place.path("srv/app/dangling")).unwrap();
        symlink(place.path("srv"), place.path("alias")).unwrap();
        for through in ["srv/app/link", "srv/app/link/not-there"] {
            assert!(
                matches!(place.verdict(through), Err(Refusal::LeadsOutside(_))),
                "{through}"
            );
        }
        assert!(matches!(
            place.verdict("srv/app/dangling"),
            Err(Refusal::Unresolvable(_))
        ));
        assert_eq!(place.verdict("alias/app"), Err(Refusal::Outside));
    }

    #[test]
    fn a_prefix_that_is_a_symlink_allows_what_it_leads_to() {
        let mut place = place();
        symlink(place.path("srv"), place.path("alias")).unwrap();
        place.policy.prefixes = vec![place.path("alias")];
        assert_eq!(place.verdict("alias/app"), Ok(()));
        assert_eq!(place.verdict("alias/mcp"), Err(Refusal::AgentsOwn));
    }

    #[test]
    fn the_agents_own_files_are_never_mounted_whatever_is_allowed() {
        let mut place = place();
        symlink(place.path("srv/mcp"), place.path("srv/app/own")).unwrap();
        place.policy.prefixes.push(place.path("srv/mcp/db"));
        symlink(place.path("srv/app"), place.path("srv/way")).unwrap();
        for own in [
            "srv/mcp",
            "srv/mcp/db",
            "srv",
            "srv/app/own",
            "srv/app/db.v1.bak",
            "srv/way/db.v1.bak",
        ] {
            assert_eq!(place.verdict(own), Err(Refusal::AgentsOwn), "{own}");
        }
        assert_eq!(place.verdict("srv/app/db"), Ok(()));
    }

    #[test]
    fn a_socket_a_pipe_or_a_device_is_mounted_only_where_it_is_listed_itself() {
        let mut place = place();
        let _listener = UnixListener::bind(place.path("srv/app/s.sock")).unwrap();
        let pipe = place.path("srv/app/pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        // Making a device needs root, but there is one everywhere; as there is a way to it.
        place.policy.prefixes.push("/dev".into());
        symlink("/dev/null", place.path("srv/app/device")).unwrap();
        for special in ["srv/app/s.sock", "srv/app/pipe", "srv/app/device"] {
            assert_eq!(place.verdict(special), Err(Refusal::SpecialFile));
        }
        assert_eq!(
            verdict(&place.policy, "/dev/null"),
            Err(Refusal::SpecialFile)
        );
        symlink(place.path("srv/app/s.sock"), place.path("srv/app/plain")).unwrap();
        assert_eq!(place.verdict("srv/app/plain"), Err(Refusal::SpecialFile));

        let listed = ["srv/app/s.sock", "srv/app/pipe"].map(|sub| place.path(sub));
        place.policy.prefixes.extend(listed);
        place.policy.prefixes.push("/dev/null".into());
        assert_eq!(place.verdict("srv/app/s.sock"), Ok(()));
        assert_eq!(place.verdict("srv/app/pipe"), Ok(()));
        assert_eq!(verdict(&place.policy, "/dev/null"), Ok(()));
        // What is listed is the name as well: who may make links chooses no device.
        for link in ["srv/app/plain", "srv/app/device"] {
            assert_eq!(place.verdict(link), Err(Refusal::SpecialFile));
        }
    }

    #[test]
    fn a_named_volume_is_allowed() {
        let policy = MountPolicy::default();
        let volume: Volume = "cache:/var/cache".parse().unwrap();
        assert_eq!(
            policy.permit([&volume]).unwrap()[0].as_str(),
            "cache:/var/cache"
        );
    }

    #[test]
    fn a_refusal_names_the_mount() {
        let volume: Volume = "/etc:/x".parse().unwrap();
        let refused = MountPolicy::default().permit([&volume]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the mount of /etc is refused: it is under none of the allowed prefixes \
             (volume_prefixes of the agent)"
        );
    }
}
