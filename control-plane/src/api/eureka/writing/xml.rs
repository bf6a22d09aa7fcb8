//! Eureka's XML. Keys of metadata are names of elements, escaped as XStream does it.

use std::fmt::Write as _;

use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

use super::{Applications, Extent, Fields, Format, write_fields};
use crate::api::eureka::view::View;

/// An XML document.
pub(in crate::api::eureka) struct Xml {
    writer: Writer<Vec<u8>>,
}

impl Default for Xml {
    fn default() -> Self {
        Self { writer: Writer::new(Vec::new()) }
    }
}

impl Xml {
    /// Writing to memory cannot fail.
    fn event(&mut self, event: Event<'_>) {
        let _ = self.writer.write_event(event);
    }

    fn open(&mut self, name: &str) {
        self.event(Event::Start(BytesStart::new(name)));
    }

    fn open_with(&mut self, name: &str, attribute: (&str, &str)) {
        self.event(Event::Start(BytesStart::new(name).with_attributes([attribute])));
    }

    fn close(&mut self, name: &str) {
        self.event(Event::End(BytesEnd::new(name)));
    }

    fn characters(&mut self, text: &str) {
        self.event(Event::Text(BytesText::new(text)));
    }

    fn pairs<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        for (key, value) in pairs {
            self.text(&element_name(key), value);
        }
    }
}

impl Format for Xml {
    fn applications(&mut self, applications: &Applications<'_>, extent: Extent) {
        self.open("applications");
        self.text("versions__delta", &applications.version);
        self.text("apps__hashcode", &applications.hash);
        for (name, instances) in &applications.applications {
            self.application(name, instances, extent);
        }
        self.close("applications");
    }

    fn application(&mut self, name: &str, instances: &[View<'_>], extent: Extent) {
        self.open("application");
        self.text("name", name);
        for view in instances {
            self.instance(view, extent);
        }
        self.close("application");
    }

    fn instance(&mut self, view: &View<'_>, extent: Extent) {
        self.open("instance");
        write_fields(self, view, extent);
        self.close("instance");
    }

    fn finish(self) -> Vec<u8> {
        self.writer.into_inner()
    }
}

impl Fields for Xml {
    fn text(&mut self, name: &str, value: &str) {
        self.open(name);
        self.characters(value);
        self.close(name);
    }

    fn time(&mut self, name: &str, milliseconds: u64) {
        self.text(name, &milliseconds.to_string());
    }

    fn number(&mut self, name: &str, value: i64) {
        self.text(name, &value.to_string());
    }

    fn port(&mut self, name: &str, (number, enabled): (u16, bool)) {
        self.open_with(name, ("enabled", if enabled { "true" } else { "false" }));
        self.characters(&number.to_string());
        self.close(name);
    }

    fn data_center(&mut self, view: &View<'_>, amazon: &[(&str, &str)]) {
        self.open_with("dataCenterInfo", ("class", view.data_center_class()));
        self.text("name", view.data_center());
        if view.data_center() == "Amazon" {
            self.open("metadata");
            self.pairs(amazon.iter().copied());
            self.close("metadata");
        }
        self.close("dataCenterInfo");
    }

    fn lease(&mut self, numbers: &[(&str, u64)]) {
        self.open("leaseInfo");
        for (name, value) in numbers {
            self.text(name, &value.to_string());
        }
        self.close("leaseInfo");
    }

    fn metadata(&mut self, view: &View<'_>) {
        if view.instance.metadata.is_empty() {
            self.open_with("metadata", ("class", "java.util.Collections$EmptyMap"));
        } else {
            self.open("metadata");
            self.pairs(view.instance.metadata.iter());
        }
        self.close("metadata");
    }
}

/// A key as the name of an element: `_` doubled, `$` as `_-`, what no name may hold as `_.` and its UTF-16 units.
pub(in crate::api::eureka) fn element_name(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for (index, character) in key.chars().enumerate() {
        match character {
            '_' => name.push_str("__"),
            '$' => name.push_str("_-"),
            'a'..='z' | 'A'..='Z' => name.push(character),
            '0'..='9' | '-' | '.' if index > 0 => name.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(name, "_.{unit:04x}");
                }
            }
        }
    }
    name
}

/// The key that a name of an element stands for.
pub(in crate::api::eureka) fn key_of(name: &str) -> String {
    let mut units = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let (unit, length) = match rest.get(..2) {
            Some("__") => (Some('_' as u16), 2),
            Some("_-") => (Some('$' as u16), 2),
            Some("_.") => (rest.get(2..6).and_then(|digits| u16::from_str_radix(digits, 16).ok()), 6),
            _ => (None, 0),
        };
        match unit {
            Some(unit) => {
                units.push(unit);
                rest = &rest[length..];
            }
            None => {
                units.extend_from_slice(first.encode_utf16(&mut [0; 2]));
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn keys_survive_being_names() {
        for (key, name) in [
            ("zone", "zone"),
            ("build_id", "build__id"),
            ("a$b", "a_-b"),
            ("management.port", "management.port"),
            ("1st", "_.0031st"),
            ("a b<c>", "a_.0020b_.003cc_.003e"),
            ("né𝄞", "n_.00e9_.d834_.dd1e"),
        ] {
            assert_eq!(element_name(key), name);
            assert_eq!(key_of(name), key);
        }
        for odd in ["_", "_x", "_.12", "_.zzzz", "a_"] {
            assert_eq!(key_of(odd), odd);
        }
    }
}
