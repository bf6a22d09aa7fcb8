//! What commands print: tables for people, JSON for scripts. What came from elsewhere is printed without characters
//! that a terminal would obey.

use std::io::Write;

use serde_json::Value;

use super::Failure;

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Table,
    /// The control plane's own answer.
    Json,
}

/// Lines of cells, each column as wide as its widest cell.
pub(crate) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(titles: &[&str]) -> Self {
        Self { lines: vec![titles.iter().map(|title| (*title).to_owned()).collect()] }
    }

    pub(crate) fn line(&mut self, cells: impl IntoIterator<Item = String>) {
        self.lines.push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }

    /// Prints the table, or `nothing` where it has no lines.
    pub(crate) fn print(&self, nothing: &str) -> Result<(), Failure> {
        if self.lines.len() < 2 {
            return print(nothing);
        }
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for line in &self.lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            print(cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Prints a line.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    let done = writeln!(std::io::stdout(), "{line}");
    done.map_err(|fault| Failure::new(format!("standard output cannot be written: {fault}")))
}

/// Prints an answer as it came.
pub(crate) fn print_json(answer: &Value) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(answer).map_err(Failure::new)?)
}

/// `text` on one line, without control characters.
pub(crate) fn plain(text: &str) -> String {
    let obeyed = |character: char| match character {
        '\n' | '\t' => ' ',
        other if other.is_control() || is_reordering(other) => '\u{fffd}',
        other => other,
    };
    text.chars().map(obeyed).collect()
}

/// Characters that make a terminal show text in another order than it stands.
fn is_reordering(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How long something is, in the largest unit that shows it well.
pub(crate) fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds}ms"),
        1_000..60_000 => format!("{}.{}s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
        _ => format!("{}h{:02}m", milliseconds / 3_600_000, milliseconds % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        assert_eq!(plain("a\u{1b}[31mb\nc\u{202e}d"), "a\u{fffd}[31mb c\u{fffd}d");
    }

    #[test]
    fn durations_are_short() {
        let shown: Vec<_> = [999, 1_250, 61_000, 3_660_000].map(duration).into();
        assert_eq!(shown, ["999ms", "1.2s", "1m01s", "1h01m"]);
    }
}
