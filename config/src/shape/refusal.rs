//! Why a value did not fit its type, in words for people instead of names of Rust types.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use crate::tree::Position;

/// The first thing that did not fit.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) why: Why,
    /// Filled from the inside out, hence backwards.
    backwards: Position,
}

#[derive(Debug)]
pub(crate) enum Why {
    /// A field nobody knows; the position is that of the field.
    UnknownField { name: String, known: &'static [&'static str] },
    /// None of the values there are.
    UnknownVariant { name: String, known: &'static [&'static str] },
    /// The position is that of the mapping.
    MissingField(&'static str),
    /// The value only stands in for one that is not known, and cannot do so here.
    Hole,
    /// Anything else, as a sentence.
    Other(String),
}

impl Refusal {
    pub(super) fn new(why: Why) -> Self {
        Self { why, backwards: Position::new() }
    }

    pub(super) fn other(problem: String) -> Self {
        Self::new(Why::Other(problem))
    }

    /// The same refusal seen from the list or mapping around it.
    pub(super) fn inside(mut self, index: usize) -> Self {
        self.backwards.push(index);
        self
    }

    pub(crate) fn position(&self) -> Position {
        self.backwards.iter().rev().copied().collect()
    }
}

/// Names as a person lists them: `a`, `b`, `c`.
pub(crate) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Error for Refusal {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::other(problem.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::other(format!("expected {}, found {}", wanted(expected), seen(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Why::UnknownVariant { name: name.to_owned(), known })
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Why::UnknownField { name: name.to_owned(), known })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Why::MissingField(name))
    }
}

fn wanted(expected: &dyn Expected) -> String {
    let whole =
        |least: &dyn fmt::Display, most: &dyn fmt::Display| format!("a whole number from {least} to {most}");
    match expected.to_string().as_str() {
        "u8" => whole(&u8::MIN, &u8::MAX),
        "u16" => whole(&u16::MIN, &u16::MAX),
        "u32" => whole(&u32::MIN, &u32::MAX),
        "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i8" => whole(&i8::MIN, &i8::MAX),
        "i16" => whole(&i16::MIN, &i16::MAX),
        "i32" => whole(&i32::MIN, &i32::MAX),
        "i64" | "isize" => whole(&i64::MIN, &i64::MAX),
        "a string" | "path string" => "text".to_owned(),
        other => other.to_owned(),
    }
}

fn seen(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(number) => format!("`{number}`"),
        Unexpected::Signed(number) => format!("`{number}`"),
        Unexpected::Float(number) => format!("`{number}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping of fields".to_owned(),
        _ => "text".to_owned(),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::UnknownField { name, .. } => write!(out, "unknown field `{name}`"),
            Why::UnknownVariant { name, .. } => write!(out, "`{name}` is not known here"),
            Why::MissingField(name) => write!(out, "the field `{name}` is missing"),
            Why::Hole => out.write_str("this value is needed"),
            Why::Other(problem) => out.write_str(problem),
        }
    }
}

impl std::error::Error for Refusal {}
