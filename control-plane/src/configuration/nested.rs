//! Flat keys as a tree again, for the `.yml` and `.json` forms.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// The highest index of a list: gaps are filled, so a single key could make any number of items.
const MOST_ITEMS: usize = 10_000;

/// A key that names no place in a tree.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the key `{0}` cannot be part of a tree")]
pub(crate) struct KeyFault(String);

#[derive(Debug, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
}

/// The tree of these keys. Where a key is a value and also leads further, what lies further keeps a compound key
/// beside it.
pub(crate) fn tree(flat: &Map<String, Value>) -> Result<Value, KeyFault> {
    let leaves: HashSet<&str> = flat.keys().map(String::as_str).collect();
    let mut root = Value::Object(Map::new());
    for (key, value) in flat {
        let steps = steps(key, &leaves)?;
        put(&mut root, &steps, value.clone());
    }
    Ok(root)
}

/// Splits a key: `a.b[0].c`.
fn steps(key: &str, leaves: &HashSet<&str>) -> Result<Vec<Step>, KeyFault> {
    let fault = || KeyFault(crate::state::excerpt(key));
    let mut steps = Vec::new();
    let mut at = 0;
    while at < key.len() {
        let rest = &key[at..];
        if at > 0 && leaves.contains(&key[..at]) {
            return Ok(compound(steps, rest));
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let (index, _) = inner.split_once(']').ok_or_else(fault)?;
            at += index.len() + 2;
            let after = key[at..].chars().next();
            if index.is_empty() || after.is_some_and(|next| next != '.' && next != '[') {
                return Err(fault());
            }
            steps.push(match index.parse() {
                Ok(index) if index <= MOST_ITEMS && !steps.is_empty() => Step::Index(index),
                Ok::<usize, _>(_) => return Err(fault()),
                Err(_) => Step::Name(format!("[{index}]")),
            });
            continue;
        }
        let name = match rest.strip_prefix('.') {
            Some(name) if at > 0 => name,
            _ => rest,
        };
        at = key.len() - name.len();
        let end = name.find(['.', '[']).unwrap_or(name.len());
        if end == 0 {
            return Err(fault());
        }
        steps.push(Step::Name(name[..end].to_owned()));
        at += end;
    }
    match key.ends_with('.') || steps.is_empty() {
        true => Err(fault()),
        false => Ok(literal(steps)),
    }
}

/// `rest` belongs to a key that is a value itself: it is joined to the last name.
fn compound(mut steps: Vec<Step>, rest: &str) -> Vec<Step> {
    let last = match steps.pop() {
        Some(Step::Name(name)) => format!("{name}{rest}"),
        Some(Step::Index(index)) => {
            let list = compound(steps, &format!("[{index}]{rest}"));
            return list;
        }
        None => rest.to_owned(),
    };
    steps.push(Step::Name(last));
    literal(steps)
}

/// A bracket without a number belongs to the name in front of it.
fn literal(steps: Vec<Step>) -> Vec<Step> {
    let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        match (joined.last_mut(), step) {
            (Some(Step::Name(before)), Step::Name(name)) if name.starts_with('[') => before.push_str(&name),
            (_, step) => joined.push(step),
        }
    }
    joined
}

fn put(node: &mut Value, steps: &[Step], value: Value) {
    let Some((step, rest)) = steps.split_first() else {
        *node = value;
        return;
    };
    match step {
        Step::Name(name) => {
            if !node.is_object() {
                *node = Value::Object(Map::new());
            }
            if let Value::Object(map) = node {
                put(map.entry(name.clone()).or_insert(Value::Null), rest, value);
            }
        }
        Step::Index(index) => {
            if !node.is_array() {
                *node = Value::Array(Vec::new());
            }
            if let Value::Array(items) = node {
                if items.len() <= *index {
                    items.resize(index + 1, Value::Null);
                }
                put(&mut items[*index], rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    #[test]
    fn flat_keys_become_a_tree() {
        for (flat, expected) in [
            (json!({"a.b": 1, "a.c": "x", "d": true}), json!({"a": {"b": 1, "c": "x"}, "d": true})),
            (json!({"a[0]": 1, "a[1]": 2}), json!({"a": [1, 2]})),
            (json!({"a[0].b": 1, "a[0].c": 2, "a[1].b": 3}), json!({"a": [{"b": 1, "c": 2}, {"b": 3}]})),
            (json!({"a[0][0]": 1, "a[0][1]": 2, "a[1][0]": 3}), json!({"a": [[1, 2], [3]]})),
            (json!({"a[1]": 1}), json!({"a": [null, 1]})),
            (json!({"log.a": 1, "log.a.b": 2}), json!({"log": {"a": 1, "a.b": 2}})),
            (json!({"log.a.b.c": 2, "log.a": 1}), json!({"log": {"a.b.c": 2, "a": 1}})),
            (json!({"a": "", "a[0]": 1}), json!({"a": "", "a[0]": 1})),
            (json!({"m[key]": 1, "m[key].x": 2}), json!({"m[key]": 1, "m[key].x": 2})),
            (json!({"m[key].x": 1}), json!({"m[key]": {"x": 1}})),
        ] {
            assert_eq!(tree(flat.as_object().unwrap()), Ok(expected), "{flat}");
        }
    }

    #[test]
    fn keys_that_name_no_place_are_refused() {
        for key in ["", ".", "a.", "a..b", "x[]", "x[1", "x[1]y", "x[999999999]", "[0]"] {
            let flat = Map::from_iter([(key.to_owned(), json!(1))]);
            assert!(tree(&flat).is_err(), "{key}");
        }
    }
}
