//! Eureka's JSON: root wrappers, lists that are always lists, numbers and booleans that are text where clients
//! expect text.

use serde::Serialize;

use super::{Applications, Extent, Fields, Format, write_fields};
use crate::api::eureka::view::View;

/// A JSON document.
#[derive(Debug, Default)]
pub(in crate::api::eureka) struct Json {
    text: Vec<u8>,
}

impl Json {
    fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Writing to memory cannot fail.
    fn value(&mut self, value: impl Serialize) {
        let _ = serde_json::to_writer(&mut self.text, &value);
    }

    fn name(&mut self, name: &str) {
        if !matches!(self.text.last(), Some(b'{' | b'[') | None) {
            self.raw(",");
        }
        self.value(name);
        self.raw(":");
    }

    fn body(&mut self, name: &str, instances: &[View<'_>], extent: Extent) {
        self.raw("{");
        self.text("name", name);
        self.raw(",\"instance\":[");
        for (index, view) in instances.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            self.fields(view, extent);
        }
        self.raw("]}");
    }

    fn fields(&mut self, view: &View<'_>, extent: Extent) {
        self.raw("{");
        write_fields(self, view, extent);
        self.raw("}");
    }

    fn pairs<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        self.raw("{");
        for (key, value) in pairs {
            self.text(key, value);
        }
        self.raw("}");
    }
}

impl Format for Json {
    fn applications(&mut self, applications: &Applications<'_>, extent: Extent) {
        self.raw("{\"applications\":{");
        self.text("versions__delta", &applications.version);
        self.text("apps__hashcode", &applications.hash);
        self.raw(",\"application\":[");
        for (index, (name, instances)) in applications.applications.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            self.body(name, instances, extent);
        }
        self.raw("]}}");
    }

    fn application(&mut self, name: &str, instances: &[View<'_>], extent: Extent) {
        self.raw("{\"application\":");
        self.body(name, instances, extent);
        self.raw("}");
    }

    fn instance(&mut self, view: &View<'_>, extent: Extent) {
        self.raw("{\"instance\":");
        self.fields(view, extent);
        self.raw("}");
    }

    fn finish(self) -> Vec<u8> {
        self.text
    }
}

impl Fields for Json {
    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.value(value);
    }

    fn time(&mut self, name: &str, milliseconds: u64) {
        self.text(name, &milliseconds.to_string());
    }

    fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        self.value(value);
    }

    fn port(&mut self, name: &str, (number, enabled): (u16, bool)) {
        self.name(name);
        self.raw("{");
        self.number("$", number.into());
        self.text("@enabled", if enabled { "true" } else { "false" });
        self.raw("}");
    }

    fn data_center(&mut self, view: &View<'_>, amazon: &[(&str, &str)]) {
        self.name("dataCenterInfo");
        self.raw("{");
        self.text("@class", view.data_center_class());
        self.text("name", view.data_center());
        if view.data_center() == "Amazon" {
            self.name("metadata");
            self.pairs(amazon.iter().copied());
        }
        self.raw("}");
    }

    fn lease(&mut self, numbers: &[(&str, u64)]) {
        self.name("leaseInfo");
        self.raw("{");
        for (name, value) in numbers {
            self.name(name);
            self.value(value);
        }
        self.raw("}");
    }

    fn metadata(&mut self, view: &View<'_>) {
        self.name("metadata");
        if view.instance.metadata.is_empty() {
            self.raw("{\"@class\":\"java.util.Collections$EmptyMap\"}");
        } else {
            self.pairs(view.instance.metadata.iter());
        }
    }
}
