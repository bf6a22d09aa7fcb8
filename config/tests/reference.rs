//! Keeps `docs/configuration.md` true: its tables are made from the types. `UPDATE_DOCS=1 cargo test -p
//! portreeve-config --test reference` writes them anew.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use portreeve_config::{Kind, schema};
use serde_json::Value;

const MARK: &str = "<!-- tables made from the types; see config/tests/reference.rs -->\n";

#[test]
fn the_tables_of_the_reference_are_those_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (before, now) = document.split_once(MARK).unwrap();
    let tables = tables();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{MARK}{tables}")).unwrap();
        return;
    }
    assert_eq!(now, tables, "run: UPDATE_DOCS=1 cargo test -p portreeve-config --test reference");
}

fn tables() -> String {
    let mut text = String::new();
    let mut told = BTreeSet::new();
    for kind in Kind::ALL {
        let schema = schema(kind);
        write!(text, "\n## `kind: {}`\n", kind.name()).unwrap();
        table(&mut text, &schema);
        for (name, part) in schema["$defs"].as_object().into_iter().flatten() {
            if told.insert(name.clone()) && (part["properties"].is_object() || has_variants(part)) {
                write!(text, "\n### {name}\n\n{}\n", first_line(part)).unwrap();
                table(&mut text, part);
            }
        }
    }
    text
}

fn table(text: &mut String, part: &Value) {
    if let Some(fields) = part["properties"].as_object() {
        text.push_str("\n| field | type | default | meaning |\n|---|---|---|---|\n");
        let required: Vec<&str> =
            part["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, field) in fields {
            let default = match field.get("default") {
                _ if required.contains(&name.as_str()) => "required".to_owned(),
                Some(value) if !value.is_null() && !value.is_object() && *value != Value::Array(vec![]) => {
                    format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                }
                _ => String::new(),
            };
            writeln!(text, "| `{name}` | {} | {default} | {} |", kind_of(field), description(field)).unwrap();
        }
        return;
    }
    text.push_str("\n| value | meaning |\n|---|---|\n");
    for variant in variants(part) {
        for (value, about) in values(variant) {
            writeln!(text, "| `{value}` | {about} |").unwrap();
        }
    }
}

fn variants(part: &Value) -> impl Iterator<Item = &Value> {
    part["oneOf"].as_array().or(part["anyOf"].as_array()).into_iter().flatten()
}

fn has_variants(part: &Value) -> bool {
    variants(part).next().is_some()
}

/// What can be written for one variant: a word, or a field with a value.
fn values(variant: &Value) -> Vec<(String, String)> {
    let about = description(variant);
    if let Some(word) = variant["const"].as_str() {
        return vec![(word.to_owned(), about)];
    }
    let words = variant["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<_> = words.map(|word| (word.to_owned(), about.clone())).collect();
    if !words.is_empty() {
        return words;
    }
    match variant["properties"].as_object() {
        Some(fields) => fields
            .iter()
            .map(|(name, field)| (format!("{name}: {}", kind_of(field)), about.clone()))
            .collect(),
        None => vec![(kind_of(variant), about)],
    }
}

fn kind_of(field: &Value) -> String {
    if let Some(name) = field["$ref"].as_str() {
        return name.rsplit('/').next().unwrap_or(name).to_owned();
    }
    if let Some(some) = field["anyOf"].as_array().and_then(|any| any.iter().find(|one| one["type"] != "null"))
    {
        return kind_of(some);
    }
    let name = match &field["type"] {
        Value::String(name) => name.as_str(),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("")
        }
        _ => "",
    };
    match name {
        "array" => format!("list of {}", kind_of(&field["items"])),
        "object" if field["additionalProperties"].is_object() => {
            format!("name → {}", kind_of(&field["additionalProperties"]))
        }
        "object" => "mapping".to_owned(),
        "string" => "text".to_owned(),
        other => other.to_owned(),
    }
}

fn description(field: &Value) -> String {
    field["description"].as_str().unwrap_or("").replace('\n', " ").replace('|', "\\|")
}

fn first_line(part: &Value) -> String {
    part["description"].as_str().unwrap_or("").replace('\n', " ")
}
