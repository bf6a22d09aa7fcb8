//! Faults on a terminal: the file, the line, a caret under what is wrong, and what to do about it.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::Fault;
use crate::mend::MOST_FAULTS;
use crate::tree::Spotted;

/// One fault and its place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedFault {
    /// What is wrong.
    pub fault: Fault,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// Bytes of that line to underline.
    mark: Range<usize>,
    /// Bytes of the text that are that line.
    within: Range<usize>,
}

/// A text and all its faults.
pub struct Content {
    name: String,
    text: String,
    faults: Vec<PlacedFault>,
}

impl Content {
    pub(crate) fn new(name: &str, text: &str, spotted: Vec<Spotted>) -> Self {
        let lines = Lines::of(text);
        let faults = spotted.into_iter().map(|spotted| lines.place(spotted)).collect();
        Self { name: name.to_owned(), text: text.to_owned(), faults }
    }

    /// Every fault, in the order of the text. Never empty.
    pub fn faults(&self) -> &[PlacedFault] {
        &self.faults
    }

    pub(crate) fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for fault in &self.faults {
            out.push_str(&renderer.render(&[self.group(fault)]));
            out.push_str("\n\n");
        }
        let count = match self.faults.len() {
            1 => "1 fault".to_owned(),
            MOST_FAULTS => format!("{MOST_FAULTS} faults, and there may be more,"),
            count => format!("{count} faults"),
        };
        out + &format!("{count} in {}", self.name)
    }

    fn group<'a>(&'a self, placed: &'a PlacedFault) -> Group<'a> {
        let line = self.text.get(placed.within.clone()).unwrap_or_default();
        // The library cleans every text but this one: a field's name must not steer the terminal.
        let path = placed.fault.path.replace(char::is_control, "\u{fffd}");
        let caret = AnnotationKind::Primary.span(placed.mark.clone()).label(path);
        let snippet = Snippet::source(line).path(&self.name).line_start(placed.line).annotation(caret);
        let group = Level::ERROR.primary_title(placed.fault.problem.as_str()).element(snippet);
        match &placed.fault.hint {
            Some(hint) => group.element(Level::HELP.message(hint.as_str())),
            None => group,
        }
    }
}

/// Without the text: it may hold secrets, and nobody asked for them.
impl fmt::Debug for Content {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Content")
            .field("name", &self.name)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Content {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.render(false))
    }
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// A mark ends with its line, and is one character at least.
    fn place(&self, spotted: Spotted) -> PlacedFault {
        let start = self.text.floor_char_boundary(spotted.span.start.min(self.text.len()));
        let line = self.starts.partition_point(|begin| *begin <= start).max(1);
        let begin = self.starts[line - 1];
        let rest = &self.text[begin..];
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let first = (start - begin).min(length);
        let shortest = rest[first..length].chars().next().map_or(first, |letter| first + letter.len_utf8());
        let last = spotted.span.end.saturating_sub(begin).clamp(shortest, length.max(shortest));
        PlacedFault {
            fault: spotted.fault,
            line,
            column: rest[..first].chars().count() + 1,
            mark: first..rest.ceil_char_boundary(last),
            within: begin..begin + length,
        }
    }
}
