//! What podman says when it fails: which failure it is, and the one line worth passing on. Pure.

use std::borrow::Cow;

use mcp_model::text;

use crate::argv::Command;
use crate::error::{Call, RuntimeError};
use crate::process::Finished;
use crate::shell::redact;

/// Longest text of the runtime's that is passed on, in characters.
const MOST: usize = 300;

/// Reads the failure out of a process that ended with an error.
pub(crate) fn failure(
    call: Call,
    object: &str,
    command: &Command,
    finished: &Finished,
) -> RuntimeError {
    let said = String::from_utf8_lossy(&finished.stderr);
    let line = meaningful_line(&said);
    let object = object.to_owned();
    let words = match (line, finished.code) {
        (Some(line), _) => tidy(&redact(command, &with_reason(line, &said))),
        (None, Some(code)) => format!("it ended with exit code {code} and no word"),
        (None, None) => "it was killed by a signal".to_owned(),
    };
    let line = line.unwrap_or_default();
    if takes_a_name(call) && says_name_taken(line) {
        return RuntimeError::NameTaken {
            call,
            object,
            words,
        };
    }
    if call == Call::Run && line.contains("image not known") {
        return RuntimeError::ImageMissing {
            call,
            object,
            words,
        };
    }
    if names_a_container(call) && says_no_such_container(line) {
        return RuntimeError::NotFound {
            call,
            object,
            words,
        };
    }
    RuntimeError::Failed {
        call,
        object,
        exit: finished.code,
        words,
    }
}

fn takes_a_name(call: Call) -> bool {
    matches!(call, Call::Run | Call::Rename)
}

fn names_a_container(call: Call) -> bool {
    matches!(
        call,
        Call::Inspect
            | Call::InspectName
            | Call::Start
            | Call::Stop
            | Call::Remove
            | Call::Rename
            | Call::Logs
    )
}

/// "already in use" alone may be a port's address.
fn says_name_taken(line: &str) -> bool {
    line.contains("that name is already in use")
        || (line.contains("container name") && line.contains("already in use"))
        || (line.contains(": name ") && line.contains("already in use, cannot rename"))
}

fn says_no_such_container(line: &str) -> bool {
    line.contains("no such container") || line.contains("no container with name or ID")
}

/// Whether podman knows a container whose storage is gone: its removal was cut off in the middle.
pub(crate) fn is_half_removed(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::Failed { words, .. }
        if words.contains("getting container from store") && words.contains("container not known"))
}

/// podman's last `Error:` line; else the last line that is not a log line; else the last one.
fn meaningful_line(said: &str) -> Option<&str> {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().rev().find_map(|line| line.strip_prefix("Error:"));
    let plain = || lines().rev().find(|line| !line.starts_with("time=\""));
    error
        .map(str::trim)
        .or_else(plain)
        .or_else(|| lines().next_back())
}

/// podman passes an OCI runtime's exit status on and leaves its reason to a log line.
fn with_reason<'a>(line: &'a str, said: &'a str) -> Cow<'a, str> {
    let is_bare = line
        .rsplit_once("exit status ")
        .is_some_and(|(_, code)| code.parse::<u8>().is_ok());
    let reason = said.lines().rev().find_map(|line| {
        let (_, quoted) = line.split_once("level=error msg=\"")?;
        quoted.trim_end().strip_suffix('"')
    });
    match reason.filter(|_| is_bare) {
        Some(reason) => format!("{} ({line})", unquoted(reason)).into(),
        None => line.into(),
    }
}

/// A log line's message as it was before it was quoted, or a secret in it would not be known again.
fn unquoted(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some(c @ ('"' | '\\')) => text.push(c),
            // Of another kind, which is left as it is.
            other => text.extend(std::iter::once('\\').chain(other)),
        }
    }
    text
}

fn tidy(line: &str) -> String {
    text::shorten(&text::escape(line), MOST).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argv::PodmanArgs;

    fn fail(call: Call, stderr: &str) -> RuntimeError {
        fail_with("hunter2", call, stderr)
    }

    fn fail_with(secret: &str, call: Call, stderr: &str) -> RuntimeError {
        let mut command = PodmanArgs::default().version();
        command.args = vec![
            "run".into(),
            format!("--env=PASSWORD={secret}"),
            "--".into(),
        ];
        let finished = Finished {
            code: Some(125),
            stdout: Vec::new(),
            stderr: stderr.into(),
        };
        failure(call, "it", &command, &finished)
    }

    fn kind(error: &RuntimeError) -> &'static str {
        match error {
            RuntimeError::NameTaken { .. } => "name taken",
            RuntimeError::NotFound { .. } => "not found",
            RuntimeError::ImageMissing { .. } => "image missing",
            RuntimeError::Failed { .. } => "failed",
            _ => "other",
        }
    }

    #[test]
    fn failures_of_every_major_are_told_apart() {
        let name_3 = r#"Error: error creating container storage: the container name "web" is already in use by "0dd5". You have to remove that container to be able to reuse that name.: that name is already in use"#;
        let name_5 = r#"Error: creating container storage: the container name "web" is already in use by 0dd5. You have to remove that container to be able to reuse that name: that name is already in use, or use --replace to instruct Podman to do so."#;
        let rename = "Error: renaming container 0dd5: name web2 already in use, cannot rename container 0dd5: container already exists";
        let port = "Error: cannot listen on the TCP port: listen tcp4 127.0.0.1:80: bind: address already in use";
        let image = "Error: localhost/nope:1: image not known";
        let gone = r#"Error: no container with name or ID "ffff" found: no such container"#;
        let inspect_3 = "Error: error inspecting object: no such container ffff";
        for (call, said, expected) in [
            (Call::Run, name_3, "name taken"),
            (Call::Run, name_5, "name taken"),
            (Call::Rename, rename, "name taken"),
            (Call::Run, port, "failed"),
            (Call::Start, port, "failed"),
            (Call::Run, image, "image missing"),
            (Call::Stop, gone, "not found"),
            (Call::Start, gone, "not found"),
            (Call::Inspect, inspect_3, "not found"),
            (Call::List, gone, "failed"),
        ] {
            assert_eq!(kind(&fail(call, said)), expected, "{call:?} {said}");
        }
    }

    #[test]
    fn the_words_are_the_error_line_and_not_the_warnings_around_it() {
        let error = fail(
            Call::Pull,
            "time=\"2026\" level=warning msg=\"Failed, retrying\"\nError: initializing source: refused\n\ntime=\"2026\" level=error msg=\"late\"\n",
        );
        assert_eq!(
            error.to_string(),
            "cannot pull it: initializing source: refused"
        );
    }

    /// As podman 4.3.1 with runc writes it.
    #[test]
    fn the_words_name_the_oci_runtimes_reason_and_not_its_exit_status_alone() {
        let status = "Error: unable to start container \"0dd5\": `/usr/bin/runc start 0dd5` failed: exit status 1";
        let reason =
            r#"time="2026" level=error msg="cannot start \"0dd5\", an already running container""#;
        let said = |lines: &[&str]| fail(Call::Start, &lines.join("\n")).to_string();
        assert_eq!(
            said(&[reason, status]),
            "cannot start it: cannot start \"0dd5\", an already running container (unable to start \
             container \"0dd5\": `/usr/bin/runc start 0dd5` failed: exit status 1)"
        );
        assert!(said(&[status]).ends_with("exit status 1"));
        // Where the error has a reason of its own, a log line is not it.
        let own = "Error: OCI runtime error: runc: container with given ID already exists";
        assert!(said(&[reason, own]).ends_with("already exists"));
    }

    #[test]
    fn words_are_escaped_shortened_and_hold_no_secret() {
        let error = fail(Call::Run, "Error: bad \u{1b}[31m hunter2");
        assert_eq!(error.to_string(), r"cannot run it: bad \u{1b}[31m ***");
        for secret in [
            "hun\\ter",
            "hun\nter",
            "hun\tter",
            "hun\rter",
            "hun\"ter",
            "hun\\nter",
        ] {
            // As podman's log quotes it.
            let said = format!("time=\"x\" level=error msg={:?}", format!("bad {secret}"));
            let error = fail_with(secret, Call::Run, &format!("{said}\nError: exit status 1"));
            let told = error.to_string();
            assert_eq!(told, "cannot run it: bad *** (exit status 1)", "{secret:?}");
        }
        let long = fail(Call::Run, &format!("Error: {}", "x".repeat(5000)));
        assert!(long.to_string().chars().count() < MOST + 40);
        assert_eq!(
            fail(Call::Run, "").to_string(),
            "cannot run it: it ended with exit code 125 and no word"
        );
    }
}
