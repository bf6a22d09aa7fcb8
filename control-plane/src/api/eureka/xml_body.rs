//! A registration in XML, read into the shape of its JSON, so that one set of rules judges both. Nothing is
//! expanded: document types are refused, and of entities only XML's own five and characters by number are known.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use serde_json::{Map, Value};

use super::writing::key_of;

/// Elements in each other; an instance needs five.
const DEEPEST: usize = 16;

/// Why a body in XML cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum XmlFault {
    #[error("the body is not XML: {0}")]
    Malformed(String),
    #[error("the body has a document type, which is not read")]
    DocumentType,
    #[error("the body uses an entity that it cannot define")]
    Entity,
    #[error("the elements of the body are nested too deep")]
    TooDeep,
    #[error("the root element of the body is not `instance`")]
    Root,
}

/// An element that is being read.
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Map<String, Value>,
}

/// The instance in `body`, as its JSON would say it: `{"instance": …}`.
pub(super) fn read(body: &str) -> Result<Value, XmlFault> {
    let mut reader = Reader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().map_err(|fault| malformed(&fault))? {
            Event::Start(_) if root.is_some() => return Err(XmlFault::Malformed("it has two roots".into())),
            Event::Start(_) if open.len() >= DEEPEST => return Err(XmlFault::TooDeep),
            Event::Start(start) => open.push(element(&start)?),
            Event::End(_) => {
                let Some(done) = open.pop() else { continue };
                match open.last_mut() {
                    Some(parent) => parent.take(done),
                    None => root = Some(done),
                }
            }
            Event::Text(text) => add(&mut open, &text.xml10_content()),
            Event::CData(text) => add(&mut open, &text.xml10_content()),
            Event::GeneralRef(entity) => add(&mut open, &resolve(&entity)?),
            Event::DocType(_) => return Err(XmlFault::DocumentType),
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    match root {
        Some(root) if open.is_empty() && root.name == "instance" => {
            Ok(Value::Object(Map::from_iter([("instance".to_owned(), Value::Object(root.children))])))
        }
        _ => Err(XmlFault::Root),
    }
}

fn malformed(fault: &impl std::fmt::Display) -> XmlFault {
    XmlFault::Malformed(fault.to_string())
}

fn element(start: &BytesStart<'_>) -> Result<Element, XmlFault> {
    let name = start.name().as_ref().to_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|fault| malformed(&fault))?;
        attributes.push((attribute.key.as_ref().to_owned(), attribute.value.into_owned()));
    }
    Ok(Element { name, attributes, text: String::new(), children: Map::new() })
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn resolve(entity: &BytesRef<'_>) -> Result<String, XmlFault> {
    if let Some(character) = entity.resolve_char_ref().map_err(|fault| malformed(&fault))? {
        return Ok(character.to_string());
    }
    resolve_xml_entity(entity).map(str::to_owned).ok_or(XmlFault::Entity)
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A child that is complete.
    fn take(&mut self, child: Element) {
        let in_metadata = self.name == "metadata";
        let name = if in_metadata { key_of(&child.name) } else { child.name.clone() };
        let value = if in_metadata { Value::String(child.text) } else { child.into_value() };
        self.children.insert(name, value);
    }

    fn into_value(self) -> Value {
        if self.name == "port" || self.name == "securePort" {
            let enabled = self.attribute("enabled").unwrap_or("true").to_owned();
            return serde_json::json!({"$": self.text.trim(), "@enabled": enabled});
        }
        if self.children.is_empty() && self.name != "metadata" && self.name != "dataCenterInfo" {
            return Value::String(self.text.trim().to_owned());
        }
        Value::Object(self.children)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    #[test]
    fn an_instance_becomes_what_its_json_would_say() {
        let body = "<?xml version=\"1.0\"?><instance><instanceId>a&amp;b&#x41;</instanceId><port enabled=\"true\">80</port>\
            <dataCenterInfo class=\"x\"><name>MyOwn</name></dataCenterInfo><leaseInfo><durationInSecs>90</durationInSecs></leaseInfo>\
            <metadata class=\"java.util.Collections$EmptyMap\"/><homePageUrl/></instance>";
        let expected = json!({"instance": {
            "instanceId": "a&bA", "port": {"$": "80", "@enabled": "true"}, "dataCenterInfo": {"name": "MyOwn"},
            "leaseInfo": {"durationInSecs": "90"}, "metadata": {}, "homePageUrl": ""
        }});
        assert_eq!(read(body).unwrap(), expected);
        let metadata =
            "<instance><metadata><build__id> 4 </build__id><x><![CDATA[<]]></x></metadata></instance>";
        assert_eq!(read(metadata).unwrap()["instance"]["metadata"], json!({"build_id": " 4 ", "x": "<"}));
    }

    #[test]
    fn what_is_no_plain_document_is_refused() {
        let bomb =
            "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><instance><app>&c;</app></instance>";
        assert!(matches!(read(bomb), Err(XmlFault::DocumentType)));
        assert!(matches!(read("<instance><app>&c;</app></instance>"), Err(XmlFault::Entity)));
        assert!(matches!(read(&"<instance>".repeat(100_000)), Err(XmlFault::TooDeep)));
        for body in ["", "   ", "<applications/>", "<instance>", "no markup"] {
            assert!(matches!(read(body), Err(XmlFault::Root | XmlFault::Malformed(_))), "{body}");
        }
        for body in [
            "<instance></app>",
            "<instance a=\"1\" a=\"2\"/>",
            "<instance/><instance/>",
            "<a",
            "<instance>&#0;</instance>",
        ] {
            assert!(matches!(read(body), Err(XmlFault::Malformed(_))), "{body}");
        }
    }
}
