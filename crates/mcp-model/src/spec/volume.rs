//! Mounts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::SpecError;
use super::value::{plain, refuse, via_text};

/// A mount `source:target[:options]`. The source is an absolute path on the node or the name of a
/// volume; whether a path may be mounted is the agent's policy (S48), not the grammar's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Volume {
    text: Box<str>,
    source_end: usize,
    target_end: usize,
}

/// Mount options that are passed on. `suid`, `dev` and everything unknown is refused.
const MOUNT_OPTIONS: [&str; 17] = [
    "ro", "rw", "z", "Z", "U", "O", "noexec", "exec", "nosuid", "nodev", "private", "rprivate",
    "slave", "rslave", "shared", "rshared", "noatime",
];

impl Volume {
    /// The mapping as text, in canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A path on the node, or the name of a volume.
    pub fn source(&self) -> &str {
        &self.text[..self.source_end]
    }

    /// The path in the container.
    pub fn target(&self) -> &str {
        &self.text[self.source_end + 1..self.target_end]
    }

    /// The options, comma-separated; empty where there are none.
    pub fn options(&self) -> &str {
        self.text.get(self.target_end + 1..).unwrap_or("")
    }

    /// Whether the source is a path and not the name of a volume.
    pub fn is_bind(&self) -> bool {
        self.text.starts_with('/')
    }
}

/// An absolute path without `.`, `..` or repeated slashes, in one spelling.
fn absolute_path<'a>(text: &str, path: &'a str) -> Result<&'a str, SpecError> {
    const WHAT: &str = "volume";
    let trimmed = if path.len() > 1 {
        path.strip_suffix('/').unwrap_or(path)
    } else {
        path
    };
    let Some(inner) = trimmed.strip_prefix('/') else {
        return refuse(WHAT, text, "its paths must be absolute");
    };
    if trimmed != "/" && inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refuse(WHAT, text, "its paths must not contain '.', '..' or '//'");
    }
    Ok(trimmed)
}

impl FromStr for Volume {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        const WHAT: &str = "volume";
        plain(WHAT, text)?;
        let mut parts = text.split(':');
        let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
            return refuse(
                WHAT,
                text,
                "write source:target, for instance /srv/app:/srv/app",
            );
        };
        let options = parts.next();
        if parts.next().is_some() {
            return refuse(WHAT, text, "it has more than source:target:options");
        }
        let source = if source.starts_with('/') {
            absolute_path(text, source)?
        } else {
            let name_fits = source.starts_with(|c: char| c.is_ascii_alphanumeric())
                && source
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
            if !name_fits {
                return refuse(
                    WHAT,
                    text,
                    "its source must be an absolute path or a volume's name",
                );
            }
            source
        };
        let target = absolute_path(text, target)?;
        if target == "/" {
            return refuse(WHAT, text, "it must not cover the container's root");
        }
        let unknown = |option: &str| !MOUNT_OPTIONS.contains(&option);
        if options.is_some_and(|options| options.split(',').any(unknown)) {
            return refuse(
                WHAT,
                text,
                "its options may be ro, rw, z, Z, U, O, exec, noexec, nosuid, nodev, noatime and propagation modes",
            );
        }
        let suffix = options
            .map(|options| format!(":{options}"))
            .unwrap_or_default();
        Ok(Self {
            text: format!("{source}:{target}{suffix}").into(),
            source_end: source.len(),
            target_end: source.len() + 1 + target.len(),
        })
    }
}

via_text!(Volume);
