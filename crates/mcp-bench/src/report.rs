//! What a run says: progress on standard error, one table on standard output.

use std::io::{self, Write as _};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};

use crate::samples::Samples;

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    /// Said for information.
    None,
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn verdict(self, value: f64) -> &'static str {
        let met = match self {
            Self::None => return "-",
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        };
        if met { "met" } else { "missed" }
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    what: String,
    measured: String,
    reference: String,
    ratio: Option<f64>,
    /// The target in words, and whether it is met.
    target: (String, &'static str),
}

impl Row {
    /// A figure that is held against nothing.
    pub(crate) fn new(what: &str, measured: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            measured: measured.into(),
            reference: "-".to_owned(),
            ratio: None,
            target: ("-".to_owned(), Target::None.verdict(0.0)),
        }
    }

    /// Adds what it is compared with.
    pub(crate) fn beside(mut self, reference: impl Into<String>, ratio: f64) -> Self {
        self.reference = reference.into();
        self.ratio = Some(ratio);
        self
    }

    /// The ratio is to be at most `limit`.
    pub(crate) fn ratio_at_most(self, limit: f64) -> Self {
        let ratio = self.ratio.unwrap_or(f64::INFINITY);
        self.held(Target::AtMost(limit), ratio, format!("<= {limit} x"))
    }

    /// `value` is to be at most `limit`; `unit` follows the limit.
    pub(crate) fn at_most(self, value: f64, limit: f64, unit: &str) -> Self {
        self.held(Target::AtMost(limit), value, format!("<= {limit}{unit}"))
    }

    /// `value` is to be at least `limit`; `words` are the limit in words.
    pub(crate) fn at_least(self, value: f64, limit: f64, words: &str) -> Self {
        self.held(Target::AtLeast(limit), value, format!(">= {words}"))
    }

    fn held(mut self, target: Target, value: f64, words: String) -> Self {
        self.target = (words, target.verdict(value));
        self
    }

    fn cells(&self) -> [String; 6] {
        let ratio = self.ratio.map(|ratio| format!("{ratio:.2}"));
        [
            self.what.clone(),
            self.measured.clone(),
            self.reference.clone(),
            ratio.unwrap_or_else(|| "-".to_owned()),
            self.target.0.clone(),
            self.target.1.to_owned(),
        ]
    }
}

/// Milliseconds with as many digits as mean something.
pub(crate) fn millis(value: f64) -> String {
    match value {
        v if v < 1.0 => format!("{v:.3} ms"),
        v if v < 100.0 => format!("{v:.1} ms"),
        v => format!("{v:.0} ms"),
    }
}

/// Median, smallest and greatest, in milliseconds.
pub(crate) fn spread(samples: &Samples) -> String {
    format!(
        "{} [{:.0}-{:.0}]",
        millis(samples.median()),
        samples.min(),
        samples.max()
    )
}

/// Says how far the run is.
pub(crate) fn say(text: &str) {
    // Who does not read it does not miss it.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints the table.
pub(crate) fn print(rows: &[Row]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(io::stdout(), "{}", table(rows))
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    // As wide as it needs to be: it ends in notes and files, not only on terminals.
    table
        .load_style(ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "what",
            "measured",
            "reference",
            "ratio",
            "target",
            "verdict",
        ]);
    for row in rows {
        table.add_row(row.cells());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_follows_from_the_figure_that_has_the_target() {
        let row = || Row::new("w", "1 ms").beside("2 ms", 0.5);
        let verdict = |row: Row| row.cells()[5].clone();
        assert_eq!(verdict(row()), "-");
        assert_eq!(verdict(row().ratio_at_most(0.5)), "met");
        assert_eq!(verdict(row().ratio_at_most(0.49)), "missed");
        assert_eq!(verdict(row().at_most(20.1, 20.0, " MiB")), "missed");
        assert_eq!(verdict(row().at_least(1.0, 1.0, "1")), "met");
        assert_eq!(verdict(row().at_least(f64::NAN, 1.0, "1")), "missed");
        // Without a reference there is no ratio to be content with.
        assert_eq!(verdict(Row::new("w", "1 ms").ratio_at_most(9.0)), "missed");
    }

    #[test]
    fn the_table_can_be_pasted_into_a_note() {
        let row = Row::new("a death", "85.0 ms")
            .beside("190 ms", 0.447)
            .ratio_at_most(0.5);
        let text = table(&[row]).to_string();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 3, "{text}");
        let cells: Vec<&str> = lines[2]
            .trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        assert_eq!(
            cells,
            ["a death", "85.0 ms", "190 ms", "0.45", "<= 0.5 x", "met"]
        );
    }
}
