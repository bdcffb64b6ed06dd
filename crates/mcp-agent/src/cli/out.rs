//! The one place that prints.

use std::io::Write as _;

/// Data: to standard output.
pub(super) fn data(text: &str) {
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Talk: to standard error.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Why a command failed, cause by cause.
pub(super) fn failure(error: &anyhow::Error) {
    say(&format!("mcp-agent: {error:#}"));
}
