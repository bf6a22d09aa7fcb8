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
    /// Those of them that nothing but an earlier route that is left out keeps out.
    pub behind_gaps: usize,
    /// Those of them whose requests end at a route without a service, so that later routes can stay.
    pub guarded: usize,
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
        writeln!(out, "{}: {imported} routes imported, {left_out} left out", self.file)?;
        if self.guarded > 0 {
            writeln!(
                out,
                "{}: {} of them are closed: their requests are refused (502, 503) until you write the route in the place of its guard",
                self.file, self.guarded
            )?;
        }
        if self.behind_gaps > 0 {
            writeln!(
                out,
                "{}: {} of them only come behind others that are left out: write those first, or import again \
                 `--with-gaps` if later routes may have their requests",
                self.file, self.behind_gaps
            )?;
        }
        Ok(())
    }
}
