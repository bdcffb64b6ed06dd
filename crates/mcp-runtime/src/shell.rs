//! Commands as a person would type them: for `--dry-run` and error texts, secrets masked (S20).

use mcp_model::text;

use crate::argv::Command;

/// What stands in place of a secret.
const MASK: &str = "***";

/// Renders a command with its environment so that a shell runs the same thing, except that values
/// of variables whose name suggests a secret are masked.
pub fn shell_line(command: &Command) -> String {
    let mut words: Vec<String> = command
        .env
        .iter()
        .map(|(name, value)| assignment(name, value))
        .collect();
    words.push(quote(&command.program));
    let mut flags = true;
    for arg in &command.args {
        flags &= arg != "--";
        let env = if flags { split_env(arg) } else { None };
        words.push(match env {
            Some((name, _)) if is_secret(name) => format!("--env={name}={MASK}"),
            _ => quote(arg),
        });
    }
    words.join(" ")
}

/// Removes the secrets that a command carries from a text that it led to.
pub(crate) fn redact(command: &Command, text: &str) -> String {
    // A shorter value is no secret worth the name, and replacing it would garble every message.
    const SHORTEST: usize = 4;
    let flags = command.args.iter().take_while(|arg| *arg != "--");
    let carried = flags.filter_map(|arg| split_env(arg));
    let own = command.env.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    let mut text = text.to_owned();
    for (name, value) in carried.chain(own) {
        if is_secret(name) && value.len() >= SHORTEST {
            text = text.replace(value, MASK);
        }
    }
    text
}

fn split_env(arg: &str) -> Option<(&str, &str)> {
    arg.strip_prefix("--env=")?.split_once('=')
}

fn assignment(name: &str, value: &str) -> String {
    if is_secret(name) {
        format!("{name}={MASK}")
    } else {
        format!("{name}={}", quote(&mask_login(value)))
    }
}

/// Whether a variable's name suggests that its value is secret.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["PASSWORD", "PASSWD", "TOKEN", "SECRET", "KEY", "CREDENTIAL"]
        .iter()
        .any(|word| name.contains(word))
}

/// Masks the login of a URL, as proxies carry it.
fn mask_login(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let authority = rest.find('/').unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{MASK}{}", &rest[at..]),
        None => value.to_owned(),
    }
}

/// Quotes a word for a POSIX shell; one that holds control or deceptive characters becomes
/// `$'…'`, so that printing it cannot move the cursor.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.contains(text::is_hostile) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let quoted: String = word.chars().map(quote_char).collect();
    format!("$'{quoted}'")
}

/// One character within `$'…'`.
fn quote_char(c: char) -> String {
    match c {
        '\'' | '\\' => format!("\\{c}"),
        '\n' => r"\n".to_owned(),
        c if c.is_ascii_control() => format!("\\{:03o}", u32::from(c)),
        c if text::is_hostile(c) => format!("\\U{:08x}", u32::from(c)),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn command(env: &[(&str, &str)], args: &[&str]) -> Command {
        Command {
            program: "podman".into(),
            args: args.iter().map(|&a| a.to_owned()).collect(),
            env: env
                .iter()
                .map(|&(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
        }
    }

    #[test]
    fn a_printed_command_shows_environment_and_global_arguments() {
        let command = command(
            &[("CONTAINERS_CONF", "/etc/my conf")],
            &["--root=/s", "rm", "--", "it's"],
        );
        assert_eq!(
            shell_line(&command),
            r"CONTAINERS_CONF='/etc/my conf' podman --root=/s rm -- 'it'\''s'"
        );
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let command = command(
            &[
                ("API_TOKEN", "tok-1"),
                ("HTTPS_PROXY", "http://me:pw@proxy:3128"),
            ],
            &[
                "run",
                "--env=DB_PASSWORD=hunter2",
                "--env=A=plain",
                "--",
                "i",
                "--env=MY_KEY=kept",
            ],
        );
        assert_eq!(
            shell_line(&command),
            "API_TOKEN=*** HTTPS_PROXY='http://***@proxy:3128' podman run --env=DB_PASSWORD=*** \
             --env=A=plain -- i --env=MY_KEY=kept"
        );
        let said = "bad value hunter2 from tok-1, plain";
        assert_eq!(redact(&command, said), "bad value *** from ***, plain");
    }

    #[test]
    fn a_printed_command_cannot_move_the_cursor() {
        let line = shell_line(&command(&[], &["a\u{1b}[2J\n\u{202e}b\\'"]));
        assert_eq!(line, r"podman $'a\033[2J\n\U0000202eb\\\''");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_shell_reads_back_what_was_meant(words in proptest::collection::vec("[^\0\u{80}-\u{10ffff}]{0,12}", 1..5)) {
            let mut printf = command(&[], &[r"%s\0"]);
            printf.program = "printf".into();
            printf.args.extend(words.iter().cloned());
            let shell = std::process::Command::new("bash")
                .args(["-c", &shell_line(&printf)])
                .output()
                .unwrap();
            let read: Vec<String> = String::from_utf8(shell.stdout)
                .unwrap()
                .split_terminator('\0')
                .map(str::to_owned)
                .collect();
            prop_assert_eq!(read, words);
        }
    }
}
