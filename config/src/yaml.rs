//! YAML text to a tree. The parser gives events; this file bounds what they may build: depth, number of values,
//! and what aliases may copy, so that no text of a few bytes becomes gigabytes.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use crate::Fault;
use crate::tree::{Entry, Node, Position, Spotted, State, Style, Value};

/// Lists and mappings inside each other.
const DEPTH: usize = 64;
const TOO_DEEP: &str = "lists and mappings are nested more than 64 deep";
/// Values in a document, those that aliases copy included: twice what 100,000 routes take. A tree of so many has some
/// 200 MB.
const VALUES: usize = 2_000_000;
/// Fields of a mapping that are compared one by one.
const FEW: usize = 12;
/// Bytes of text that aliases copy.
const COPIED: usize = 4 * 1024 * 1024;

/// Reads a text. Keys that are given twice are reported and the tree goes on without them; anything else that
/// is not understood ends the reading with one fault.
pub(crate) fn parse(text: &str) -> Result<(Node, Vec<Spotted>), Spotted> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|fault| syntax(text, &fault))?;
        builder.take(event, bytes(span))?;
    }
    let mut tree = builder.root.unwrap_or_else(Node::null);
    let spotted = drop_repeated(&mut tree);
    Ok((tree, spotted))
}

/// Reads a text that may hold several documents, as Spring's files do. Keys that are given twice are left as they are.
pub(crate) fn parse_all(text: &str) -> Result<Vec<Node>, Spotted> {
    let mut builder = Builder { takes_many: true, ..Builder::default() };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|fault| syntax(text, &fault))?;
        builder.take(event, bytes(span))?;
    }
    builder.finished.extend(builder.root);
    Ok(builder.finished)
}

/// Takes every second entry of a key out of the tree, each with a fault.
pub(crate) fn drop_repeated(tree: &mut Node) -> Vec<Spotted> {
    let mut repeated = Vec::new();
    find_repeated(tree, &mut Position::new(), &mut repeated);
    let spot =
        |position: &Position| tree.spot_key(position, "this field is given twice").hint("keep one of them");
    let spotted = repeated.iter().map(spot).collect();
    for position in &repeated {
        if let Some(node) = tree.at_mut(position) {
            node.state = State::Dropped;
        }
    }
    spotted
}

fn find_repeated(node: &Node, position: &mut Position, repeated: &mut Vec<Position>) {
    let mut into = |index: usize, child: &Node, again: bool| {
        position.push(index);
        if again {
            repeated.push(position.clone());
        } else {
            find_repeated(child, position, repeated);
        }
        position.pop();
    };
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter().enumerate().for_each(|(index, item)| into(index, item, false)),
        // Nearly every mapping has a few fields, for which a set costs more than to compare them all.
        Value::Map(entries) if entries.len() <= FEW => {
            let again = |index: usize| entries[..index].iter().any(|one| one.key == entries[index].key);
            entries.iter().enumerate().for_each(|(index, entry)| into(index, &entry.node, again(index)));
        }
        Value::Map(entries) => {
            let mut seen = HashSet::with_capacity(entries.len());
            let mut again = |key| !seen.insert(key);
            let each = entries.iter().enumerate();
            each.for_each(|(index, entry)| into(index, &entry.node, again(entry.key.as_str())));
        }
    }
}

/// The tree so far: what is complete, and the lists and mappings that are still open.
#[derive(Default)]
struct Builder {
    root: Option<Node>,
    /// Documents before the last one, where there may be several.
    finished: Vec<Node>,
    takes_many: bool,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    documents: usize,
    values: usize,
    copied: usize,
}

struct Open {
    node: Node,
    /// The key that waits for its value.
    key: Option<(String, Range<usize>)>,
    anchor: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), Spotted> {
        match event {
            Event::DocumentStart(..) => self.begin_document(span),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.is_some(), &span)?;
                let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                self.complete(Node::new(Value::Scalar { text: text.into_owned(), style }, span), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.is_some(), &span)?;
                self.begin(Value::List(Vec::new()), span, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.is_some(), &span)?;
                self.begin(Value::Map(Vec::new()), span, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.complete(open.node, open.anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let copy = self.copy(anchor, &span)?;
                self.complete(copy, 0)
            }
            _ => Ok(()),
        }
    }

    fn begin_document(&mut self, span: Range<usize>) -> Result<(), Spotted> {
        self.documents += 1;
        match self.documents {
            _ if self.takes_many => {
                self.finished.extend(self.root.take());
                Ok(())
            }
            1 => Ok(()),
            _ => Err(at(span, "a second document begins here").hint("keep one document a file")),
        }
    }

    fn begin(&mut self, value: Value, span: Range<usize>, anchor: usize) -> Result<(), Spotted> {
        if self.open.len() == DEPTH {
            return Err(at(span, TOO_DEEP));
        }
        self.open.push(Open { node: Node::new(value, span), key: None, anchor });
        Ok(())
    }

    fn copy(&mut self, anchor: usize, span: &Range<usize>) -> Result<Node, Spotted> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(at(span.clone(), "this alias refers to a value that it is itself part of"));
        };
        let (values, text, depth) = weight(node);
        self.values += values;
        self.copied += text;
        if self.values > VALUES || self.copied > COPIED || self.open.len() + depth > DEPTH {
            return Err(at(span.clone(), "aliases make this document too large").hint("write the values out"));
        }
        Ok(node.clone())
    }

    /// Puts a finished value where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Spotted> {
        self.values += 1;
        if self.values > VALUES {
            return Err(at(node.span, format!("this document has more than {VALUES} values")));
        }
        if anchor != 0 {
            self.copied += weight(&node).1;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::Map(entries), Some((key, key_span))) => entries.push(Entry { key, key_span, node }),
            (Value::Map(_), None) => match node.value {
                Value::Scalar { text, .. } => open.key = Some((text, node.span)),
                _ => return Err(at(node.span, "the name of a field must be plain text")),
            },
            (Value::List(items), _) => items.push(node),
            (Value::Scalar { .. }, _) => {}
        }
        Ok(())
    }
}

/// The values in a node, the bytes of its texts and names, and how deep it goes.
fn weight(node: &Node) -> (usize, usize, usize) {
    let sum = |total: (usize, usize, usize), part: (usize, usize, usize)| {
        (total.0 + part.0, total.1 + part.1, total.2.max(part.2 + 1))
    };
    match &node.value {
        Value::Scalar { text, .. } => (1, text.len(), 0),
        Value::List(items) => items.iter().map(weight).fold((1, 0, 1), sum),
        Value::Map(entries) => entries
            .iter()
            .map(|entry| {
                let (values, text, depth) = weight(&entry.node);
                (values, text + entry.key.len(), depth)
            })
            .fold((1, 0, 1), sum),
    }
}

fn refuse_tag(tagged: bool, span: &Range<usize>) -> Result<(), Spotted> {
    if tagged {
        return Err(
            at(span.clone(), "tags (`!name`) are not understood here").hint("write the value without")
        );
    }
    Ok(())
}

fn syntax(text: &str, fault: &ScanError) -> Spotted {
    let start = text.floor_char_boundary(fault.marker().byte_offset().unwrap_or(0));
    if *fault.kind() == ErrorKind::RecursionLimitExceeded {
        return at(start..start, TOO_DEEP);
    }
    let spotted = at(start..start, format!("this is not valid YAML: {}", fault.info()));
    let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
    match text[begin..].lines().next().is_some_and(|line| line.contains("${")) {
        true => spotted.hint("between `{}` or `[]`, a value with `${…}` stands in quotes"),
        false => spotted,
    }
}

fn at(span: Range<usize>, problem: impl Into<String>) -> Spotted {
    Spotted { fault: Fault::new("", problem), position: Position::new(), span }
}

fn bytes(span: Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}
