//! What is asked for on the command line: a word, then names with values.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use super::Outcome;

/// The words after the program's name.
pub(crate) struct Arguments {
    pub(crate) mode: String,
    values: HashMap<String, String>,
}

impl Arguments {
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mode = words.next().ok_or("say what is to be measured")?;
        let mut values = HashMap::new();
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}` is not NAME=VALUE"))?;
            values.insert(name.to_owned(), value.to_owned());
        }
        Ok(Self { mode, values })
    }

    /// The value of this name, which must be there.
    pub(crate) fn get<T: FromStr<Err: Display>>(&self, name: &str) -> Outcome<T> {
        let value = self.values.get(name).ok_or_else(|| format!("`{name}=` is needed"))?;
        value.parse().map_err(|fault| format!("{name}={value}: {fault}").into())
    }

    /// The value of this name where it is given.
    pub(crate) fn get_or<T: FromStr<Err: Display>>(&self, name: &str, otherwise: T) -> Outcome<T> {
        if self.values.contains_key(name) { self.get(name) } else { Ok(otherwise) }
    }
}
