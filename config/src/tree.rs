//! A document as it was written: scalars, lists and mappings, each with its place in the text. Typing comes
//! later, so that a fault in one value never hides the next one, and every fault can point at its line.

use std::ops::Range;

use crate::Fault;

/// The way from the root to a node: at each step the index among the children, in the order they were written.
pub(crate) type Position = Vec<usize>;

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Bytes of the source text; empty where there is no text (JSON from the network).
    pub(crate) span: Range<usize>,
    pub(crate) state: State,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar { text: String, style: Style },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One field of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node,
}

/// What a scalar's text can still become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// YAML without quotes: whatever the type it is read as wants.
    Plain,
    /// In quotes or a block: always text.
    Quoted,
    /// A JSON number, `true`, `false` or `null`: never text.
    Json,
}

/// Whether a value still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It counts.
    Live,
    /// It was wrong and has been reported; the rest is read as if it were not there.
    Dropped,
    /// Nobody knows it, but the rest cannot be read without it: it reads as an empty value.
    Hole,
}

/// A fault and where it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Spotted {
    pub(crate) fault: Fault,
    pub(crate) position: Position,
    /// Bytes of the source text to point at.
    pub(crate) span: Range<usize>,
}

/// Where a path of a fault leads.
pub(crate) enum Found {
    /// To this node, or to the deepest one there is; what is left of the path names something absent.
    At(Position, String),
    /// Into a value that has already been reported.
    Lost,
}

impl Node {
    pub(crate) fn new(value: Value, span: Range<usize>) -> Self {
        Self { value, span, state: State::Live }
    }

    /// Nothing at all: what an empty document holds.
    pub(crate) fn null() -> Self {
        Self::new(Value::Scalar { text: String::new(), style: Style::Plain }, 0..0)
    }

    pub(crate) fn at(&self, position: &[usize]) -> Option<&Node> {
        let Some((first, rest)) = position.split_first() else { return Some(self) };
        match &self.value {
            Value::Scalar { .. } => None,
            Value::List(items) => items.get(*first)?.at(rest),
            Value::Map(entries) => entries.get(*first)?.node.at(rest),
        }
    }

    pub(crate) fn at_mut(&mut self, position: &[usize]) -> Option<&mut Node> {
        let Some((first, rest)) = position.split_first() else { return Some(self) };
        match &mut self.value {
            Value::Scalar { .. } => None,
            Value::List(items) => items.get_mut(*first)?.at_mut(rest),
            Value::Map(entries) => entries.get_mut(*first)?.node.at_mut(rest),
        }
    }

    /// The field a position ends in, when it ends in a mapping.
    pub(crate) fn entry(&self, position: &[usize]) -> Option<&Entry> {
        let (last, parent) = position.split_last()?;
        match &self.at(parent)?.value {
            Value::Map(entries) => entries.get(*last),
            _ => None,
        }
    }

    pub(crate) fn entry_mut(&mut self, position: &[usize]) -> Option<&mut Entry> {
        let (last, parent) = position.split_last()?;
        match &mut self.at_mut(parent)?.value {
            Value::Map(entries) => entries.get_mut(*last),
            _ => None,
        }
    }

    /// The fields of a mapping; none for any other value.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A position as a person writes it: `routes[2].match.path`.
    pub(crate) fn path(&self, position: &[usize]) -> String {
        let (mut path, mut node) = (String::new(), self);
        for index in position {
            match &node.value {
                Value::List(items) if *index < items.len() => {
                    path.push_str(&format!("[{index}]"));
                    node = &items[*index];
                }
                Value::Map(entries) if *index < entries.len() => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&entries[*index].key);
                    node = &entries[*index].node;
                }
                _ => break,
            }
        }
        path
    }

    /// Follows the path of a fault that was found in the typed document, where dropped values do not exist.
    pub(crate) fn find(&self, path: &str) -> Found {
        let mut position = Position::new();
        let mut node = self;
        let mut rest = path;
        loop {
            if node.state != State::Live {
                return Found::Lost;
            }
            let Some((index, child, after)) = step(node, rest) else {
                return Found::At(position, rest.to_owned());
            };
            position.push(index);
            (node, rest) = (child, after);
        }
    }

    /// A fault of the value at a position.
    pub(crate) fn spot(&self, position: &[usize], problem: impl Into<String>) -> Spotted {
        let fault = Fault::new(self.path(position), problem);
        Spotted { fault, position: position.to_vec(), span: self.mark(position, false) }
    }

    /// A fault of the field's name at a position.
    pub(crate) fn spot_key(&self, position: &[usize], problem: impl Into<String>) -> Spotted {
        let fault = Fault::new(self.path(position), problem);
        Spotted { fault, position: position.to_vec(), span: self.mark(position, true) }
    }

    /// The bytes a fault at a position points at: the value where it is a scalar on its own, else the key.
    fn mark(&self, position: &[usize], on_key: bool) -> Range<usize> {
        let Some(node) = self.at(position) else { return self.span.clone() };
        let entry = self.entry(position);
        match (&node.value, entry) {
            (Value::Scalar { .. }, _) if !on_key && !node.span.is_empty() => node.span.clone(),
            (_, Some(entry)) => entry.key_span.clone(),
            (Value::Map(entries), None) if !entries.is_empty() => entries[0].key_span.clone(),
            _ => node.span.clone(),
        }
    }
}

impl Spotted {
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.fault = self.fault.hint(hint);
        self
    }
}

/// One step along a path. A key may itself hold dots, so the longest key that fits is taken.
fn step<'a, 'p>(node: &'a Node, path: &'p str) -> Option<(usize, &'a Node, &'p str)> {
    match &node.value {
        Value::Scalar { .. } => None,
        Value::List(items) => {
            let (number, after) = path.strip_prefix('[')?.split_once(']')?;
            let number: usize = number.parse().ok()?;
            let mut counted = items.iter().enumerate().filter(|(_, item)| item.state != State::Dropped);
            let (index, item) = counted.nth(number)?;
            Some((index, item, after.strip_prefix('.').unwrap_or(after)))
        }
        Value::Map(entries) => {
            let fits = |entry: &Entry| rest_after(path, &entry.key).is_some();
            let fitting = entries.iter().enumerate().filter(|(_, entry)| fits(entry));
            let rank = |entry: &Entry| (entry.key.len(), entry.node.state == State::Live);
            let (index, entry) = fitting.max_by_key(|(_, entry)| rank(entry))?;
            Some((index, &entry.node, rest_after(path, &entry.key)?))
        }
    }
}

fn rest_after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    match rest.as_bytes().first() {
        None | Some(b'[') if !path.is_empty() => Some(rest),
        Some(b'.') => Some(&rest[1..]),
        _ => None,
    }
}
