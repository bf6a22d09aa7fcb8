//! What the exporter's document lacks, put in on its way out: the exporter names no service on either side, gives
//! roots a parent of zeros, and adds a tag about its own library to every span.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The attributes that name the other side of a call (OpenTelemetry's Zipkin exporter specification, "Remote
/// endpoint"); they become `remoteEndpoint`.
pub(super) const PEER_SERVICE: &str = "peer.service";
pub(super) const PEER_ADDRESS: &str = "network.peer.address";
pub(super) const PEER_PORT: &str = "network.peer.port";

const LIBRARY: &str = "otel.library.name";

/// Completes a document of spans that all belong to `service`.
///
/// # Errors
/// When the document is not what the exporter is known to write.
pub(super) fn complete(document: &[u8], service: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut spans: Vec<WireSpan<'_>> = serde_json::from_slice(document)?;
    for span in &mut spans {
        span.parent_id = span.parent_id.filter(|id| id.bytes().any(|digit| digit != b'0'));
        span.tags.remove(LIBRARY);
        span.remote_endpoint = remote(&mut span.tags);
        span.local_endpoint.service_name = Some(service.to_owned());
    }
    serde_json::to_vec(&spans)
}

/// A span in Zipkin's JSON, version 2.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireSpan<'a> {
    trace_id: &'a str,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    parent_id: Option<&'a str>,
    id: &'a str,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    name: String,
    timestamp: u64,
    duration: u64,
    local_endpoint: WireEndpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_endpoint: Option<WireEndpoint>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireEndpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

fn remote(tags: &mut BTreeMap<String, String>) -> Option<WireEndpoint> {
    let service_name = tags.remove(PEER_SERVICE);
    let address = tags.remove(PEER_ADDRESS);
    let port = tags.remove(PEER_PORT).and_then(|port| port.parse().ok());
    if service_name.is_none() && address.is_none() {
        return None;
    }
    let mut endpoint = WireEndpoint { service_name, port, ..WireEndpoint::default() };
    match address.as_deref().map(str::parse) {
        Some(Ok(IpAddr::V4(_))) => endpoint.ipv4 = address,
        Some(Ok(IpAddr::V6(_))) => endpoint.ipv6 = address,
        _ => {}
    }
    Some(endpoint)
}
