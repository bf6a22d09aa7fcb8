//! Flat keys as a tree again, for the `.yml` and `.json` forms.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// The highest index of a list: gaps are filled, so a single key could make any number of items.
const MOST_ITEMS: usize = 10_000;
/// The longest key. Each of its beginnings is looked up.
const KEY_BYTES: usize = 4_096;
/// The parts of one key. A tree is built, written and dropped one call inside the other, and what reads JSON
/// commonly gives up at 128.
const MOST_STEPS: usize = 127;
/// Places in a whole tree, filled gaps included.
const MOST_PLACES: usize = 1_000_000;

/// Why keys make no tree.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum KeyFault {
    #[error("the key `{0}` cannot be part of a tree")]
    NoPlace(String),
    #[error(
        "the key `{0}` is longer than {most} bytes and cannot be part of a tree; shorten it, or ask for `.properties`",
        most = KEY_BYTES
    )]
    Long(String),
    #[error(
        "the key `{0}` has more than {most} parts and cannot be part of a tree; give it fewer, or ask for `.properties`",
        most = MOST_STEPS
    )]
    Deep(String),
    #[error(
        "from the key `{0}` on, the tree has more than {most} places; use fewer keys and lower indices, or ask for `.properties`",
        most = MOST_PLACES
    )]
    Large(String),
}

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
    let mut room = MOST_PLACES;
    for (key, value) in flat {
        let steps = steps(key, &leaves)?;
        let large = || KeyFault::Large(crate::state::excerpt(key));
        put(&mut root, &steps, value.clone(), &mut room).ok_or_else(large)?;
    }
    Ok(root)
}

/// Splits a key: `a.b[0].c`.
fn steps(key: &str, leaves: &HashSet<&str>) -> Result<Vec<Step>, KeyFault> {
    let beginning = || crate::state::excerpt(key);
    let fault = || KeyFault::NoPlace(beginning());
    if key.len() > KEY_BYTES {
        return Err(KeyFault::Long(beginning()));
    }
    let mut steps = Vec::new();
    let mut at = 0;
    while at < key.len() {
        let rest = &key[at..];
        if at > 0 && leaves.contains(&key[..at]) {
            return Ok(compound(steps, rest));
        }
        if steps.len() == MOST_STEPS {
            return Err(KeyFault::Deep(beginning()));
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

/// `None` when there is no room for the places that this makes.
fn put(node: &mut Value, steps: &[Step], value: Value, room: &mut usize) -> Option<()> {
    let Some((step, rest)) = steps.split_first() else {
        *node = value;
        return Some(());
    };
    match step {
        Step::Name(name) => {
            if !node.is_object() {
                *node = Value::Object(Map::new());
            }
            if let Value::Object(map) = node {
                if !map.contains_key(name) {
                    *room = room.checked_sub(1)?;
                }
                put(map.entry(name.clone()).or_insert(Value::Null), rest, value, room)?;
            }
        }
        Step::Index(index) => {
            if !node.is_array() {
                *node = Value::Array(Vec::new());
            }
            if let Value::Array(items) = node {
                if items.len() <= *index {
                    *room = room.checked_sub(index + 1 - items.len())?;
                    items.resize(index + 1, Value::Null);
                }
                put(&mut items[*index], rest, value, room)?;
            }
        }
    }
    Some(())
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

    #[test]
    fn keys_of_any_length_and_depth_end_in_words() {
        let key = |parts: usize| vec!["a"; parts].join(".");
        let of = |key: String| tree(&Map::from_iter([(key, json!(1))]));
        let deepest = of(key(MOST_STEPS)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&deepest.to_string()).unwrap(), deepest);
        for (key, problem) in [
            (key(50_001), "longer than 4096 bytes"),
            ("a".repeat(4_097), "longer than 4096 bytes"),
            (format!("a{}", "[0]".repeat(50_000)), "longer than 4096 bytes"),
            (key(MOST_STEPS + 1), "more than 127 parts"),
            (format!("a{}", "[0]".repeat(MOST_STEPS)), "more than 127 parts"),
        ] {
            let fault = of(key).unwrap_err().to_string();
            assert!(fault.starts_with("the key `a") && fault.contains(problem), "{fault}");
            assert!(fault.contains("ask for `.properties`") && fault.len() < 300, "{fault}");
        }
        assert!(of("a".repeat(4_096)).is_ok());
    }

    #[test]
    fn gaps_of_many_lists_are_no_way_to_fill_the_memory() {
        let lists = |number: usize| {
            let flat = (0..number).map(|list| (format!("l{list}[{MOST_ITEMS}]"), json!(1)));
            tree(&flat.collect::<Map<_, _>>())
        };
        assert!(lists(50).is_ok());
        assert!(lists(200).unwrap_err().to_string().contains("more than 1000000 places"));
    }
}
