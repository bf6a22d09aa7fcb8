//! Spring's path patterns as paths of routes, and which of two routes a request would meet first.

use super::predicates::Refused;
use crate::check::is_plain_segment;

/// A path, segment by segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) segments: Vec<Segment>,
    /// The name of the rest where whatever follows is taken too; empty for one without.
    pub(super) rest: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    /// Any one segment, under this name.
    Any(String),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What in it has no equivalent.
    pub(super) fn parse(written: &str) -> Result<Self, Refused> {
        let mut pattern = Self { segments: Vec::new(), rest: None };
        let text = written.strip_prefix('/').unwrap_or(written);
        let last = text.split('/').count() - 1;
        for (index, segment) in text.split('/').enumerate() {
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let rest = if segment == "**" { Some("") } else { name.and_then(|name| name.strip_prefix('*')) };
            match (rest, name) {
                (Some(name), _) if index == last => pattern.rest = Some(name.to_owned()),
                (None, Some(name)) if is_name(name) => pattern.segments.push(Segment::Any(name.to_owned())),
                _ if segment == "*" => pattern.segments.push(Segment::Any(format!("segment{}", index + 1))),
                _ if is_plain_segment(segment) || (segment.is_empty() && index == last) => {
                    pattern.segments.push(Segment::Literal(segment.to_owned()));
                }
                _ => {
                    let what = format!("`Path={written}`: `{segment}` has no equivalent");
                    let instead =
                        "a path here is made of whole segments: a text, `{name}`, or `/*` at the end";
                    return Err((what, instead.to_owned()));
                }
            }
        }
        Ok(pattern)
    }

    /// A pattern that takes all that `written` does, and perhaps more: what has no equivalent in a segment is any one, and
    /// what can take several is all that follows.
    pub(super) fn around(written: &str) -> Self {
        if let Ok(exact) = Self::parse(written) {
            return exact;
        }
        let mut pattern = Self { segments: Vec::new(), rest: None };
        let text = written.strip_prefix('/').unwrap_or(written);
        for (index, segment) in text.split('/').enumerate() {
            let is_balanced = segment.matches('{').count() == segment.matches('}').count();
            if is_plain_segment(segment) {
                pattern.segments.push(Segment::Literal(segment.to_owned()));
            } else if segment.is_empty() || segment.contains("**") || segment.contains("{*") || !is_balanced {
                pattern.rest = Some(String::new());
                break;
            } else {
                pattern.segments.push(Segment::Any(format!("segment{}", index + 1)));
            }
        }
        pattern
    }

    /// Everything.
    pub(super) fn everything() -> Self {
        Self { segments: Vec::new(), rest: Some(String::new()) }
    }

    /// The same path with a slash behind it, where that is another.
    pub(super) fn with_slash(&self) -> Option<Self> {
        let is_open = self.rest.is_some() || self.segments.last() == Some(&Segment::Literal(String::new()));
        let slash = || Segment::Literal(String::new());
        (!is_open).then(|| Self { segments: [&self.segments[..], &[slash()]].concat(), rest: None })
    }

    /// As it is written here.
    pub(super) fn written(&self) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => text.extend(["/", literal]),
                Segment::Any(name) => text.extend(["/{", name, "}"]),
            }
        }
        if self.rest.is_some() { text + "/*" } else { text }
    }

    /// Whether some path fits both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let pairs = self.segments.iter().zip(&other.segments);
        let fit = |(one, other): (&Segment, &Segment)| match (one, other) {
            (Segment::Literal(one), Segment::Literal(other)) => one == other,
            (Segment::Literal(text), Segment::Any(_)) | (Segment::Any(_), Segment::Literal(text)) => {
                !text.is_empty()
            }
            (Segment::Any(_), Segment::Any(_)) => true,
        };
        let (own, others) = (self.segments.len(), other.segments.len());
        let lengths = match (self.rest.is_some(), other.rest.is_some()) {
            (false, false) => own == others,
            (true, false) => own <= others,
            (false, true) => own >= others,
            (true, true) => true,
        };
        lengths && pairs.into_iter().all(fit)
    }

    /// Whether the two are the same but for the names of segments.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.rest.is_some() == other.rest.is_some()
            && self.segments.len() == other.segments.len()
            && !self.differs(other)
    }

    fn differs(&self, other: &Self) -> bool {
        let pairs = self.segments.iter().zip(&other.segments);
        pairs.into_iter().any(|(one, other)| match (one, other) {
            (Segment::Literal(one), Segment::Literal(other)) => one != other,
            (Segment::Any(_), Segment::Any(_)) => false,
            _ => true,
        })
    }

    /// Whether a request that fits both meets this one first: exact paths, then templates, then the longest prefix; of
    /// two alike, text before a placeholder.
    pub(super) fn comes_before(&self, other: &Self) -> bool {
        let class = |pattern: &Self| match (&pattern.rest, pattern.is_exact()) {
            (None, true) => 0,
            (None, false) => 1,
            (Some(_), _) => 2,
        };
        if class(self) != class(other) {
            return class(self) < class(other);
        }
        for (one, other) in self.segments.iter().zip(&other.segments) {
            match (one, other) {
                (Segment::Literal(_), Segment::Any(_)) => return true,
                (Segment::Any(_), Segment::Literal(_)) => return false,
                _ => {}
            }
        }
        self.segments.len() > other.segments.len()
    }

    fn is_exact(&self) -> bool {
        self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
