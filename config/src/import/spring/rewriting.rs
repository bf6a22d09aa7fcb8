//! What a chain of path filters makes of a route's path, worked out once for the whole pattern.

use serde_json::{Value, json};

use super::expression::literal;
use super::pattern::{Pattern, Segment};
use super::predicates::Refused;

/// A path on its way through the filters.
#[derive(Clone, Debug)]
pub(super) struct Rewriting {
    parts: Vec<Part>,
    /// Names that the pattern captures.
    names: Vec<String>,
    rest: Option<String>,
    /// Segments that were taken away, as long as nothing else was done.
    stripped: usize,
    /// What was put in front, as long as nothing else was done.
    prefix: Option<String>,
    changes: usize,
    /// More segments were taken away than the pattern names: what is left depends on the request.
    is_open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Text of a segment; placeholders in it stand as they are written.
    Text(String),
    Rest,
}

impl Rewriting {
    pub(super) fn of(pattern: &Pattern) -> Self {
        let mut names = Vec::new();
        let mut parts: Vec<Part> = Vec::new();
        for segment in &pattern.segments {
            parts.push(Part::Text(match segment {
                Segment::Literal(text) => text.clone(),
                Segment::Any(name) => {
                    names.push(name.clone());
                    format!("{{{name}}}")
                }
            }));
        }
        parts.extend(pattern.rest.is_some().then_some(Part::Rest));
        Self {
            parts,
            names,
            rest: pattern.rest.clone(),
            stripped: 0,
            prefix: None,
            changes: 0,
            is_open: false,
        }
    }

    /// `StripPrefix`
    pub(super) fn strip(&mut self, count: usize) -> Result<(), Refused> {
        if self.changes == self.stripped {
            self.stripped += count;
        }
        self.changes += count;
        let known = self.parts.iter().take_while(|part| **part != Part::Rest).count();
        if count > known && self.parts.contains(&Part::Rest) {
            if self.stripped != self.changes {
                return Err(("`StripPrefix` takes away what an earlier filter made".to_owned(), by_hand()));
            }
            self.is_open = true;
            return Ok(());
        }
        self.parts.drain(..count.min(self.parts.len()));
        Ok(())
    }

    /// `PrefixPath`
    pub(super) fn add_prefix(&mut self, prefix: &str) -> Result<(), Refused> {
        if self.is_open {
            return Err((
                "`PrefixPath` after `StripPrefix` of more than the path names".to_owned(),
                by_hand(),
            ));
        }
        let parts = self.template(prefix.trim_end_matches('/'))?;
        self.prefix =
            (self.changes == 0 && !prefix.contains('{')).then(|| prefix.trim_end_matches('/').to_owned());
        self.changes += 1;
        self.stripped = 0;
        self.parts.splice(0..0, parts);
        Ok(())
    }

    /// `SetPath`
    pub(super) fn set(&mut self, template: &str) -> Result<(), Refused> {
        self.parts = self.template(template)?;
        (self.prefix, self.stripped, self.is_open) = (None, 0, false);
        self.changes += 1;
        Ok(())
    }

    /// `RewritePath`
    pub(super) fn replace(&mut self, expression: &str, replacement: &str) -> Result<(), Refused> {
        let refused = || {
            let what =
                format!("`RewritePath={expression}, {replacement}` has no equivalent for `{}`", self.shown());
            (what, by_hand())
        };
        let inner = expression.strip_prefix('^').unwrap_or(expression);
        let inner = inner.strip_suffix('$').unwrap_or(inner);
        let (before, group) = split_group(inner).ok_or_else(refused)?;
        let segments: Vec<Part> = match literal(before.trim_start_matches('/')).ok_or_else(refused)? {
            text if text.is_empty() => Vec::new(),
            text => text.split('/').map(|segment| Part::Text(segment.to_owned())).collect(),
        };
        let expected = group.as_ref().map_or(segments.clone(), |_| [&segments[..], &[Part::Rest]].concat());
        if self.parts != expected || self.is_open {
            return Err(refused());
        }
        let made = match &group {
            None => replacement.to_owned(),
            Some(group) => {
                let reference = format!("${{{}}}", group.name);
                let before = replacement.strip_suffix(&reference).or(replacement.strip_suffix("$1"));
                let before =
                    before.filter(|before| before.ends_with('/') != group.holds_slash).ok_or_else(refused)?;
                before.trim_end_matches('/').to_owned()
            }
        };
        if made.contains(['$', '{', '\\']) {
            return Err(refused());
        }
        self.parts = self.template(&made)?;
        self.parts.extend(group.map(|_| Part::Rest));
        (self.prefix, self.stripped) = (None, 0);
        self.changes += 1;
        Ok(())
    }

    /// The route's `rewrite`, if it has one.
    pub(super) fn written(&self) -> Option<Value> {
        if self.changes == 0 {
            return None;
        }
        if let Some(prefix) = self.prefix.as_ref().filter(|_| self.changes == 1) {
            return Some(json!({"add_prefix": prefix}));
        }
        if self.stripped == self.changes && (self.rest.is_some() || !self.parts.is_empty()) {
            return Some(json!({"strip_segments": self.stripped}));
        }
        Some(json!({"path": self.shown()}))
    }

    fn shown(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            text.push('/');
            text.push_str(match part {
                Part::Text(text) => text,
                Part::Rest => "{*}",
            });
        }
        if text.is_empty() { "/".to_owned() } else { text }
    }

    /// A path with `{name}` in it.
    fn template(&self, text: &str) -> Result<Vec<Part>, Refused> {
        let text = text.trim_start_matches('/');
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let last = text.split('/').count() - 1;
        let part = |(index, segment): (usize, &str)| {
            let rest = self.rest.as_ref().filter(|name| !name.is_empty());
            if index == last && rest.is_some_and(|name| segment == format!("{{{name}}}")) {
                return Ok(Part::Rest);
            }
            let mut pieces = segment.split('{').skip(1);
            let is_known = |piece: &str| {
                piece.split_once('}').is_some_and(|(name, _)| self.names.iter().any(|known| known == name))
            };
            match pieces.all(is_known) {
                true => Ok(Part::Text(segment.to_owned())),
                false => Err((
                    format!("`{segment}` names what the route's path does not capture"),
                    "captures of hosts do not reach paths: write a route for each host".to_owned(),
                )),
            }
        };
        text.split('/').enumerate().map(part).collect()
    }
}

/// The group at the end of an expression.
struct Group {
    name: String,
    /// It takes the slash before it too.
    holds_slash: bool,
}

/// `/a/?(?<rest>.*)` and its like: the text before the group, and the group; without one the text alone.
fn split_group(expression: &str) -> Option<(&str, Option<Group>)> {
    let Some(at) = expression.find('(') else { return Some((expression, None)) };
    let inner = expression[at..].strip_prefix('(')?.strip_suffix(')')?;
    let (name, inner) = match inner.strip_prefix("?<") {
        Some(named) => named.split_once('>')?,
        None => ("1", inner),
    };
    let before = &expression[..at];
    let (before, has_slash) = match before.strip_suffix("/?").or(before.strip_suffix('/')) {
        Some(before) => (before, true),
        None => (before, false),
    };
    let holds_slash = match inner {
        ".*" if has_slash => false,
        "/?.*" | "/.*" if !has_slash => true,
        _ => return None,
    };
    Some((before, Some(Group { name: name.to_owned(), holds_slash })))
}

fn by_hand() -> String {
    "write `rewrite: {path: …}` by hand: `{name}` is a segment of the path, `{*}` the rest".to_owned()
}
