//! Deaths in plain words (S33).

use std::fmt::Write as _;

use mcp_model::{Container, ImageRef, text};

use crate::plan::Action;

/// Says how a container's process ended: `137: killed (SIGKILL), out of memory at 256 MiB`.
/// Empty where it did not end, or where nothing is known of its end.
pub fn death(container: &Container) -> String {
    let Some(exit) = container.exit else {
        return String::new();
    };
    let mut words = format!("{}: {}", exit.code, code(exit.code));
    if exit.out_of_memory {
        words.push_str(", out of memory");
        if let Some(limit) = container.memory_limit {
            let _ = write!(words, " at {}", bytes(limit));
        }
    }
    words
}

/// The last lines that a container wrote, made safe to show, behind what is known of its death.
pub fn with_last_lines(death: &str, lines: &[String]) -> String {
    let shown: Vec<_> = lines
        .iter()
        .map(|line| text::escape(line.trim_end()).into_owned())
        .filter(|line| !line.is_empty())
        .map(|line| text::shorten(&line, 200).into_owned())
        .collect();
    match (death.is_empty(), shown.is_empty()) {
        (_, true) => death.to_owned(),
        (true, false) => format!("last output: {}", shown.join(" | ")),
        (false, false) => format!("{death}; last output: {}", shown.join(" | ")),
    }
}

/// Says what the runtime would be asked to do. `image` is that of the spec that is acted on.
pub fn action(action: &Action, image: &ImageRef) -> String {
    match action {
        Action::Pull { image, .. } => format!("pull {image}"),
        Action::Stop { instance, grace } => format!(
            "stop container {}, killing it after {} s",
            instance.id.short(),
            grace.as_secs()
        ),
        Action::SetAside(id) => format!("move container {} aside", id.short()),
        Action::Run => format!("make and start a container from {image}"),
        Action::Start(id) => format!("start container {}", id.short()),
        Action::Remove(id) => format!("remove container {}", id.short()),
        Action::PutBack(id) => format!("put container {} back", id.short()),
    }
}

fn code(code: i32) -> String {
    match code {
        0 => "ended without an error".to_owned(),
        125 => "the runtime could not start it".to_owned(),
        126 => "command could not be run".to_owned(),
        127 => "command not found".to_owned(),
        129..=192 => match signal(code - 128) {
            Some((name, verb)) => format!("{verb} ({name})"),
            None => format!("ended by signal {}", code - 128),
        },
        _ => "ended with an error".to_owned(),
    }
}

/// A signal's name and what it does to a process, on Linux.
fn signal(number: i32) -> Option<(&'static str, &'static str)> {
    Some(match number {
        1 => ("SIGHUP", "hung up"),
        2 => ("SIGINT", "interrupted"),
        3 => ("SIGQUIT", "quit"),
        4 => ("SIGILL", "illegal instruction"),
        6 => ("SIGABRT", "aborted"),
        7 => ("SIGBUS", "bus error"),
        8 => ("SIGFPE", "arithmetic error"),
        9 => ("SIGKILL", "killed"),
        11 => ("SIGSEGV", "segmentation fault"),
        13 => ("SIGPIPE", "broken pipe"),
        15 => ("SIGTERM", "terminated"),
        _ => return None,
    })
}

fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS
        .iter()
        .find(|(size, _)| count >= *size && count.is_multiple_of(*size))
        .map_or_else(
            || format!("{count} bytes"),
            |(size, unit)| format!("{} {unit}", count / size),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_said_in_plain_words() {
        for (number, words) in [
            (0, "ended without an error"),
            (1, "ended with an error"),
            (125, "the runtime could not start it"),
            (126, "command could not be run"),
            (127, "command not found"),
            (137, "killed (SIGKILL)"),
            (139, "segmentation fault (SIGSEGV)"),
            (143, "terminated (SIGTERM)"),
            (162, "ended by signal 34"),
            (255, "ended with an error"),
        ] {
            assert_eq!(code(number), words, "{number}");
        }
    }

    #[test]
    fn sizes_are_said_as_they_were_set() {
        assert_eq!(bytes(256 << 20), "256 MiB");
        assert_eq!(bytes(1 << 30), "1 GiB");
        assert_eq!(bytes(1000), "1000 bytes");
    }

    #[test]
    fn last_lines_are_escaped_and_shortened() {
        let lines = [
            "\u{1b}[31mpanic\r\n".to_owned(),
            String::new(),
            "x".repeat(300),
        ];
        let words = with_last_lines("1: ended with an error", &lines);
        assert!(words.starts_with("1: ended with an error; last output: \\u{1b}[31mpanic | xxx"));
        assert!(words.ends_with('…') && words.len() < 300);
        assert!(!words.contains(char::is_control));
    }
}
