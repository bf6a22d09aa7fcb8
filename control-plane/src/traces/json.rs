//! Spans from Zipkin's JSON v2. One faulty span refuses the whole message.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::span::{self, Annotation, Endpoint, Kind, Span, SpanFault};

/// Reads a list of spans.
pub(super) fn decode(body: &[u8]) -> Result<Vec<Span>, SpanFault> {
    let mut list = List { spans: Vec::new(), fault: None };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = reader.deserialize_seq(&mut list).and_then(|()| reader.end());
    match (list.fault, read) {
        (Some(fault), _) => Err(fault),
        (None, Err(_)) => Err(SpanFault::Malformed),
        (None, Ok(())) => Ok(list.spans),
    }
}

/// Takes one element at a time, so that a large message is never in memory as one tree.
struct List {
    spans: Vec<Span>,
    fault: Option<SpanFault>,
}

impl<'de> Visitor<'de> for &mut List {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of spans")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            match span(element) {
                Ok(span) => self.spans.push(span),
                Err(fault) => {
                    let text = fault.to_string();
                    self.fault = Some(fault);
                    return Err(A::Error::custom(text));
                }
            }
        }
        Ok(())
    }
}

fn span(element: Value) -> Result<Span, SpanFault> {
    let mut span = Span::default();
    for (key, value) in object(element)? {
        match key.as_str() {
            "traceId" => span.trace_id = span::trace_id(string(&value)?)?,
            "id" => span.id = span::span_id(string(&value)?)?,
            _ if value.is_null() => {}
            "parentId" => span.parent_id = span::parent_id(string(&value)?)?,
            "kind" => span.kind = Some(Kind::parse(string(&value)?)?),
            "name" => span.name = span::name(string(&value)?),
            "timestamp" => span.timestamp = Some(number(&value)?).filter(|time| *time > 0),
            "duration" => span.duration = Some(number(&value)?).filter(|length| *length > 0),
            "localEndpoint" => span.local_endpoint = Some(endpoint(value)?),
            "remoteEndpoint" => span.remote_endpoint = Some(endpoint(value)?),
            "annotations" => span.annotations = annotations(value)?,
            "tags" => span.tags = tags(value)?,
            "debug" => span.debug = flag(&value)?,
            "shared" => span.shared = flag(&value)?,
            _ => {}
        }
    }
    match (span.trace_id.is_empty(), span.id.is_empty()) {
        (false, false) => Ok(span.finish()),
        (true, false) => Err(SpanFault::Missing(" traceId")),
        (false, true) => Err(SpanFault::Missing(" id")),
        (true, true) => Err(SpanFault::Missing(" traceId id")),
    }
}

fn endpoint(value: Value) -> Result<Endpoint, SpanFault> {
    let mut endpoint = Endpoint::default();
    for (key, value) in object(value)? {
        match key.as_str() {
            _ if value.is_null() => {}
            "serviceName" => endpoint.service_name = span::name(string(&value)?),
            "ipv4" | "ipv6" => endpoint.put_address(string(&value)?),
            "port" => endpoint.put_port(number(&value)?)?,
            _ => {}
        }
    }
    Ok(endpoint)
}

fn annotations(value: Value) -> Result<Vec<Annotation>, SpanFault> {
    let Value::Array(list) = value else { return Err(SpanFault::Type("an array", kind_of(&value))) };
    let annotation = |element: Value| {
        let (mut timestamp, mut text) = (None, None);
        for (key, value) in object(element)? {
            match key.as_str() {
                "timestamp" if !value.is_null() => timestamp = Some(number(&value)?),
                "value" if !value.is_null() => text = Some(string(&value)?.to_owned()),
                _ => {}
            }
        }
        match (timestamp, text) {
            (Some(timestamp), Some(value)) => Ok(Annotation { timestamp, value }),
            _ => Err(SpanFault::Annotation),
        }
    };
    list.into_iter().map(annotation).collect()
}

fn tags(value: Value) -> Result<BTreeMap<String, String>, SpanFault> {
    let tag = |(key, value): (String, Value)| match value {
        Value::Number(number) => Ok((key, number.to_string())),
        Value::String(text) => Ok((key, text)),
        other => Err(SpanFault::Type("a string", kind_of(&other))),
    };
    object(value)?.into_iter().map(tag).collect()
}

fn object(value: Value) -> Result<Map<String, Value>, SpanFault> {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(SpanFault::Type("an object", kind_of(&other))),
    }
}

fn string(value: &Value) -> Result<&str, SpanFault> {
    value.as_str().ok_or(SpanFault::Type("a string", kind_of(value)))
}

fn number(value: &Value) -> Result<i64, SpanFault> {
    match value {
        Value::Number(number) => number.as_i64().ok_or(SpanFault::Malformed),
        Value::String(text) => text.parse().map_err(|_| SpanFault::Malformed),
        other => Err(SpanFault::Type("a number", kind_of(other))),
    }
}

fn flag(value: &Value) -> Result<bool, SpanFault> {
    value.as_bool().ok_or(SpanFault::Type("a boolean", kind_of(value)))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Bool(_) => "BOOLEAN",
        Value::Number(_) => "NUMBER",
        Value::String(_) => "STRING",
        Value::Array(_) => "BEGIN_ARRAY",
        Value::Object(_) => "BEGIN_OBJECT",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    /// What is kept of `fields` on top of the two ids.
    fn kept(mut fields: Value) -> Result<Value, String> {
        for (key, value) in [("traceId", "a"), ("id", "b")] {
            if fields.get(key).is_none() {
                fields[key] = json!(value);
            }
        }
        let spans = decode(json!([fields]).to_string().as_bytes()).map_err(|fault| fault.to_string())?;
        Ok(serde_json::to_value(&spans[0]).unwrap())
    }

    #[test]
    fn ids_take_their_one_form() {
        let long = "463ac35c9f6413ad48485a3953bb6124";
        for (written, expected) in [
            ("a", "000000000000000a"),
            ("48485a3953bb6124", "48485a3953bb6124"),
            ("148485a3953bb6124", "000000000000000148485a3953bb6124"),
            (long, long),
            ("000000000000000048485a3953bb6124", "48485a3953bb6124"),
        ] {
            assert_eq!(kept(json!({"traceId": written})).unwrap()["traceId"], expected);
        }
        assert_eq!(kept(json!({"id": "00ab"})).unwrap()["id"], "00000000000000ab");
        assert_eq!(kept(json!({"parentId": "c"})).unwrap()["parentId"], "000000000000000c");
        assert_eq!(kept(json!({"parentId": "0"})).unwrap().get("parentId"), None);
        assert_eq!(kept(json!({"parentId": "0b"})).unwrap().get("parentId"), None, "its own parent");
    }

    #[test]
    fn bad_fields_are_refused_in_zipkins_words() {
        for (fields, expected) in [
            (json!({"traceId": "ABC"}), "ABC should be lower-hex encoded with no prefix"),
            (json!({"traceId": "0x1"}), "0x1 should be lower-hex encoded with no prefix"),
            (json!({"traceId": ""}), "traceId is empty"),
            (json!({"traceId": "0000"}), "traceId is all zeros"),
            (json!({"traceId": null}), "Expected a string but was NULL"),
            (json!({"traceId": "1".repeat(33)}), "traceId.length > 32"),
            (json!({"id": "1".repeat(17)}), "id.length > 16"),
            (json!({"id": "0"}), "id is all zeros"),
            (json!({"parentId": ""}), "parentId is empty"),
            (json!({"kind": "client"}), "No enum constant zipkin2.Span.Kind.client"),
            (json!({"tags": {"a": true}}), "Expected a string but was BOOLEAN"),
            (json!({"tags": {"a": null}}), "Expected a string but was NULL"),
            (json!({"annotations": [{"timestamp": 1}]}), "Incomplete annotation"),
            (json!({"localEndpoint": {"port": 65_536}}), "invalid port 65536"),
            (json!({"timestamp": "soon"}), "Malformed"),
        ] {
            assert_eq!(kept(fields.clone()).unwrap_err(), expected, "{fields}");
        }
        let missing = |text: &str| decode(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(missing("[{\"traceId\":\"a\"}]"), "Missing : id");
        assert_eq!(missing("[{}]"), "Missing : traceId id");
        assert_eq!(missing("[{\"traceId\":\"a\""), "Malformed");
        assert_eq!(missing("[] x"), "Malformed");
    }

    #[test]
    fn everything_else_is_normalised() {
        let span = kept(json!({
            "name": "GET /Cart", "kind": "SERVER", "timestamp": "1751000000000000", "duration": 0, "shared": true,
            "debug": false, "unknown": {"deep": [1]}, "parentId": null,
            "localEndpoint": {"serviceName": "Gateway", "ipv4": "::ffff:10.1.0.2", "port": 0, "other": 1},
            "remoteEndpoint": {"ipv4": "2001:DB8:0:0:0:0:0:C001", "ipv6": "not an address"},
            "annotations": [{"timestamp": 5, "value": "b"}, {"timestamp": 5, "value": "a"}, {"timestamp": 5, "value": "b"}],
            "tags": {"z": 5, "a": ""},
        }));
        let expected = "{\"traceId\":\"000000000000000a\",\"id\":\"000000000000000b\",\"kind\":\"SERVER\",\
            \"name\":\"get /cart\",\"timestamp\":1751000000000000,\"localEndpoint\":{\"serviceName\":\"gateway\",\
            \"ipv4\":\"10.1.0.2\"},\"remoteEndpoint\":{\"ipv6\":\"2001:db8::c001\"},\"annotations\":[{\"timestamp\":5,\
            \"value\":\"a\"},{\"timestamp\":5,\"value\":\"b\"}],\"tags\":{\"a\":\"\",\"z\":\"5\"},\"shared\":true}";
        assert_eq!(span.unwrap().to_string(), expected);
        assert_eq!(kept(json!({"kind": "CLIENT", "shared": true})).unwrap().get("shared"), None);
        assert_eq!(kept(json!({"localEndpoint": {}, "name": ""})).unwrap().as_object().unwrap().len(), 2);
        assert_eq!(kept(json!({"name": "ÄÖ"})).unwrap()["name"], "äö");
    }
}
