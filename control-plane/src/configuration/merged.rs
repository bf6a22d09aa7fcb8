//! One set of keys out of many sources: what the `.yml`, `.properties` and `.json` forms and the sidecars get.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::placeholder::resolve;
use super::property::{PropertySource, text};

/// Key that chose documents and is of no use to anyone else.
const CHOOSER: &str = "spring.profiles";

/// The strongest value of each key, sources given the strongest first. A list counts as one: a stronger source
/// replaces all of it. Lists come after everything else.
pub(crate) fn merged(sources: &[PropertySource]) -> Map<String, Value> {
    let (mut plain, mut lists): (Map<String, Value>, Map<String, Value>) = Default::default();
    for source in sources.iter().rev() {
        let mut replaced = HashSet::new();
        for property in &source.properties {
            let Some((list, _)) = property.key.split_once('[') else {
                plain.insert(property.key.clone(), property.value.clone());
                continue;
            };
            if replaced.insert(list) {
                let begins = |key: &str| key.strip_prefix(list).is_some_and(|rest| rest.starts_with('['));
                lists.retain(|key, _| !begins(key));
            }
            lists.insert(property.key.clone(), property.value.clone());
        }
    }
    plain.remove(CHOOSER);
    plain.extend(lists);
    plain
}

/// Replaces the placeholders of every text.
pub(crate) fn resolved(flat: &Map<String, Value>) -> Map<String, Value> {
    let look_up = |key: &str| flat.get(key).map(text);
    let resolve_value = |value: &Value| match value {
        Value::String(text) => Value::String(resolve(text, &look_up)),
        other => other.clone(),
    };
    flat.iter().map(|(key, value)| (key.clone(), resolve_value(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::configuration::property::Property;

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
    fn texts_are_resolved_and_other_values_are_not_touched() {
        let flat = source(json!({"a": 1, "b": "${a}-${c}"}));
        assert_eq!(Value::Object(resolved(&merged(&[flat]))), json!({"a": 1, "b": "1-${c}"}));
    }
}
