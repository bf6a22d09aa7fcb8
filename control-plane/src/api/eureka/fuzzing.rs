//! What must hold for any body of a registration: what is taken can be written in either format, and read again it is
//! the same.
#![allow(clippy::expect_used)]

use serde_json::Value;

use super::answer::Form;
use super::registration;
use super::view::View;
use super::writing::Extent;
use super::xml_body;
use crate::registry::Registered;

const APPLICATION: &str = "ORDERS";

/// A body in JSON.
pub fn eureka_json(bytes: &[u8]) {
    if let Ok(document) = serde_json::from_slice(bytes) {
        registered(&document);
    }
}

/// A body in XML.
pub fn eureka_xml(bytes: &[u8]) {
    if let Ok(document) =
        std::str::from_utf8(bytes).map_err(drop).and_then(|text| xml_body::read(text).map_err(drop))
    {
        registered(&document);
    }
}

fn registered(document: &Value) {
    let Ok(first) = registration::read(document, APPLICATION) else { return };
    for json in [true, false] {
        let form = Form { json, extent: Extent::Full, gzip: false };
        let written = form.body(View::gone(&first));
        let text = std::str::from_utf8(&written).expect("what is written is UTF-8");
        let again = match json {
            true => serde_json::from_str(text).expect("what is written is JSON"),
            false => xml_body::read(text).expect("what is written is XML"),
        };
        let second = registration::read(&again, APPLICATION).expect("what was taken is taken again");
        assert_eq!(essence(&first), essence(&second), "as JSON: {json}: {text}");
    }
}

/// What others go by.
fn essence(instance: &Registered) -> impl PartialEq + std::fmt::Debug {
    let metadata = instance.metadata.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut metadata: Vec<(String, String)> = metadata.collect();
    metadata.sort();
    let address = instance.address.get();
    (instance.service.clone(), instance.id.clone(), address, instance.status, instance.lease_ms, metadata)
}
