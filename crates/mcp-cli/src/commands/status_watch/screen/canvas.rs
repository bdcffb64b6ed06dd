//! Text in place of the text before it, on a terminal of any size.
//!
//! No line is wider than the terminal and there are fewer of them than it has rows, so that what was
//! drawn is as many rows high as it has lines and none of it has scrolled away: only then can the
//! cursor go back to its beginning.

use std::fmt::Write as _;

use console::{Term, truncate_str};

/// The cursor goes to the beginning of the screen, which is emptied.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
/// The rest of the line is emptied.
const TO_THE_RIGHT: &str = "\u{1b}[K";
/// The rest of the screen is emptied.
const BELOW: &str = "\u{1b}[J";
/// The least that anything is drawn on.
const LEAST: usize = 2;

/// How much fits on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Size {
    /// What standard output is shown on has now.
    pub(super) fn of_the_terminal() -> Self {
        let (rows, columns) = Term::stdout().size();
        Self {
            rows: LEAST.max(rows.into()),
            columns: LEAST.max(columns.into()),
        }
    }
}

/// What stands on the terminal.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    /// How many rows were drawn, and on what.
    drawn: Option<(usize, Size)>,
}

impl Canvas {
    /// What is to be written for `text` to stand where the text before it does.
    pub(super) fn frame(&mut self, text: &str, size: Size) -> String {
        let mut frame = match self.drawn {
            None => String::new(),
            Some((rows, before)) if before == size => back(rows),
            // Terminals differ in what becomes of long lines then: nothing is where it was.
            Some(_) => CLEAR.to_owned(),
        };
        let lines = fitting(text, size);
        for line in &lines {
            // Cut lines end in whatever style they had.
            let line = truncate_str(line, size.columns, "…");
            // Cannot fail: it is written to memory.
            let _ = writeln!(frame, "{line}\u{1b}[0m{TO_THE_RIGHT}");
        }
        frame.push_str(BELOW);
        self.drawn = Some((lines.len(), size));
        frame
    }
}

/// The cursor goes to the beginning of what was drawn. It is in the row after it.
fn back(rows: usize) -> String {
    match rows {
        0 => "\r".to_owned(),
        rows => format!("\r\u{1b}[{rows}A"),
    }
}

/// The lines for which there is room, and how many there are beside them.
fn fitting(text: &str, size: Size) -> Vec<String> {
    let room = size.rows - 1;
    let all = text.lines().count();
    if all <= room {
        return text.lines().map(str::to_owned).collect();
    }
    let shown = room - 1;
    let more = format!("… {} more lines: mcp status shows them", all - shown);
    text.lines()
        .take(shown)
        .map(str::to_owned)
        .chain([more])
        .collect()
}
