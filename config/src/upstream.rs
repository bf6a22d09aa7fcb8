//! Services with fixed endpoints, and how any service is spoken to.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A service with fixed endpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// Where its instances are; they take requests in turn. An address (`127.0.0.1:8080`), a host name and port
    /// (`shop.internal:8080`: every A and AAAA record is an instance), the name of SRV records
    /// (`srv:_http._tcp.shop.internal`: every address of the targets of the lowest priority is an instance, and
    /// has as many turns as its target's weight says, others' being 1), or a Unix socket (`unix:/run/shop.sock`). An IPv6 address that has an IPv4 one beside it under the
    /// same name is one instance with it. Names are looked up again when their records expire (after 1 s at the
    /// earliest and 5 min at the latest); while that fails the last good answer stays in force.
    pub endpoints: Vec<String>,
    /// What its instances speak.
    #[serde(default, skip_serializing_if = "UpstreamProtocol::is_default")]
    pub protocol: UpstreamProtocol,
    /// TLS towards its instances; plain text when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// Begin each connection with a PROXY header that names the client. Such a connection carries one request and is
    /// not kept for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyVersion>,
}

/// What an instance speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// With TLS what ALPN agrees on (HTTP/2 first), without it HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS by prior knowledge.
    Http2,
}

impl UpstreamProtocol {
    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::Auto
    }
}

/// TLS towards instances. Certificates are always verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTls {
    /// The authorities that may have signed an instance's certificate, PEM; the public ones (webpki-roots) when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name that is asked for (SNI) and that the certificate must have; the endpoint's host name when absent
    /// (of SRV records the name they belong to, not their targets, which anybody on the way could have put there), so
    /// that it must be given where endpoints are bare addresses without certificates for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The gateway's own certificate, PEM, for instances that ask for one. Needs `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The private key of `certificate`, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyVersion {
    /// The line of text.
    V1,
    /// The binary form.
    V2,
}
