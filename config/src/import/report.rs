//! What an import could not carry over: each thing with its place, what becomes of it, and what to do instead.

use std::fmt;

use serde::Serialize;

/// What an import could not carry over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file.
    pub file: String,
    /// Routes that were carried over.
    pub imported: usize,
    /// Routes that were left out.
    pub left_out: usize,
    /// Each thing, in the order of the file.
    pub entries: Vec<Entry>,
}

/// One thing that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The line in the file, from 1.
    pub line: usize,
    /// What it belongs to: a route, or a setting.
    pub of: String,
    /// What becomes of it.
    pub effect: Effect,
    /// What it is.
    pub what: String,
    /// What to do instead.
    pub instead: String,
}

/// What becomes of something that has no equivalent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The route is left out.
    LeftOut,
    /// The route is there without it.
    Missing,
    /// It is there, and not quite the same.
    Differs,
}

impl fmt::Display for Effect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::LeftOut => "LEFT OUT",
            Self::Missing => "missing",
            Self::Differs => "differs",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            let Entry { line, of, effect, what, instead } = entry;
            writeln!(out, "{}:{line}: {effect}: {of}: {what}", self.file)?;
            if !instead.is_empty() {
                writeln!(out, "    {instead}")?;
            }
        }
        let (imported, left_out) = (self.imported, self.left_out);
        writeln!(out, "{}: {imported} routes imported, {left_out} left out", self.file)
    }
}
