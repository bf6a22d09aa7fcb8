//! What must hold for any file of configuration: it is refused at a place in it, or it can be merged, resolved and told
//! in every form.
#![allow(clippy::expect_used)]

use std::sync::Arc;

use serde_json::Value;

use super::property::{Document, ParseFault, PropertySource};
use super::{Query, merged, nested, properties, resolved, yaml};
use crate::configuration::activation::applies;

/// A file of `.properties`.
pub fn config_properties(bytes: &[u8]) {
    read(bytes, properties::parse);
}

/// A file of `.yml`.
pub fn config_yaml(bytes: &[u8]) {
    read(bytes, yaml::parse);
}

fn read(bytes: &[u8], parse: fn(&str) -> Result<Vec<Document>, ParseFault>) {
    let text = String::from_utf8_lossy(bytes);
    let documents = match parse(&text) {
        Ok(documents) => documents,
        Err(fault) => {
            // To YAML a lone CR ends a line too.
            assert!(fault.line <= text.split(['\n', '\r']).count() + 1, "{fault}: beyond the text");
            return;
        }
    };
    let profiles = Query::of("pay", "dev").profiles;
    let sources: Vec<PropertySource> =
        documents.into_iter().filter(|document| applies(document, &profiles)).map(source).collect();
    let flat = resolved(&merged(&sources));
    for (key, value) in &flat {
        assert!(!value.is_null() && !value.is_array() && !value.is_object(), "{key}: {value}");
    }
    let Ok(tree) = nested(&flat) else { return };
    let told = serde_json::to_string(&tree).expect("a tree can be written");
    let again: Value = serde_json::from_str(&told).expect("what is written is JSON");
    assert_eq!(again, tree);
}

fn source(document: Document) -> PropertySource {
    let name: Arc<str> = "pay.yml".into();
    PropertySource { name: name.to_string(), location: name.to_string(), properties: document.properties }
}
