//! Other gateways' files as files of this one. What cannot be said here is told in a report, and a route that would take
//! more than its original is left out: a request that goes nowhere is found at once, one that goes astray is not.

mod report;
mod spring;
mod write;

use std::time::SystemTime;

pub use report::{Effect, Entry, Report};

use crate::LoadError;
use crate::load::content;

/// What was made of another gateway's file.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// A file of `kind: gateway` that passes every check.
    pub yaml: String,
    /// What is not in it, and what to do about it.
    pub report: Report,
}

/// What whoever imports decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// Which dates have passed.
    pub now: SystemTime,
    /// Keep routes that would take requests of one that is left out, and report them.
    pub with_gaps: bool,
}

impl Choices {
    /// Nothing that takes more than its original, by the clock of this machine.
    pub fn strict() -> Self {
        Self { now: SystemTime::now(), with_gaps: false }
    }
}

/// Makes a gateway's file of an `application.yml` with Spring Cloud Gateway's routes. `name` stands for the file in
/// messages.
///
/// # Errors
/// [`LoadError::Content`] when it is no YAML, or holds no routes.
pub fn spring(name: &str, text: &str, choices: Choices) -> Result<Imported, LoadError> {
    spring::import(name, text, choices).map_err(|fault| content(name, text, vec![fault]))
}
