//! What podman prints. The whole is read or refused: never a part of it, which would make
//! containers disappear (S25).

use mcp_model::{Container, text};
use mcp_runtime::parse;
use serde::de::IgnoredAny;

/// Any bytes as `podman ps --format=json`.
pub(crate) fn check_listing(data: &[u8]) {
    let listing = parse::listing(data);
    if let Ok(containers) = &listing {
        check_whole(data, containers);
        check_truncated(data, |cut| parse::listing(cut).is_err());
    } else if let Err(error) = &listing {
        check_words(&error.to_string());
    }
    // Another reader of the same bytes: it agrees on whether they can be read.
    let phantom = parse::has_phantom(data, "hello-web");
    assert_eq!(phantom.is_ok(), listing.is_ok());
}

/// Any bytes as `podman container inspect`.
pub(crate) fn check_inspection(data: &[u8]) {
    let inspection = parse::inspection(data);
    let files = parse::log_files(data);
    match inspection {
        Ok(containers) => {
            check_whole(data, &containers);
            check_truncated(data, |cut| parse::inspection(cut).is_err());
            for (id, path) in files {
                assert!(path.is_absolute(), "{} would be guessed", path.display());
                let known = containers.iter().any(|c| c.instance.id == id);
                assert!(known, "{id} is nobody's");
            }
        }
        Err(error) => {
            check_words(&error.to_string());
            assert!(
                files.is_empty(),
                "nothing is taken from what cannot be read"
            );
        }
    }
}

/// Any bytes as a line of `podman events --format=json`: an id that the line names, or nothing.
pub(crate) fn check_event(data: &[u8]) {
    let Some(id) = parse::event(data) else {
        return;
    };
    let whole: Result<IgnoredAny, _> = serde_json::from_slice(data);
    assert!(whole.is_ok(), "an id comes from JSON only");
    let text = String::from_utf8_lossy(data);
    let named = text.contains(id.as_str()) || text.contains("\\u");
    assert!(named, "{id} is not in the line");
}

/// As many containers as the JSON has entries, and each within what it may be.
fn check_whole(data: &[u8], containers: &[Container]) {
    // Not as values: those want UTF-8 in fields too that nobody reads.
    let entries: Vec<IgnoredAny> = serde_json::from_slice(data).expect("it is a list");
    assert_eq!(containers.len(), entries.len(), "a container was left out");
    for container in containers {
        assert!(container.instance.pid != Some(0));
        assert!(container.memory_limit != Some(0));
        let started = container.instance.started_at;
        for stamp in started.iter().chain(&container.finished_at) {
            assert!(stamp.as_millis() > 0, "a time before 1970 means never");
        }
    }
}

/// Without its last byte it is no answer any more, let alone a shorter one.
fn check_truncated(data: &[u8], is_refused: impl Fn(&[u8]) -> bool) {
    let whole = data.trim_ascii_end();
    assert!(
        is_refused(&whole[..whole.len() - 1]),
        "a cut answer is read"
    );
}

/// What is said of podman's words can be logged and shown as it is, once escaped, and is short
/// enough for both.
fn check_words(words: &str) {
    assert!(
        text::escape(words).len() <= 64 * 1024,
        "an error as long as its cause"
    );
}
