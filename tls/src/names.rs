//! Picks what belongs to the name a client asks for (SNI, RFC 6066, 3): an exact name, then a wildcard of one label,
//! then what came first.

use std::collections::HashMap;

/// Values by the names of certificates.
#[derive(Debug)]
pub(super) struct ByName<T> {
    exact: HashMap<Box<str>, Vec<T>>,
    /// By what follows the `*.`.
    wildcard: HashMap<Box<str>, Vec<T>>,
    first: Vec<T>,
}

impl<T: Clone> ByName<T> {
    /// `values` in order of preference, each with its names in lower case (`shop.example`, `*.shop.example`).
    pub(super) fn new(values: impl IntoIterator<Item = (T, Vec<String>)>) -> Self {
        let mut table = Self { exact: HashMap::new(), wildcard: HashMap::new(), first: Vec::new() };
        for (value, names) in values {
            for name in names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.wildcard, parent.into()),
                    None => (&mut table.exact, name.into()),
                };
                map.entry(name).or_default().push(value.clone());
            }
            if table.first.is_empty() {
                table.first.push(value);
            }
        }
        table
    }

    /// What fits `name`, which is in lower case; more than one when certificates share the name. Empty only when the
    /// table is.
    pub(super) fn pick(&self, name: Option<&str>) -> &[T] {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
        let exact = name.and_then(|name| self.exact.get(name));
        let fitting = exact.or_else(|| {
            let (label, parent) = name?.split_once('.')?;
            if label.is_empty() { None } else { self.wildcard.get(parent) }
        });
        fitting.unwrap_or(&self.first)
    }
}
