//! Spans from Zipkin's protobuf form (`zipkin.proto3.ListOfSpans`), by the same rules as from JSON.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use prost::Message;

use super::span::{self, Annotation, Endpoint, Kind, Span, SpanFault};

#[derive(Clone, PartialEq, Message)]
struct WireList {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<WireSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct WireSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    parent_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    id: Vec<u8>,
    #[prost(int32, tag = "4")]
    kind: i32,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(fixed64, tag = "6")]
    timestamp: u64,
    #[prost(uint64, tag = "7")]
    duration: u64,
    #[prost(message, optional, tag = "8")]
    local_endpoint: Option<WireEndpoint>,
    #[prost(message, optional, tag = "9")]
    remote_endpoint: Option<WireEndpoint>,
    #[prost(message, repeated, tag = "10")]
    annotations: Vec<WireAnnotation>,
    #[prost(map = "string, string", tag = "11")]
    tags: HashMap<String, String>,
    #[prost(bool, tag = "12")]
    debug: bool,
    #[prost(bool, tag = "13")]
    shared: bool,
}

#[derive(Clone, PartialEq, Message)]
struct WireEndpoint {
    #[prost(string, tag = "1")]
    service_name: String,
    #[prost(bytes = "vec", tag = "2")]
    ipv4: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    ipv6: Vec<u8>,
    #[prost(int32, tag = "4")]
    port: i32,
}

#[derive(Clone, PartialEq, Message)]
struct WireAnnotation {
    #[prost(fixed64, tag = "1")]
    timestamp: u64,
    #[prost(string, tag = "2")]
    value: String,
}

/// Reads a list of spans.
pub(super) fn decode(body: &[u8]) -> Result<Vec<Span>, SpanFault> {
    let list = WireList::decode(body).map_err(|_| SpanFault::Malformed)?;
    list.spans.into_iter().map(span).collect()
}

fn span(wire: WireSpan) -> Result<Span, SpanFault> {
    let parent_id = match wire.parent_id.as_slice() {
        [] => None,
        bytes => span::parent_id(&hex(bytes))?,
    };
    let annotation =
        |wire: WireAnnotation| Annotation { timestamp: positive(wire.timestamp), value: wire.value };
    let span = Span {
        trace_id: span::trace_id(&hex(&wire.trace_id))?,
        parent_id,
        id: span::span_id(&hex(&wire.id))?,
        kind: kind(wire.kind),
        name: span::name(&wire.name),
        timestamp: Some(positive(wire.timestamp)).filter(|time| *time > 0),
        duration: Some(positive(wire.duration)).filter(|length| *length > 0),
        local_endpoint: wire.local_endpoint.map(endpoint).transpose()?,
        remote_endpoint: wire.remote_endpoint.map(endpoint).transpose()?,
        annotations: wire.annotations.into_iter().map(annotation).collect(),
        tags: wire.tags.into_iter().collect(),
        debug: wire.debug,
        shared: wire.shared,
    };
    Ok(span.finish())
}

fn endpoint(wire: WireEndpoint) -> Result<Endpoint, SpanFault> {
    let mut endpoint = Endpoint { service_name: span::name(&wire.service_name), ..Endpoint::default() };
    if let Ok(octets) = <[u8; 4]>::try_from(wire.ipv4.as_slice()) {
        endpoint.ipv4 = Some(Ipv4Addr::from(octets));
    }
    if let Ok(octets) = <[u8; 16]>::try_from(wire.ipv6.as_slice()) {
        endpoint.put_address(&IpAddr::V6(Ipv6Addr::from(octets)).to_string());
    }
    endpoint.put_port(i64::from(wire.port))?;
    Ok(endpoint)
}

/// A kind that a later version adds is kept as unknown.
fn kind(number: i32) -> Option<Kind> {
    match number {
        1 => Some(Kind::Client),
        2 => Some(Kind::Server),
        3 => Some(Kind::Producer),
        4 => Some(Kind::Consumer),
        _ => None,
    }
}

fn positive(number: u64) -> i64 {
    i64::try_from(number).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn wire() -> WireSpan {
        WireSpan { trace_id: vec![1; 16], id: vec![0, 0, 0, 0, 0, 0, 0, 0xab], ..WireSpan::default() }
    }

    fn read(span: WireSpan) -> Result<Span, SpanFault> {
        Ok(decode(&WireList { spans: vec![span] }.encode_to_vec())?.remove(0))
    }

    #[test]
    fn a_span_follows_the_same_rules_as_in_json() {
        let local =
            WireEndpoint { service_name: "Cart".into(), ipv4: vec![10, 0, 0, 1], ..Default::default() };
        let span = WireSpan {
            name: "GET".into(),
            kind: 1,
            shared: true,
            timestamp: 5,
            tags: HashMap::from([("a".into(), String::new())]),
            local_endpoint: Some(local),
            remote_endpoint: Some(WireEndpoint::default()),
            ..wire()
        };
        let span = read(span).unwrap();
        assert_eq!((span.id.as_str(), span.name.as_deref()), ("00000000000000ab", Some("get")));
        assert_eq!((span.kind, span.shared, span.timestamp), (Some(Kind::Client), false, Some(5)));
        assert_eq!(span.local_service(), Some("cart"));
        assert_eq!((span.remote_endpoint, span.tags["a"].as_str()), (None, ""));
    }

    #[test]
    fn faulty_bytes_and_ids_are_refused() {
        assert_eq!(read(WireSpan { id: vec![0; 8], ..wire() }), Err(SpanFault::Zeros("id")));
        assert_eq!(read(WireSpan { trace_id: vec![], ..wire() }), Err(SpanFault::Empty("traceId")));
        assert_eq!(
            read(WireSpan { trace_id: vec![1; 17], ..wire() }),
            Err(SpanFault::TooLong("traceId", 32))
        );
        assert_eq!(decode(&[0x0a, 0xff]), Err(SpanFault::Malformed));
    }
}
