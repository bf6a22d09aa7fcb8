//! A tree of YAML as flat keys: `a.b`, `a[0].c`. Empty lists and null become the empty text, as with Spring.

use serde_json::Value;

use super::property::{Collector, Document, ParseFault, Property};
use super::scalar::plain;
use super::yaml::{Key, Node};

/// The key of a document that is no mapping.
const BARE: &str = "document";

/// One document of a file; `collector` is the whole file's.
pub(super) fn flatten(root: &Node, collector: &mut Collector) -> Result<Document, ParseFault> {
    match root {
        Node::Map(_) => walk(&mut String::new(), root, collector)?,
        Node::Scalar { text, plain: true, .. } if plain(text).is_none() => {}
        _ => walk(&mut BARE.to_owned(), root, collector)?,
    }
    Ok(collector.document())
}

/// `path` is the same again afterwards. It grows and shrinks in one place, for a copy at each node would cost its
/// whole length even where there is nothing to collect.
fn walk(path: &mut String, node: &Node, collector: &mut Collector) -> Result<(), ParseFault> {
    let length = path.len();
    match node {
        Node::Scalar { text, plain: is_plain, place } => {
            let value = match is_plain {
                true => plain(text).unwrap_or_else(empty),
                false => Value::String(text.clone()),
            };
            collector.put(Property { key: path.clone(), value, place: *place })?;
        }
        Node::List(items, place) if items.is_empty() => {
            collector.put(Property { key: path.clone(), value: empty(), place: *place })?;
        }
        Node::List(items, _) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                walk(path, item, collector)?;
                path.truncate(length);
            }
        }
        Node::Map(entries) => {
            for (key, value) in entries {
                join(path, key);
                walk(path, value, collector)?;
                path.truncate(length);
            }
        }
    }
    Ok(())
}

/// A name that is a number or a truth value becomes an index, as it is no text to Spring's parser.
fn join(path: &mut String, key: &Key) {
    let is_text = !key.plain || matches!(plain(&key.text), Some(Value::String(_)));
    match (path.is_empty(), is_text) {
        (_, false) => path.extend(["[", key.text.as_str(), "]"]),
        (false, true) if !key.text.starts_with('[') => path.extend([".", key.text.as_str()]),
        (_, true) => path.push_str(&key.text),
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
    fn keys_that_multiply_are_refused() {
        let names = (0..60).map(|depth| format!("{}{}:\n", " ".repeat(depth), "k".repeat(900)));
        let names: String = names.collect();
        let file = |leaves: usize| format!("{names}{}[{}]\n", " ".repeat(60), "x, ".repeat(leaves));
        assert_eq!(parse(&file(400)).unwrap()[0].properties.len(), 400);
        let fault = parse(&file(700)).unwrap_err();
        assert!(fault.problem.contains("more than 32 MiB"), "{fault}");
        assert_eq!(fault.line, 61);
        let twice = format!("{0}---\n{0}", file(400));
        assert!(parse(&twice).unwrap_err().problem.contains("more than 32 MiB"));
    }

    #[test]
    fn empty_values_below_a_long_name_do_not_copy_it() {
        let text = format!("? {}\n: [{}]\n", "k".repeat(2_000_000), "{}, ".repeat(150_000));
        let began = std::time::Instant::now();
        assert!(parse(&text).unwrap().is_empty());
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn long_texts_are_not_copied_without_end() {
        for copies in ["*a, ".repeat(400), format!("&b [{}], *b", "*a, ".repeat(200))] {
            let text = format!("a: &a {}\nb: [{copies}]\n", "x".repeat(100_000));
            let fault = parse(&text).unwrap_err();
            assert!(fault.problem.contains("copy more than 32 MiB"), "{fault}");
            assert_eq!(fault.line, 2);
        }
        let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a, ".repeat(100));
        assert_eq!(parse(&text).unwrap()[0].properties.len(), 101);
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
