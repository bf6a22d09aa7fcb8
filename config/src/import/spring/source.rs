//! An `application.yml` as Spring reads it: relaxed names, dotted names, `${property:default}`, several documents.

use std::ops::Range;

use crate::tree::{Node, Style, Value};

/// The documents of a file that apply without a profile.
pub(super) struct Source<'a> {
    pub(super) documents: Vec<Node>,
    text: &'a str,
}

/// A name as Spring compares it: `default-filters`, `defaultFilters` and `DEFAULT_FILTERS` are one.
pub(super) fn canonical(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '-' | '_')).flat_map(char::to_lowercase).collect()
}

impl<'a> Source<'a> {
    pub(super) fn new(documents: Vec<Node>, text: &'a str) -> Self {
        Self { documents, text }
    }

    /// The line of a place in the text, from 1.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
    }

    /// The values under a dotted name; in several documents the last one stands first.
    pub(super) fn find(&self, path: &str) -> Vec<&Node> {
        let path: Vec<String> = path.split('.').map(canonical).collect();
        let mut found = Vec::new();
        self.documents.iter().rev().for_each(|document| find(document, &path, &mut found));
        found
    }

    /// The text under a dotted name, with its properties in place.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        self.find(path).into_iter().find_map(text_of).and_then(|text| self.resolved(text, 0).ok())
    }

    /// A text with `${property:default}` replaced: by what the file says, else by the default.
    ///
    /// # Errors
    /// The name of a property that has neither.
    pub(super) fn resolve(&self, text: &str) -> Result<String, String> {
        self.resolved(text, 0)
    }

    fn resolved(&self, text: &str, depth: usize) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let end = closing(after).ok_or_else(|| after.to_owned())?;
            let (inner, after) = (&after[..end], &after[end + 1..]);
            let (name, default) = match inner.split_once(':') {
                Some((name, default)) => (name, Some(default)),
                None => (inner, None),
            };
            let own = self.find(name).into_iter().find_map(text_of).or(default);
            let own = own.filter(|_| depth < 8).ok_or_else(|| name.to_owned())?;
            out.push_str(&self.resolved(own, depth + 1)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// Where the `}` is that closes what has begun.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    text.char_indices().find_map(|(at, letter)| {
        match letter {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })
}

fn find<'n>(node: &'n Node, path: &[String], found: &mut Vec<&'n Node>) {
    if path.is_empty() {
        found.push(node);
        return;
    }
    for entry in node.entries() {
        let key: Vec<String> = entry.key.split('.').map(canonical).collect();
        if path.starts_with(&key) {
            find(&entry.node, &path[key.len()..], found);
        }
    }
}

/// A scalar's text; `None` for what is none, or empty.
pub(super) fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, style: Style::Plain } if matches!(text.as_str(), "" | "~" | "null") => None,
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// The items of a list; a list may also be written as one text with commas.
pub(super) fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => &[],
    }
}
