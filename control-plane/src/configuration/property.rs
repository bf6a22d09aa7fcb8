//! What configuration is made of once it is read, wherever it came from: flat keys with values and places, in
//! sources of which an earlier one lies over a later one.

use std::collections::HashMap;

use serde_json::Value;

/// The keys of one file. Nested names multiply: each value's key repeats every name above it.
const KEY_BYTES: usize = 32 * 1024 * 1024;

/// One key and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Property {
    pub(crate) key: String,
    /// Text, number or boolean; never null, a list or an object.
    pub(crate) value: Value,
    /// Line and column it was read from, from 1; 0 where there is no text.
    pub(crate) place: (usize, usize),
}

/// One document: its properties in the order they were written, no key twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Document {
    pub(crate) properties: Vec<Property>,
}

/// Properties with the name that clients know them by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PropertySource {
    /// Holds `-PROFILE` when it is a profile's: clients tell by that.
    pub(crate) name: String,
    /// The file, or whatever else the properties were read from.
    pub(crate) location: String,
    pub(crate) properties: Vec<Property>,
}

/// Why a text could not be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub(crate) struct ParseFault {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) problem: String,
}

impl Document {
    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.properties.iter().find(|property| property.key == key).map(|property| &property.value)
    }

    /// The texts of `key`, of `key[0]` and so on, split at commas.
    pub(crate) fn words(&self, key: &str) -> Vec<String> {
        let listed = |name: &str| {
            name.strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('[') && rest.ends_with(']'))
        };
        let found = self.properties.iter().filter(|property| listed(&property.key));
        let words = found.flat_map(|property| {
            text(&property.value).split(',').map(|word| word.trim().to_owned()).collect::<Vec<_>>()
        });
        words.filter(|word| !word.is_empty()).collect()
    }
}

/// Collects the properties of a file, document by document; a key that comes again replaces the value and keeps its
/// place in the order.
#[derive(Debug, Default)]
pub(super) struct Collector {
    properties: Vec<Property>,
    positions: HashMap<String, usize>,
    /// Of the keys of all documents.
    bytes: usize,
}

impl Collector {
    pub(super) fn put(&mut self, property: Property) -> Result<(), ParseFault> {
        self.bytes += property.key.len();
        if self.bytes > KEY_BYTES {
            let (line, column) = property.place;
            let most = KEY_BYTES / 1024 / 1024;
            let problem = format!(
                "up to here the keys, each with all names above it, have more than {most} MiB; nest them less or shorten their names"
            );
            return Err(ParseFault { line, column, problem });
        }
        match self.positions.get(&property.key) {
            Some(at) => self.properties[*at] = property,
            None => {
                self.positions.insert(property.key.clone(), self.properties.len());
                self.properties.push(property);
            }
        }
        Ok(())
    }

    /// Ends a document.
    pub(super) fn document(&mut self) -> Document {
        // Clearing it would cost what the largest document took, each time.
        self.positions = HashMap::default();
        Document { properties: std::mem::take(&mut self.properties) }
    }
}

/// A value as text.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
