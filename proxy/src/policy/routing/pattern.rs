//! The path of a route, taken apart: `/products`, `/products/{id}`, `/auth/*`.

use std::fmt;
use std::ops::Range;

/// A route's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// The segments, without the final `*` of a prefix.
    pub segments: Vec<Segment>,
    /// Whether whatever follows is taken too.
    pub is_prefix: bool,
    /// The names of the placeholders, in order.
    pub names: Vec<Box<str>>,
}

/// One segment of a route's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Exactly this text.
    Literal(Box<str>),
    /// Any one segment that is not empty.
    Placeholder,
}

impl PathPattern {
    /// Takes a written path apart. `Err` says what is wrong with it.
    pub fn parse(written: &str) -> Result<Self, String> {
        let rest = written.strip_prefix('/').ok_or("a path begins with `/`")?;
        let (rest, is_prefix) = match rest.strip_suffix('*') {
            Some("") => ("", true),
            Some(before) => (before.strip_suffix('/').ok_or("`*` stands alone as the last segment")?, true),
            None => (rest, false),
        };
        let mut pattern = Self { segments: Vec::new(), is_prefix, names: Vec::new() };
        if rest.is_empty() && is_prefix {
            return Ok(pattern);
        }
        for segment in rest.split('/') {
            pattern.push(segment)?;
        }
        Ok(pattern)
    }

    fn push(&mut self, segment: &str) -> Result<(), String> {
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            if segment.contains(['{', '}', '*']) {
                return Err(format!("`{segment}`: a placeholder is a whole segment such as `{{id}}`"));
            }
            self.segments.push(Segment::Literal(segment.into()));
            return Ok(());
        };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("`{{{name}}}`: a placeholder's name is made of letters, digits and `_`"));
        }
        if self.names.iter().any(|known| **known == *name) {
            return Err(format!("`{{{name}}}` stands there twice"));
        }
        self.names.push(name.into());
        self.segments.push(Segment::Placeholder);
        Ok(())
    }

    /// Whether it has neither placeholder nor `*`.
    pub fn is_exact(&self) -> bool {
        !self.is_prefix && self.names.is_empty()
    }
}

impl fmt::Display for PathPattern {
    /// As it was written.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.names.iter();
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(out, "/{text}")?,
                Segment::Placeholder => write!(out, "/{{{}}}", names.next().map_or("", |name| name))?,
            }
        }
        out.write_str(if self.is_prefix { "/*" } else { "" })
    }
}

/// Where in the path the placeholders' segments and the `*` are. Kept as positions: nothing is copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    segments: Vec<Range<usize>>,
    rest: Option<usize>,
}

impl Captures {
    /// Notes one more captured segment.
    pub fn push_segment(&mut self, range: Range<usize>) {
        self.segments.push(range);
    }

    pub(super) fn pop_segment(&mut self) {
        self.segments.pop();
    }

    pub(super) fn set_rest(&mut self, from: usize) {
        self.rest = Some(from);
    }

    /// The text of a placeholder, by its position in the route's path.
    pub fn segment<'p>(&self, path: &'p str, position: usize) -> Option<&'p str> {
        self.segments.get(position).and_then(|range| path.get(range.clone()))
    }

    /// What the `*` took, without a leading `/`.
    pub fn rest<'p>(&self, path: &'p str) -> &'p str {
        self.rest.and_then(|from| path.get(from..)).unwrap_or_default().trim_start_matches('/')
    }
}
