//! Routes, predicates and filters as they are written: short (`Path=/a/**`) and long (`name` with `args`).

use std::ops::Range;

use super::source::{Source, canonical, items, text_of};
use crate::tree::{Node, Value};

/// A route as it is written.
pub(super) struct Definition {
    pub(super) id: Option<String>,
    pub(super) uri: Result<String, String>,
    pub(super) predicates: Vec<Factory>,
    pub(super) filters: Vec<Factory>,
    pub(super) order: i64,
    pub(super) enabled: bool,
    /// Canonical names with their values.
    pub(super) metadata: Vec<(String, String)>,
    /// What stands in it that nobody knows.
    pub(super) unknown: Vec<String>,
    pub(super) span: Range<usize>,
}

/// A predicate or filter.
#[derive(Clone)]
pub(super) struct Factory {
    pub(super) name: String,
    pub(super) args: Args,
    /// As it was written, for messages.
    pub(super) written: String,
    pub(super) span: Range<usize>,
}

#[derive(Clone)]
pub(super) enum Args {
    /// By position.
    Short(Vec<String>),
    /// By canonical name, nested ones with dots.
    Long(Vec<(String, String)>),
    /// A property that is nowhere set.
    Unset(String),
}

impl Definition {
    /// Reads an item of `routes`.
    pub(super) fn read(node: &Node, source: &Source<'_>) -> Self {
        if let Some(text) = text_of(node) {
            return Self::one_line(text, node, source);
        }
        let mut definition = Self::empty(node);
        for entry in node.entries() {
            let text = || text_of(&entry.node).unwrap_or_default();
            match canonical(&entry.key).as_str() {
                "id" => definition.id = source.resolve(text()).ok(),
                "uri" => definition.uri = source.resolve(text()),
                "order" => {
                    definition.order = source.resolve(text()).ok().and_then(|n| n.parse().ok()).unwrap_or(0)
                }
                "enabled" => definition.enabled = source.resolve(text()).ok().as_deref() != Some("false"),
                "predicates" => definition.predicates = factories(&entry.node, source),
                "filters" => definition.filters = factories(&entry.node, source),
                "metadata" => flatten(&entry.node, "", &mut definition.metadata),
                _ => definition.unknown.push(entry.key.clone()),
            }
        }
        definition
    }

    fn empty(node: &Node) -> Self {
        let span = node.entries().first().map_or(node.span.clone(), |entry| entry.key_span.clone());
        Self {
            id: None,
            uri: Ok(String::new()),
            predicates: Vec::new(),
            filters: Vec::new(),
            order: 0,
            enabled: true,
            metadata: Vec::new(),
            unknown: Vec::new(),
            span,
        }
    }

    /// `id=uri,Predicate=..,Predicate=..`
    fn one_line(text: &str, node: &Node, source: &Source<'_>) -> Self {
        let mut definition = Self::empty(node);
        let (id, rest) = text.split_once('=').unwrap_or((text, ""));
        let mut parts = rest.split(',');
        definition.id = Some(id.trim().to_owned());
        definition.uri = source.resolve(parts.next().unwrap_or_default().trim());
        definition.predicates = parts.map(|part| Factory::short(part.trim(), &node.span, source)).collect();
        definition
    }
}

/// A list of predicates or filters.
pub(super) fn factories(node: &Node, source: &Source<'_>) -> Vec<Factory> {
    let one = |item: &Node| match text_of(item) {
        Some(text) => Factory::short(text, &item.span, source),
        None => Factory::long(item, source),
    };
    items(node).iter().map(one).collect()
}

impl Factory {
    fn short(text: &str, span: &Range<usize>, source: &Source<'_>) -> Self {
        let (name, rest) = text.split_once('=').unwrap_or((text, ""));
        // `$\{name}` keeps a group's name out of the hands of the property resolver.
        let args = match source.resolve(rest) {
            Ok(rest) => {
                let tokens = rest.split(',').map(str::trim).filter(|token| !token.is_empty());
                Args::Short(tokens.map(|token| token.replace("$\\", "$")).collect())
            }
            Err(name) => Args::Unset(name),
        };
        Self { name: name.trim().to_owned(), args, written: text.to_owned(), span: span.clone() }
    }

    fn long(node: &Node, source: &Source<'_>) -> Self {
        let (mut name, mut written, mut span) = (String::new(), Vec::new(), node.span.clone());
        for entry in node.entries() {
            match canonical(&entry.key).as_str() {
                "name" => {
                    name = text_of(&entry.node).unwrap_or_default().to_owned();
                    span = entry.key_span.clone();
                }
                "args" => flatten(&entry.node, "", &mut written),
                _ => written.push((canonical(&entry.key), String::new())),
            }
        }
        let shown: Vec<String> = written.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let resolved = written
            .into_iter()
            .map(|(name, value)| source.resolve(&value).map(|value| (name, value.replace("$\\", "$"))));
        let args = resolved.collect::<Result<_, _>>().map_or_else(Args::Unset, Args::Long);
        Self { written: format!("{name} {{{}}}", shown.join(", ")), name, args, span }
    }

    /// The argument at a position, which has this name in the long form.
    pub(super) fn arg(&self, position: usize, name: &str) -> Option<&str> {
        match &self.args {
            Args::Short(tokens) => tokens.get(position).map(String::as_str),
            Args::Long(named) => {
                let (name, generated) = (canonical(name), format!("genkey{position}"));
                named
                    .iter()
                    .find(|(key, _)| *key == name || *key == generated)
                    .map(|(_, value)| value.as_str())
            }
            Args::Unset(_) => None,
        }
    }

    /// All arguments as one list.
    pub(super) fn list(&self) -> Vec<&str> {
        match &self.args {
            Args::Short(tokens) => tokens.iter().map(String::as_str).collect(),
            Args::Long(named) => named.iter().map(|(_, value)| value.as_str()).collect(),
            Args::Unset(_) => Vec::new(),
        }
    }

    /// The names of arguments in the long form that are not among those that are known.
    pub(super) fn others(&self, known: &[&str]) -> Vec<&str> {
        let Args::Long(named) = &self.args else { return Vec::new() };
        let is_known =
            |key: &str| key.starts_with("genkey") || known.iter().any(|known| canonical(known) == key);
        named.iter().map(|(key, _)| key.as_str()).filter(|key| !is_known(key)).collect()
    }
}

/// All scalars below a node, by canonical names with dots between; items of lists have no name of their own.
fn flatten(node: &Node, prefix: &str, into: &mut Vec<(String, String)>) {
    match &node.value {
        Value::Scalar { text, .. } => into.push((prefix.to_owned(), text.clone())),
        Value::List(items) => items.iter().for_each(|item| flatten(item, prefix, into)),
        Value::Map(entries) => entries.iter().for_each(|entry| {
            let key: Vec<String> = entry.key.split('.').map(canonical).collect();
            let dot = if prefix.is_empty() { "" } else { "." };
            flatten(&entry.node, &format!("{prefix}{dot}{}", key.join(".")), into);
        }),
    }
}
