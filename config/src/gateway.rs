//! The gateway's own file: where it listens, whom it trusts, what it keeps, and (without a control plane) its routes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::list;
use crate::{
    ByteSize, ControlPlaneLink, DnsConfig, Limits, ListenerConfig, Period, RouteConfig, RouteTest,
    ServiceConfig,
};

/// `kind: gateway`: a gateway process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// The address clients connect to in plain text: an IP address and port (port 0 takes any free port). Say `off`
    /// when there are only `listeners`.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// Further addresses clients connect to, with TLS and what else a listener can have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerConfig>,
    /// Addresses and networks (`10.0.0.0/8`, `::1`) of proxies in front whose `Forwarded`, `X-Forwarded-*` and
    /// `X-Request-Id` are believed. From anybody else these fields are replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// What is done with paths that hold two slashes in a row.
    #[serde(default, skip_serializing_if = "DuplicateSlashes::is_default")]
    pub duplicate_slashes: DuplicateSlashes,
    /// What is done with paths that hold a `;`, behind which some servers see parameters that are no part of the path.
    #[serde(default, skip_serializing_if = "PathParameters::is_default")]
    pub path_parameters: PathParameters,
    /// The address of `/metrics`, `/livez`, `/readyz` and `/v1/explain`. Keep it on loopback or a private network.
    #[serde(default = "default_admin")]
    pub admin: String,
    /// Threads that carry traffic, each on its own event loop; one per core when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// Where routes and instances come from, besides this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<ControlPlaneLink>,
    /// The folder for what must survive a restart (the last snapshot). Nothing is kept when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// The Unix socket by which a successor (`portreeve gateway --takeover`) gets the listening sockets of this
    /// process; `handover.sock` in `state_dir` when absent. Without both there is no takeover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<PathBuf>,
    /// Whose tokens are accepted. Routes want a token by default as soon as this section is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// Traces.
    #[serde(default)]
    pub tracing: TracingConfig,
    /// The access log: one JSON object a request.
    #[serde(default)]
    pub access_log: AccessLog,
    /// The response cache that all routes share.
    #[serde(default)]
    pub cache: CacheConfig,
    /// Limits on what a client may send or hold.
    #[serde(default)]
    pub limits: Limits,
    /// Who is asked about the names of instances.
    #[serde(default, skip_serializing_if = "DnsConfig::is_default")]
    pub dns: DnsConfig,
    /// Services with fixed endpoints, by name. Others are found through the control plane.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, ServiceConfig>,
    /// Routes of this file. Names must not clash with those of the control plane.
    #[serde(default, deserialize_with = "list::read", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteConfig>,
    /// Requests, and what is expected to become of them. `portreeve check` tries them; a gateway does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<RouteTest>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: default_listen(),
            listeners: Vec::new(),
            trusted_proxies: Vec::new(),
            duplicate_slashes: DuplicateSlashes::default(),
            path_parameters: PathParameters::default(),
            admin: default_admin(),
            workers: None,
            control_plane: None,
            state_dir: None,
            handover: None,
            auth: None,
            tracing: TracingConfig::default(),
            access_log: AccessLog::default(),
            cache: CacheConfig::default(),
            limits: Limits::default(),
            dns: DnsConfig::default(),
            services: BTreeMap::new(),
            routes: Vec::new(),
            tests: Vec::new(),
        }
    }
}

fn default_listen() -> String {
    "127.0.0.1:19091".to_owned()
}

fn default_admin() -> String {
    "127.0.0.1:19092".to_owned()
}

/// What is done with paths that hold two slashes in a row (`//admin`), which some servers read as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateSlashes {
    /// They are refused with 400.
    #[default]
    Refuse,
    /// They are read, routed and passed on as one.
    Merge,
}

impl DuplicateSlashes {
    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::Refuse
    }
}

/// What is done with paths that hold a `;` (`/admin;x`), which servers of Java read as the path before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathParameters {
    /// They are refused with 400.
    #[default]
    Refuse,
    /// They are routed and passed on as they are: `/admin;x` is another path than `/admin`. Only where no service takes
    /// parameters off, or no route is more open than another.
    Keep,
}

impl PathParameters {
    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::Refuse
    }
}

/// Whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// The identity providers; a token's `iss` says which of them answers for it.
    pub providers: Vec<AuthProvider>,
    /// The `realm` in `WWW-Authenticate`.
    #[serde(default = "default_realm")]
    pub realm: String,
}

fn default_realm() -> String {
    "portreeve".to_owned()
}

/// One issuer of tokens, its keys, and what its tokens must say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthProvider {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// The `aud` values that are accepted; a token needs one of them. At least one.
    pub audiences: Vec<String>,
    /// Where its keys are found: the JWKS itself. `http://`, `https://`, or `lb://service/path` for a service
    /// the gateway knows. When absent, OpenID discovery says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The OpenID discovery document; `<issuer>/.well-known/openid-configuration` when absent. With `lb://` the
    /// path of its `jwks_uri` is fetched from the same service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery_url: Option<String>,
    /// Signature algorithms that are accepted. Only asymmetric ones can be listed.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<String>,
    /// How far the clocks may differ.
    #[serde(default = "default_leeway")]
    pub leeway: Period,
    /// How long fetched keys are used before they are fetched again; they stay in use while that fails.
    #[serde(default = "default_refresh")]
    pub refresh: Period,
    /// Claims the service gets as header fields: `{sub: X-User-Id}`. A client can never send these fields itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims_to_headers: BTreeMap<String, String>,
}

fn default_algorithms() -> Vec<String> {
    ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec()
}

fn default_leeway() -> Period {
    Period::from_secs(5)
}

fn default_refresh() -> Period {
    Period::from_secs(600)
}

/// What is traced and where spans go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TracingConfig {
    /// The name of this process in traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// The share of new traces that is recorded, 0.0 to 1.0. A caller's decision always stands.
    pub sample: f64,
    /// The header form for traces that begin here; a caller's own form is kept.
    pub propagation: Propagation,
    /// Where spans are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zipkin: Option<ZipkinConfig>,
}

impl Default for TracingConfig {
    fn default() -> Self {
        Self { service_name: None, sample: 1.0, propagation: Propagation::W3c, zipkin: None }
    }
}

/// A form of trace context headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// `traceparent` and `tracestate` (W3C Trace Context).
    W3c,
    /// The single `b3` header.
    B3,
    /// The `X-B3-*` headers.
    B3Multi,
}

/// A Zipkin collector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZipkinConfig {
    /// The full URL spans are posted to: `http://127.0.0.1:9411/api/v2/spans`.
    /// With none, spans go to the control plane's embedded store.
    pub endpoint: String,
}

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard output.
    #[default]
    Stdout,
    /// A file that is appended to.
    File(PathBuf),
}

/// The response cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Memory for kept answers; the least used go first. Those that are still coming in have as much again; what finds
    /// no room there is passed on and not kept.
    pub max_size: ByteSize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_size: ByteSize::mib(64) }
    }
}
