//! YAML from plain values, in blocks, as a person would write a gateway's file.

use std::fmt::Write as _;

use serde_json::Value;

/// The fields of a value, each on lines of its own.
pub(super) fn fields(value: &Value, indent: usize, out: &mut String) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let pad = " ".repeat(indent);
        // Writing into a string cannot fail.
        let _ = match is_short(value) {
            true => writeln!(out, "{pad}{}: {}", scalar(name), flow(value)),
            false => writeln!(out, "{pad}{}:", scalar(name)),
        };
        if !is_short(value) {
            fields(value, indent + 2, out);
        }
    }
}

/// An item of a list: a dash, and the fields beside and below it.
pub(super) fn item(value: &Value, indent: usize, out: &mut String) {
    let mut text = String::new();
    fields(value, indent + 2, &mut text);
    text.replace_range(indent..indent + 1, "-");
    out.push_str(&text);
}

/// Whether a value stands on one line.
fn is_short(value: &Value) -> bool {
    !value.is_object() || flow(value).len() <= 80
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(name, value)| format!("{}: {}", scalar(name), flow(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Text, in quotes wherever it could be taken for anything else. `$` is doubled: it begins a variable here.
pub(super) fn scalar(text: &str) -> String {
    // `5s` is text; `1e5` and `0x1f` are numbers.
    let is_measure = text.starts_with(|first: char| ('1'..='9').contains(&first))
        && text.ends_with(|last: char| last.is_ascii_alphabetic());
    let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let is_plain = (is_word || is_measure)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    match is_plain {
        true => text.to_owned(),
        // A JSON string is a YAML string.
        false => Value::String(text.replace('$', "$$")).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({
            "name": "a", "on": "off", "price": "5$", "quoted": "a: \"b\" # c", "number": 3, "empty": "",
            "list": ["x", "1.0", "*"], "deep": {"path": "/a/{id}", "long": "x".repeat(90)},
        });
        let mut text = String::from("list:\n");
        item(&value, 2, &mut text);
        let tree = crate::yaml::parse(&text).map(|(tree, _)| tree);
        let read =
            tree.ok().and_then(|tree| serde_json::Value::deserialize(crate::shape::Reader(&tree)).ok());
        let mut expected = json!({"list": [value]});
        expected["list"][0]["price"] = json!("5$$");
        assert_eq!(read, Some(expected), "{text}");
    }

    use serde::Deserialize;
}
