//! One set of keys out of many sources: what the `.yml`, `.properties` and `.json` forms and the sidecars get.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::placeholder::{Patience, resolve_within};
use super::property::{Property, PropertySource, text};

/// Key that chose documents and is of no use to anyone else.
const CHOOSER: &str = "spring.profiles";

/// The strongest value of each key, sources given the strongest first. A list counts as one: a stronger source
/// replaces all of it. Lists come after everything else.
pub(crate) fn merged(sources: &[PropertySource]) -> Map<String, Value> {
    let (mut plain, mut lists): (Map<String, Value>, Map<String, Value>) = Default::default();
    for source in sources.iter().rev() {
        let replaced: HashSet<&str> =
            source.properties.iter().filter_map(|property| list_of(&property.key)).collect();
        lists.retain(|key, _| list_of(key).is_none_or(|list| !replaced.contains(list)));
        for Property { key, value, .. } in &source.properties {
            let those = if list_of(key).is_some() { &mut lists } else { &mut plain };
            those.insert(key.clone(), value.clone());
        }
    }
    plain.remove(CHOOSER);
    plain.extend(lists);
    plain
}

/// The list that a key is an item of.
fn list_of(key: &str) -> Option<&str> {
    key.split_once('[').map(|(list, _)| list)
}

/// Replaces the placeholders of every text.
pub(crate) fn resolved(flat: &Map<String, Value>) -> Map<String, Value> {
    let look_up = |key: &str| flat.get(key).map(text);
    let mut patience = Patience::default();
    let mut resolve_value = |value: &Value| match value {
        Value::String(text) => Value::String(resolve_within(text, &look_up, &mut patience)),
        other => other.clone(),
    };
    flat.iter().map(|(key, value)| (key.clone(), resolve_value(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(values: Value) -> PropertySource {
        let Value::Object(values) = values else { return source(json!({})) };
        let properties = values.into_iter().map(|(key, value)| Property { key, value, place: (0, 0) });
        PropertySource { name: String::new(), location: String::new(), properties: properties.collect() }
    }

    #[test]
    fn scalars_are_replaced_one_by_one_and_lists_as_a_whole() {
        let strong = source(json!({"a": 2, "l[0]": "x", "spring.profiles": "dev"}));
        let weak = source(json!({"l[0]": 1, "l[1]": 2, "m[0].n": 1, "a": 1, "b": 1}));
        let merged = Value::Object(merged(&[strong, weak]));
        assert_eq!(merged, json!({"a": 2, "b": 1, "l[0]": "x", "m[0].n": 1}));
        assert_eq!(merged.to_string(), r#"{"a":2,"b":1,"m[0].n":1,"l[0]":"x"}"#);
    }

    #[test]
    fn many_lists_take_no_longer_than_many_items() {
        let many = |value: i32| {
            let items = (0..40_000).map(|number| (format!("l{number}[0]"), json!(value)));
            source(Value::Object(items.collect()))
        };
        let began = std::time::Instant::now();
        assert_eq!(merged(&[many(2), many(1)])["l7[0]"], 2);
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    }

    #[test]
    fn texts_are_resolved_and_other_values_are_not_touched() {
        let flat = source(json!({"a": 1, "b": "${a}-${c}"}));
        assert_eq!(Value::Object(resolved(&merged(&[flat]))), json!({"a": 1, "b": "1-${c}"}));
    }
}
