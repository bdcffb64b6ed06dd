//! The only place that prints.
//!
//! Standard output carries data, once and at the end: a table, or with `--output json` one
//! document and nothing else. Everything said meanwhile goes to standard error. Colours and
//! control characters of our own are taken away by `anstream` where there is no terminal or
//! `NO_COLOR` is set; those of others never get here unescaped.

use std::io::{self, BufRead, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use mcp_model::text;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::args::Format;
use crate::problem;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// Something that can be shown to people and to programs.
pub(crate) trait Show: Serialize {
    /// As text; may carry styles, must carry no unescaped text from elsewhere.
    fn text(&self) -> String;
}

/// Where the command's words go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    verbose: bool,
    colour: ColorChoice,
}

impl Output {
    /// Where the options say.
    pub(crate) fn new(format: Format, no_color: bool, verbose: bool) -> Self {
        let colour = if no_color {
            ColorChoice::Never
        } else {
            ColorChoice::Auto
        };
        Self {
            format,
            verbose,
            colour,
        }
    }

    fn stderr(self) -> AutoStream<io::Stderr> {
        AutoStream::new(io::stderr(), self.colour)
    }

    fn talk(self, text: &str) {
        // Standard error may be gone too; then there is nobody left to tell.
        let _ = writeln!(self.stderr(), "{text}");
    }

    /// Shows a result on standard output.
    pub(crate) fn show(self, result: &impl Show) -> io::Result<()> {
        match self.format {
            Format::Table => self.data(&result.text()),
            Format::Json => self.data(&json(result)?),
        }
    }

    /// Writes to standard output. A reader that went away (`mcp list | head -1`) has what it
    /// wanted: that is not an error.
    pub(crate) fn data(self, text: &str) -> io::Result<()> {
        let mut stdout = AutoStream::new(io::stdout(), self.colour);
        match stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }

    /// Writes one line of data while others are still to come. Returns whether anybody reads.
    pub(crate) fn line(self, text: &str) -> io::Result<bool> {
        let mut stdout = AutoStream::new(io::stdout(), self.colour);
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Whether results are for programs.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Whether a result may be drawn again in its place.
    pub(crate) fn may_redraw(self) -> bool {
        !self.is_json() && io::stdout().is_terminal()
    }

    /// Text for a terminal, without styles where they are not wanted.
    pub(crate) fn styled(self, text: &str) -> String {
        match AutoStream::new(io::stdout(), self.colour).current_choice() {
            ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
            _ => text.to_owned(),
        }
    }

    /// Writes to a terminal as it is, moves of the cursor included. What it shows was
    /// [`styled`](Self::styled) before.
    pub(crate) fn draw(frame: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(frame.as_bytes())?;
        stdout.flush()
    }

    /// Tells the operator something that is not data.
    pub(crate) fn note(self, text: &str) {
        self.talk(&safe(text, "  "));
    }

    /// Tells only those who asked for more.
    pub(crate) fn detail(self, text: &str) {
        if self.verbose {
            self.talk(&format!("{FAINT}{}{FAINT:#}", safe(text, "  ")));
        }
    }

    /// Something that the operator should look at, though the command goes on.
    pub(crate) fn warn(self, text: &str) {
        self.talk(&format!(
            "{WARNING}warning{WARNING:#}: {}",
            safe(text, "  ")
        ));
    }

    /// An error with its causes and what to do about it.
    pub(crate) fn error(self, error: &anyhow::Error) {
        self.talk(&error_text(error));
    }

    /// Whether a person is there to be asked.
    pub(crate) fn can_ask() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Whether progress may move on the screen.
    pub(crate) fn is_live() -> bool {
        io::stderr().is_terminal()
    }

    /// Asks a question that only an explicit yes answers.
    pub(crate) fn confirm(self, question: &str) -> io::Result<bool> {
        let answer = self.ask(&format!("{question} [y/N]"))?;
        Ok(is_yes(&answer))
    }

    /// Asks for a line.
    pub(crate) fn ask(self, question: &str) -> io::Result<String> {
        let mut stderr = self.stderr();
        write!(stderr, "{} ", safe(question, "  "))?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        answer.truncate(answer.trim_end_matches(['\r', '\n']).len());
        Ok(answer)
    }

    /// Asks for a line that does not appear on the terminal.
    pub(crate) fn ask_secret(question: &str) -> io::Result<Zeroizing<String>> {
        rpassword::prompt_password(format!("{} ", safe(question, "  "))).map(Zeroizing::new)
    }
}

/// An error with its causes and what to do about it, as it is shown.
pub(crate) fn error_text(error: &anyhow::Error) -> String {
    if let Some(rendered) = crate::definitions::rendered(error) {
        return rendered;
    }
    let mut lines = vec![format!(
        "{ERROR}error{ERROR:#}: {}",
        safe(&error.to_string(), "  ")
    )];
    let because = |cause: &(dyn std::error::Error + 'static)| {
        format!("  because: {}", safe(&cause.to_string(), "    "))
    };
    lines.extend(error.chain().skip(1).map(because));
    lines.extend(problem::help_of(error).map(|help| format!("  help: {}", safe(help, "    "))));
    lines.join("\n")
}

/// One document. What a terminal would not show as it is stands escaped in it: JSON itself asks
/// that only of ASCII's control characters.
pub(crate) fn json(result: &impl Serialize) -> serde_json::Result<String> {
    let document = serde_json::to_string_pretty(result)?;
    let mut shown = String::with_capacity(document.len() + 1);
    for c in document.chars() {
        if c == '\n' || !text::is_hostile(c) {
            shown.push(c);
        } else {
            // Outside of strings there are none, and within them this is the same character.
            text::push_json_escape(c, &mut shown);
        }
    }
    shown.push('\n');
    Ok(shown)
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Escapes text from elsewhere line by line; further lines are indented, so that none of them
/// can pass for one of ours.
fn safe(text: &str, indent: &str) -> String {
    let lines: Vec<_> = text.trim_end().split('\n').map(text::escape).collect();
    lines.join(&format!("\n{indent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_explicit_yes_is_a_yes() {
        for answer in ["y", "Y\n", " yes \n", "YES"] {
            assert!(is_yes(answer), "{answer:?}");
        }
        for answer in ["", "\n", "n", "no", "yep", "y e s", "\u{1b}y"] {
            assert!(!is_yes(answer), "{answer:?}");
        }
    }

    #[test]
    fn a_document_is_the_same_and_cannot_move_the_cursor() {
        let names = [
            "plain",
            "\u{1b}[2J\r\n\u{7f}\u{9b}",
            "\u{202e}\u{e0041}\u{feff}🦀",
        ];
        let shown = json(&names).unwrap();
        assert!(
            shown.chars().all(|c| c == '\n' || !text::is_hostile(c)),
            "{shown:?}"
        );
        let read: Vec<String> = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, names);
    }

    #[test]
    fn lines_from_elsewhere_are_escaped_and_indented() {
        assert_eq!(
            safe("a\r\u{1b}[2J\nerror: b\n", "    "),
            "a\\r\\u{1b}[2J\n    error: b"
        );
    }
}
