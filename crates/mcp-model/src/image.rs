//! Image references.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest reference that is accepted, in bytes.
pub const MAX_REFERENCE: usize = 512;

/// A parsed image reference: `[registry[:port]/]path[:tag][@digest]`, as the distribution
/// specification writes it. It never begins with `-`, so it can stand on a command line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    text: Box<str>,
    /// Byte range of the tag in `text`, where there is one.
    tag: Option<(usize, usize)>,
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {why}")]
pub struct ImageError {
    text: String,
    why: &'static str,
}

impl ImageRef {
    /// The reference as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The version that the tag names: `v1.2.0` of `registry:5000/app:v1.2.0`. Empty where there
    /// is no tag; a digest is not a version.
    pub fn version(&self) -> &str {
        self.tag.map_or("", |(start, end)| &self.text[start..end])
    }

    /// `localhost/…` without a port names the node's own image store: there is nothing to pull.
    pub fn is_local(&self) -> bool {
        self.text.starts_with("localhost/")
    }
}

fn is_path_part(part: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    !bytes.is_empty()
        && inner(bytes[0])
        && inner(bytes[bytes.len() - 1])
        && bytes
            .iter()
            .all(|&b| inner(b) || matches!(b, b'.' | b'_' | b'-'))
}

fn is_registry(host: &str) -> bool {
    let (name, port) = host
        .split_once(':')
        .map_or((host, None), |(n, p)| (n, Some(p)));
    let name_fits = !name.is_empty()
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    let port_fits = port.is_none_or(|p| {
        !p.is_empty()
            && p.len() <= 5
            && p.bytes().all(|b| b.is_ascii_digit())
            && p.parse::<u16>().is_ok_and(|p| p != 0)
    });
    name_fits && port_fits
}

fn is_tag(tag: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(first)
        && tag.bytes().all(|b| first(b) || matches!(b, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let length = match digest.split_once(':') {
        Some(("sha256", _)) => 64,
        Some(("sha512", _)) => 128,
        _ => return false,
    };
    let hex = &digest[7..];
    hex.len() == length
        && hex
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl FromStr for ImageRef {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let refuse = |why| ImageError {
            text: text.chars().take(MAX_REFERENCE).collect(),
            why,
        };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if text.len() > MAX_REFERENCE {
            return Err(refuse("it is too long"));
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|d| !is_digest(d)) {
            return Err(refuse(
                "its digest must be sha256: or sha512: and lower-case hex",
            ));
        }
        // A colon after the last slash begins the tag; one before it belongs to the registry.
        let path_start = named.rfind('/').map_or(0, |slash| slash + 1);
        let tag = named[path_start..]
            .find(':')
            .map(|colon| (path_start + colon + 1, named.len()));
        if tag.is_some_and(|(start, end)| !is_tag(&named[start..end])) {
            return Err(refuse(
                "its tag must be letters, digits, '_', '.' and '-', at most 128",
            ));
        }
        let repository = &named[..tag.map_or(named.len(), |(start, _)| start - 1)];
        let path = match repository.split_once('/') {
            Some((host, path))
                if host == "localhost" || host.contains('.') || host.contains(':') =>
            {
                if !is_registry(host) {
                    return Err(refuse(
                        "its registry is not a host name with an optional port",
                    ));
                }
                path
            }
            _ => repository,
        };
        if !path.split('/').all(is_path_part) {
            return Err(refuse(
                "its path must be lower-case letters, digits, and '.', '_', '-' between them",
            ));
        }
        Ok(Self {
            text: text.into(),
            tag,
        })
    }
}

impl TryFrom<String> for ImageRef {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Self, ImageError> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.text.into()
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_version_is_the_tag_and_nothing_else() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, version) in [
            ("registry/img:v1.2.0", "v1.2.0"),
            ("registry/img:latest", "latest"),
            ("registry/img", ""),
            ("img", ""),
            ("127.0.0.1:5000/img", ""),
            ("registry.example:8443/a/b:v2", "v2"),
            (&format!("registry:5000/img@{digest}"), ""),
            (&format!("registry:5000/img:v3@{digest}"), "v3"),
        ] {
            assert_eq!(
                image.parse::<ImageRef>().unwrap().version(),
                version,
                "{image}"
            );
        }
    }

    #[test]
    fn bad_references_are_refused() {
        for bad in [
            "",
            "-rm",
            "--privileged",
            "IMG",
            "a//b",
            "a/",
            "/a",
            "a:",
            "a:-x",
            "a b",
            "a\n",
            "a@sha256:12",
            "a@md5:aa",
            "host.example:99999/a",
            "host.example:/a",
            "-h.example/a",
            "a:tag:tag",
            "a\u{1b}[0m",
            &"a".repeat(600),
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_localhost_without_a_port_is_local() {
        assert!("localhost/a:1".parse::<ImageRef>().unwrap().is_local());
        assert!(!"localhost:5000/a:1".parse::<ImageRef>().unwrap().is_local());
        assert!(
            !"localhost.example/a"
                .parse::<ImageRef>()
                .unwrap()
                .is_local()
        );
    }

    proptest! {
        #[test]
        fn no_reference_is_ever_a_flag(text in "\\PC{0,40}") {
            if let Ok(image) = text.parse::<ImageRef>() {
                prop_assert!(!image.as_str().starts_with('-'));
                prop_assert!(image.as_str().is_ascii());
            }
        }
    }
}
