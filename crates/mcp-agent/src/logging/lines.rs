//! Where log records become lines.
//!
//! A record is escaped as a whole and in the last moment: fields hold names of foreign containers,
//! podman's words and callers' paths, and no place that logs can forget it. What is escaped is
//! written as JSON writes it, so that a record that is JSON stays the same record.

use std::io::{self, Write};

use mcp_model::text::{is_hostile, push_json_escape};

/// Writes each record as one line. The formatter hands over a record in one call.
///
/// A record that cannot be written is lost, and nobody is told: the formatter would tell standard
/// error, which is what cannot be written, and the standard library panics there. A log on a full
/// disk, or in a pipe that nobody reads any more, must not end what was being logged; the registry
/// has its own record of who did what (S42).
pub(super) struct Lines<W> {
    inner: W,
    /// Whether the formatter's own colours are let through.
    styled: bool,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(inner: W, styled: bool) -> Self {
        Self { inner, styled }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut safe = escape(line, self.styled);
        safe.push('\n');
        let _ = self.inner.write_all(safe.as_bytes());
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.inner.flush();
        Ok(())
    }
}

fn escape(line: &str, styled: bool) -> String {
    let mut safe = String::with_capacity(line.len() + 1);
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let style = if styled { style(rest) } else { "" };
        let length = if style.is_empty() {
            c.len_utf8()
        } else {
            style.len()
        };
        if !style.is_empty() || !is_hostile(c) {
            safe.push_str(&rest[..length]);
        } else {
            push_json_escape(c, &mut safe);
        }
        rest = &rest[length..];
    }
    safe
}

/// The colour or weight that `text` begins with; empty where it begins with anything else.
fn style(text: &str) -> &str {
    let Some(codes) = text.strip_prefix("\u{1b}[") else {
        return "";
    };
    let end = codes.find(|c: char| !c.is_ascii_digit() && c != ';');
    match end {
        Some(end) if codes[end..].starts_with('m') => &text[..end + 3],
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::SubscriberBuilder;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str =
        "\u{1b}]0;owned\u{7}\u{1b}[2J\r\n2026 ERROR forged\u{202e}\u{9b}\u{e0041}";

    /// What is logged of the hostile text: as a message, a shown field and a quoted field.
    fn logged(json: bool, styled: bool) -> String {
        let written = Written::default();
        let writer = written.clone();
        let builder = SubscriberBuilder::default()
            .with_ansi(styled)
            .with_writer(move || Lines::new(writer.clone(), styled));
        let log = || {
            tracing::info!(shown = %HOSTILE, quoted = ?HOSTILE, text = HOSTILE, "{HOSTILE}");
        };
        if json {
            tracing::subscriber::with_default(builder.json().finish(), log);
        } else {
            tracing::subscriber::with_default(builder.finish(), log);
        }
        let written = written.0.lock().unwrap().clone();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn a_log_record_is_one_line_that_moves_no_cursor() {
        for (json, styled) in [(true, false), (false, false), (false, true)] {
            let text = logged(json, styled);
            let line = text.strip_suffix('\n').expect("a line ends");
            let mut plain = line.to_owned();
            while let Some(at) = plain.find("\u{1b}[").filter(|_| styled) {
                let length = style(&plain[at..]).len();
                assert!(length > 0, "{line:?}");
                plain.replace_range(at..at + length, "");
            }
            assert!(
                !plain.contains(is_hostile),
                "json {json}, styled {styled}: {line:?}"
            );
            assert!(plain.contains("forged"), "{line:?}");
        }
    }

    #[test]
    fn a_record_that_is_json_is_still_the_same_record() {
        let record: serde_json::Value = serde_json::from_str(&logged(true, false)).unwrap();
        assert_eq!(record["fields"]["shown"], HOSTILE);
    }

    #[test]
    fn only_colours_and_weights_are_let_through() {
        for (line, expected) in [
            ("\u{1b}[2mx\u{1b}[0m", "\u{1b}[2mx\u{1b}[0m"),
            ("\u{1b}[38;5;1mx", "\u{1b}[38;5;1mx"),
            ("\u{1b}[2Jx", r"\u001b[2Jx"),
            ("\u{1b}[2", r"\u001b[2"),
            ("\u{1b}", r"\u001b"),
        ] {
            assert_eq!(escape(line, true), expected);
            assert!(!escape(line, false).contains('\u{1b}'));
        }
    }
}
