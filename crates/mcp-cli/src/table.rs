//! Tables for people.
//!
//! Every cell is escaped here, whoever made it: names of foreign containers, causes and error
//! texts come from elsewhere and could move the cursor.

use comfy_table::{Attribute, Cell, Color, presets};
use mcp_model::text;

/// How a cell looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Good,
    Bad,
    Doubtful,
    Faint,
}

/// One value of a row.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    text: String,
    look: Look,
}

impl Value {
    /// `text` with a look of its own.
    pub(crate) fn new(text: impl Into<String>, look: Look) -> Self {
        Self {
            text: text.into(),
            look,
        }
    }

    /// A state in its colour. What is unknown never looks good.
    pub(crate) fn state(state: &str) -> Self {
        let look = match state {
            "running" => Look::Good,
            "exited" | "removed" => Look::Bad,
            "stopped" | "ignore" => Look::Faint,
            _ => Look::Doubtful,
        };
        Self::new(state, look)
    }

    /// `absent` stands where there is no text.
    fn cell(&self, absent: &str) -> Cell {
        let shown = match text::escape(&self.text) {
            safe if safe.is_empty() => absent.to_owned(),
            safe => safe.into_owned(),
        };
        let cell = Cell::new(shown);
        match self.look {
            Look::Plain => cell,
            Look::Good => cell.fg(Color::DarkGreen),
            Look::Bad => cell.fg(Color::DarkRed),
            Look::Doubtful => cell.fg(Color::DarkYellow),
            Look::Faint => cell.add_attribute(Attribute::Dim),
        }
    }
}

impl<T: Into<String>> From<T> for Value {
    fn from(text: T) -> Self {
        Self::new(text, Look::Plain)
    }
}

/// A table that is built row by row. Columns in brackets (`[NOTE]`) disappear where no row fills
/// them.
#[derive(Debug)]
pub(crate) struct Table {
    header: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// A table with these column titles.
    pub(crate) fn new(header: &'static [&'static str]) -> Self {
        Self {
            header,
            rows: Vec::new(),
        }
    }

    /// Adds a row, one value for each title.
    pub(crate) fn row<const N: usize>(&mut self, values: [Value; N]) {
        debug_assert_eq!(N, self.header.len(), "a row has one value per column");
        self.rows.push(values.into());
    }

    /// Whether no row was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, styled; [`crate::output`] takes the styles away where they do not
    /// belong.
    pub(crate) fn render(&self) -> String {
        let keep: Vec<usize> = (0..self.header.len())
            .filter(|&i| !self.is_optional(i) || self.is_filled(i))
            .collect();
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).enforce_styling();
        table.style_text_only();
        table.set_header(keep.iter().map(|&i| {
            Cell::new(self.header[i].trim_matches(['[', ']'])).add_attribute(Attribute::Bold)
        }));
        for row in &self.rows {
            table.add_row(keep.iter().map(|&i| row[i].cell(self.absent(i))));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<String> = table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        lines.join("\n") + "\n"
    }

    fn is_optional(&self, column: usize) -> bool {
        self.header[column].starts_with('[')
    }

    /// What stands for nothing: a dash where something could be expected.
    fn absent(&self, column: usize) -> &'static str {
        if self.is_optional(column) { "" } else { "-" }
    }

    fn is_filled(&self, column: usize) -> bool {
        self.rows.iter().any(|row| !row[column].text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(table: &Table) -> String {
        anstream::adapter::strip_str(&table.render()).to_string()
    }

    #[test]
    fn columns_line_up_and_unused_ones_disappear() {
        let mut table = Table::new(&["NAME", "STATE", "[NOTE]"]);
        table.row(["a".into(), Value::state("running"), "".into()]);
        table.row(["longer".into(), "".into(), "".into()]);
        let lines: Vec<String> = plain(&table)
            .lines()
            .map(|l| l.trim_end().to_owned())
            .collect();
        assert_eq!(lines, ["NAME    STATE", "a       running", "longer  -"]);
    }

    #[test]
    fn hostile_text_is_escaped_in_every_cell() {
        let mut table = Table::new(&["NAME"]);
        table.row(["\u{1b}]0;owned\u{7}\r\n\u{202e}x".into()]);
        let text = plain(&table);
        assert!(
            text.contains(r"\u{1b}]0;owned\u{7}\r\n\u{202e}x"),
            "{text:?}"
        );
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn unknown_never_looks_good() {
        for state in ["unknown", "", "paused", "Running"] {
            assert_eq!(Value::state(state).look, Look::Doubtful, "{state}");
        }
    }
}
