//! YAML to flat properties, one document after the other, as Spring reads it. What a text may build is bounded:
//! depth, number of values, and what aliases copy.

use std::collections::HashMap;
use std::collections::HashSet;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::flatten::flatten;
use super::property::{Collector, Document, ParseFault};

/// Lists and mappings inside each other.
const DEPTH: usize = 64;
/// Values in a text, those that aliases copy included.
const VALUES: usize = 200_000;
/// Bytes of text that anchors and aliases copy.
const COPIES: usize = 32 * 1024 * 1024;

/// One value as it was written.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// `plain` was written without quotes.
    Scalar {
        text: String,
        plain: bool,
        place: (usize, usize),
    },
    List(Vec<Node>, (usize, usize)),
    Map(Vec<(Key, Node)>),
}

/// The name of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) plain: bool,
}

/// Reads every document of a text; empty ones are left out.
pub(super) fn parse(text: &str) -> Result<Vec<Document>, ParseFault> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    loop {
        match parser.next() {
            None => break,
            Some(Ok((event, span))) => builder.take(event, place(span))?,
            Some(Err(fault)) => {
                let at = (fault.marker().line(), fault.marker().col() + 1);
                return Err(refused(at, format!("this is not valid YAML: {}", fault.info())));
            }
        }
    }
    let mut collector = Collector::default();
    let documents = builder.documents.iter().map(|root| flatten(root, &mut collector));
    let mut documents = documents.collect::<Result<Vec<Document>, ParseFault>>()?;
    documents.retain(|document| !document.properties.is_empty());
    Ok(documents)
}

/// The trees so far, and the lists and mappings that are still open.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    values: usize,
    copies: usize,
}

struct Open {
    node: Node,
    key: Option<Key>,
    seen: HashSet<Key>,
    anchor: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: (usize, usize)) -> Result<(), ParseFault> {
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| tag.to_string());
                let plain = style == ScalarStyle::Plain && !is_text_tag(tag.as_deref(), at)?;
                let node = Node::Scalar { text: text.into_owned(), plain, place: at };
                return self.complete(node, anchor, at);
            }
            Event::SequenceStart(_, anchor, tag) => {
                is_text_tag(tag.map(|tag| tag.to_string()).as_deref(), at)?;
                return self.begin(Node::List(Vec::new(), at), anchor, at);
            }
            Event::MappingStart(_, anchor, tag) => {
                is_text_tag(tag.map(|tag| tag.to_string()).as_deref(), at)?;
                return self.begin(Node::Map(Vec::new()), anchor, at);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    return self.complete(merged(open.node), open.anchor, at);
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(refused(at, "this alias refers to a value that it is itself part of"));
                };
                let weight = weight(node);
                self.values += weight.values;
                self.copies += weight.bytes;
                if self.open.len() + weight.depth > DEPTH {
                    return Err(refused(at, TOO_DEEP));
                }
                if self.copies > COPIES {
                    return Err(refused(at, too_many_copies()));
                }
                let copy = node.clone();
                return self.complete(copy, 0, at);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, node: Node, anchor: usize, at: (usize, usize)) -> Result<(), ParseFault> {
        if self.open.len() >= DEPTH {
            return Err(refused(at, TOO_DEEP));
        }
        self.open.push(Open { node, key: None, seen: HashSet::new(), anchor });
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn complete(&mut self, node: Node, anchor: usize, at: (usize, usize)) -> Result<(), ParseFault> {
        self.values += 1;
        if self.values > VALUES {
            return Err(refused(at, format!("this text has more than {VALUES} values")));
        }
        if anchor != 0 {
            let weight = weight(&node);
            self.values += weight.values;
            self.copies += weight.bytes;
            if self.copies > COPIES {
                return Err(refused(at, too_many_copies()));
            }
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match (&mut open.node, open.key.take()) {
            (Node::Map(entries), Some(key)) => entries.push((key, node)),
            (Node::Map(_), None) => {
                let Node::Scalar { text, plain, .. } = node else {
                    return Err(refused(at, "the name of a field must be plain text"));
                };
                let key = Key { text, plain };
                if !open.seen.insert(key.clone()) {
                    return Err(refused(at, format!("the key `{}` is given twice", key.text)));
                }
                open.key = Some(key);
            }
            (Node::List(items, _), _) => items.push(node),
            (Node::Scalar { .. }, _) => {}
        }
        Ok(())
    }
}

const TOO_DEEP: &str = "lists and mappings are nested more than 64 deep";

fn too_many_copies() -> String {
    let most = COPIES / 1024 / 1024;
    format!("up to here `&` and `*` copy more than {most} MiB; refer to shorter texts or to fewer")
}

/// Carries out `<<`: entries of other mappings that this one does not have itself.
fn merged(node: Node) -> Node {
    let Node::Map(entries) = node else { return node };
    let is_merge = |key: &Key| key.plain && key.text == "<<";
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        return Node::Map(entries);
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| is_merge(key));
    let sources = merges.into_iter().flat_map(|(_, node)| match node {
        Node::List(items, _) => items,
        other => vec![other],
    });
    let mut known: HashSet<Key> = own.iter().map(|(key, _)| key.clone()).collect();
    for source in sources {
        let Node::Map(entries) = source else { continue };
        own.extend(entries.into_iter().filter(|(key, _)| known.insert(key.clone())));
    }
    Node::Map(own)
}

/// Whether a tag makes a text of what would be something else. Tags that are not of YAML itself are refused.
fn is_text_tag(tag: Option<&str>, at: (usize, usize)) -> Result<bool, ParseFault> {
    let Some(tag) = tag else { return Ok(false) };
    match tag.trim_start_matches("tag:yaml.org,2002:").trim_start_matches('!') {
        "str" | "" => Ok(true),
        "int" | "float" | "bool" | "null" | "map" | "seq" | "timestamp" => Ok(false),
        _ => Err(refused(at, "this tag is not understood; write the value without")),
    }
}

/// What a copy of a node costs.
struct Weight {
    values: usize,
    bytes: usize,
    depth: usize,
}

fn weight(node: &Node) -> Weight {
    let own = |depth: usize| Weight { values: 1, bytes: 0, depth };
    let sum = |total: Weight, part: Weight| Weight {
        values: total.values + part.values,
        bytes: total.bytes + part.bytes,
        depth: total.depth.max(part.depth + 1),
    };
    match node {
        Node::Scalar { text, .. } => Weight { bytes: text.len(), ..own(0) },
        Node::List(items, _) => items.iter().map(weight).fold(own(1), sum),
        Node::Map(entries) => {
            let parts = entries.iter().map(|(key, node)| {
                let part = weight(node);
                Weight { bytes: part.bytes + key.text.len(), ..part }
            });
            parts.fold(own(1), sum)
        }
    }
}

fn place(span: Span) -> (usize, usize) {
    (span.start.line(), span.start.col() + 1)
}

fn refused((line, column): (usize, usize), problem: impl Into<String>) -> ParseFault {
    ParseFault { line, column, problem: problem.into() }
}
