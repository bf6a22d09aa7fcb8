//! A tree of YAML as flat keys: `a.b`, `a[0].c`. Empty lists and null become the empty text, as with Spring.

use serde_json::Value;

use super::property::{Collector, Document, Property};
use super::scalar::plain;
use super::yaml::{Key, Node};

/// The key of a document that is no mapping.
const BARE: &str = "document";

pub(super) fn flatten(root: &Node) -> Document {
    let mut collector = Collector::default();
    match root {
        Node::Map(_) => walk("", root, &mut collector),
        Node::Scalar { text, plain: true, .. } if plain(text).is_none() => {}
        _ => walk(BARE, root, &mut collector),
    }
    collector.finish()
}

fn walk(path: &str, node: &Node, collector: &mut Collector) {
    match node {
        Node::Scalar { text, plain: is_plain, place } => {
            let value = match is_plain {
                true => plain(text).unwrap_or_else(empty),
                false => Value::String(text.clone()),
            };
            collector.put(Property { key: path.to_owned(), value, place: *place });
        }
        Node::List(items, place) if items.is_empty() => {
            collector.put(Property { key: path.to_owned(), value: empty(), place: *place });
        }
        Node::List(items, _) => {
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{path}[{index}]"), item, collector);
            }
        }
        Node::Map(entries) => {
            for (key, value) in entries {
                walk(&join(path, key), value, collector);
            }
        }
    }
}

/// A name that is a number or a truth value becomes an index, as it is no text to Spring's parser.
fn join(path: &str, key: &Key) -> String {
    let is_text = !key.plain || matches!(plain(&key.text), Some(Value::String(_)));
    match (path.is_empty(), is_text) {
        (_, false) => format!("{path}[{}]", key.text),
        (true, true) => key.text.clone(),
        (false, true) if key.text.starts_with('[') => format!("{path}{}", key.text),
        (false, true) => format!("{path}.{}", key.text),
    }
}

fn empty() -> Value {
    Value::String(String::new())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{Value, json};

    use crate::configuration::yaml::parse;

    fn flat(text: &str) -> Vec<Value> {
        let documents = parse(text).unwrap_or_else(|fault| panic!("{fault}"));
        let entries = |document: crate::configuration::property::Document| {
            document.properties.into_iter().map(|p| (p.key, p.value)).collect::<serde_json::Map<_, _>>()
        };
        documents.into_iter().map(|document| Value::Object(entries(document))).collect()
    }

    #[test]
    fn trees_become_flat_keys() {
        for (text, expected) in [
            ("a: {b: 1, c: x}", json!({"a.b": 1, "a.c": "x"})),
            ("a:\n- 1\n- b: 2\n", json!({"a[0]": 1, "a[1].b": 2})),
            ("a: []\nb:\nc: ~", json!({"a": "", "b": "", "c": ""})),
            ("a: '40'\nb: \"on\"\nc: on", json!({"a": "40", "b": "on", "c": true})),
            ("a: !!str 40", json!({"a": "40"})),
            ("1: x\ntrue: y", json!({"[1]": "x", "[true]": "y"})),
            ("a:\n  '[b.c]': 1", json!({"a[b.c]": 1})),
            ("a: 2026-11-21", json!({"a": "2026-11-21"})),
            ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}", json!({"x.a": 1, "x.b": 2, "y.b": 3, "y.a": 1})),
            ("just text", json!({"document": "just text"})),
            ("- a\n- b", json!({"document[0]": "a", "document[1]": "b"})),
            ("t: |\n  two\n  lines\n", json!({"t": "two\nlines\n"})),
        ] {
            assert_eq!(flat(text), [expected], "{text}");
        }
        assert!(flat("").is_empty() && flat("---\n---\n# nothing\n").is_empty());
        assert_eq!(flat("a: 1\n---\na: 2\n"), [json!({"a": 1}), json!({"a": 2})]);
    }

    #[test]
    fn places_are_those_of_the_values() {
        let documents = parse("a:\n  b: 1\n").unwrap();
        assert_eq!(documents[0].properties[0].place, (2, 6));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        let bomb = (1..40).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
            format!("{text}a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1)
        });
        for (text, problem) in [
            ("a: 1\na: 2\n", "given twice"),
            ("a: [1", "not valid YAML"),
            ("a: !java.net.URL x", "tag"),
            (&"[".repeat(200), "64 deep"),
            (&bomb, "more than"),
            ("? [a]\n: b", "plain text"),
        ] {
            let fault = parse(text).unwrap_err().to_string();
            assert!(fault.contains(problem) || fault.contains("not valid"), "{fault}");
        }
        assert_eq!(parse("a: 1\nb: 2\na: 3\n").unwrap_err().line, 3);
    }
}
