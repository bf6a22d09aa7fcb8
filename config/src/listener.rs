//! Where clients connect: addresses, what is spoken there, certificates, and whose word about a client's address is
//! taken.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One address clients connect to, beside `listen`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// An IP address and port (`0.0.0.0:8443`; port 0 takes any free port), a Unix socket (`unix:/run/shop.sock`), or
    /// a socket that systemd opened (`systemd:web`, by the `FileDescriptorName` of its unit).
    pub address: String,
    /// What clients speak here.
    #[serde(default, skip_serializing_if = "Protocol::is_http")]
    pub protocol: Protocol,
    /// TLS. Without it clients speak plain text: HTTP/1, or HTTP/2 by prior knowledge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// The PROXY protocol (versions 1 and 2), for connections that come through a balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolIn>,
    /// Connections at one time by this listener; only `limits.connections` counts when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
    /// With `protocol: tcp`: where connections go, by the name that a client's TLS greeting asks for. The first that
    /// fits counts; a connection that none fits is closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forward: Vec<TcpForward>,
}

/// What clients speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP, in every version.
    #[default]
    Http,
    /// Anything over TCP: bytes are passed on as they come.
    Tcp,
}

impl Protocol {
    /// Whether it is the default.
    pub fn is_http(&self) -> bool {
        *self == Self::Http
    }
}

/// Where connections that are not HTTP go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpForward {
    /// Names of TLS greetings (SNI), exact or with one leading wildcard label (`*.db.example`). When empty every
    /// connection fits, also one without TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sni: Vec<String>,
    /// The service whose instances are connected to.
    pub service: String,
}

/// TLS towards clients. Files are watched: changed ones take effect at once; while they have faults, what was in
/// force stays and the fault is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificates. A client gets the one whose names fit what it asks for (an exact name before a wildcard), and
    /// the first when none fits or it asks for nothing.
    pub certificates: Vec<CertificateConfig>,
    /// The lowest version that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Certificates of clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
    /// What is offered by ALPN, in order of preference.
    #[serde(default = "default_alpn")]
    pub alpn: Vec<Alpn>,
}

fn default_alpn() -> Vec<Alpn> {
    vec![Alpn::H2, Alpn::Http11]
}

/// One certificate and its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// The chain, PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// A DER file with an OCSP response that is stapled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<PathBuf>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}

/// A protocol named by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Alpn {
    /// HTTP/2.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http11,
}

/// Certificates of clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuth {
    /// The authorities that are accepted, PEM.
    pub ca: PathBuf,
    /// Whether a client without a certificate is served.
    #[serde(default)]
    pub mode: ClientAuthMode,
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMode {
    /// No connection without one.
    #[default]
    Required,
    /// A client may have none; one that it shows must be valid.
    Optional,
}

/// The PROXY protocol from a balancer in front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocolIn {
    /// Addresses and networks (`10.0.0.0/8`, `::1`) of balancers. From these every connection must begin with a PROXY
    /// header; from anybody else such a header is refused like any nonsense. On a Unix socket, whose
    /// peers have no address, it is required of all.
    pub from: Vec<String>,
}
