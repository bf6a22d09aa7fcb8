//! A route as it is written: which requests it takes, what happens to them, and where they go.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{ByteSize, Period};

/// One route: requests that fit `match` go to `service`.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The route's name: unique, 1 to 128 characters of `a-z A-Z 0-9 - _ .`. Metrics, logs and the API use it.
    pub name: String,
    /// Which requests this route takes.
    #[serde(rename = "match")]
    pub matches: RouteMatch,
    /// The service that answers.
    pub service: String,
    /// How the path changes on its way to the service; unchanged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Changes to the request's header fields before it goes to the service.
    #[serde(default, skip_serializing_if = "HeaderOps::is_empty")]
    pub request_headers: HeaderOps,
    /// Changes to the answer's header fields before it goes to the client.
    #[serde(default, skip_serializing_if = "HeaderOps::is_empty")]
    pub response_headers: HeaderOps,
    /// Whether a valid token is needed; by default it is, wherever the gateway has an `auth` section.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthRule>,
    /// Keep answers to GET in the gateway's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<RouteCache>,
    /// Cache tags that a request through this route makes stale, such as `order:{id}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalidates: Vec<String>,
    /// Which of the service's instances takes a request.
    #[serde(default, skip_serializing_if = "Balance::is_round_robin")]
    pub balance: Balance,
    /// How long the service may take until its answer's head is there, all attempts together.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// When and how often a failed attempt is repeated on another instance.
    #[serde(default)]
    pub retry: RetryConfig,
    /// The largest request body this route takes.
    #[serde(default = "default_max_body")]
    pub max_body: ByteSize,
    /// Protocols that a request may switch to (`Upgrade`, or extended CONNECT in HTTP/2): `[websocket]`. A wish for
    /// another is not passed on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upgrade: Vec<String>,
    /// Whether gRPC-Web of browsers is translated into gRPC for the service.
    #[serde(default, skip_serializing_if = "is_false")]
    pub grpc_web: bool,
    /// Among routes that fit equally well, the higher number wins.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
}

impl RouteConfig {
    /// A route that sends everything under `path` to `service` and leaves the rest at its defaults.
    pub fn new(name: impl Into<String>, path: impl Into<String>, service: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            matches: RouteMatch {
                host: None,
                path: path.into(),
                methods: Vec::new(),
                headers: BTreeMap::new(),
                query: BTreeMap::new(),
            },
            service: service.into(),
            rewrite: None,
            request_headers: HeaderOps::default(),
            response_headers: HeaderOps::default(),
            auth: None,
            cache: None,
            invalidates: Vec::new(),
            balance: Balance::default(),
            timeout: default_timeout(),
            retry: RetryConfig::default(),
            max_body: default_max_body(),
            upgrade: Vec::new(),
            grpc_web: false,
            priority: 0,
        }
    }
}

/// Of a route, and of a sidecar's calls of other services.
pub(crate) fn default_timeout() -> Period {
    Period::from_secs(15)
}

fn default_max_body() -> ByteSize {
    ByteSize::mib(10)
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// The conditions of a route; all that are given must hold.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteMatch {
    /// The host name, exact (`shop.example`) or with one leading wildcard label (`*.example`); any when absent.
    /// A port in the request's `Host` is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path: exact (`/products`), a template whose `{name}` is one segment (`/products/{id}`), or a prefix
    /// of whole segments (`/auth/*`, which takes `/auth` too; `/*` takes everything).
    pub path: String,
    /// The methods; any when empty. `GET` takes `HEAD` too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodName>,
    /// Header fields that must be there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderMatch>,
    /// Query parameters that must be there; compared after percent-decoding.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, HeaderMatch>,
}

/// A request method, in upper case (`GET`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct MethodName(pub String);

/// What a header field or query parameter must be.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum HeaderMatch {
    /// Exactly this value.
    Exact(String),
    /// There at all (`true`) or not there (`false`).
    Present(Presence),
}

/// By hand, because serde's own message for an untagged enum names neither form nor place.
impl<'de> Deserialize<'de> for HeaderMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = HeaderMatch;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("text in quotes, or `{present: true}`")
            }

            fn visit_str<E>(self, text: &str) -> Result<HeaderMatch, E> {
                Ok(HeaderMatch::Exact(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HeaderMatch, A::Error> {
                Presence::deserialize(MapAccessDeserializer::new(map)).map(HeaderMatch::Present)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// `{present: true}` or `{present: false}`.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// Whether the field must be there.
    pub present: bool,
}

/// How a route changes the path before the request goes to the service.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rewrite {
    /// Take this many leading segments away: `strip_segments: 1` makes `/auth/signIn` into `/signIn`.
    StripSegments(usize),
    /// Put these segments in front: `add_prefix: /api` makes `/products` into `/api/products`.
    AddPrefix(String),
    /// A whole new path; `{name}` stands for a segment of the route's template and `{*}` for what a prefix
    /// route's `*` took.
    Path(String),
}

/// Changes to header fields: `remove`, then `set`, then `add`.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderOps {
    /// Fields that are taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Fields that get exactly this value, whatever was there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Fields that are added beside what is there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
}

impl HeaderOps {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// Whether a route wants a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthRule {
    /// A valid token of one of the gateway's providers.
    Required,
    /// Open to everyone.
    None,
}

/// How a route's answers are kept.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteCache {
    /// How long an answer stays fresh.
    pub ttl: Period,
    /// Who may be given a kept answer. Must be said where the route wants a token. Elsewhere, and unsaid, only requests
    /// that show no credentials are given one or leave one: no `Authorization`, no `Cookie`, no certificate of a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<CacheShare>,
    /// Names under which routes with `invalidates` find these answers: `order:{id}`, `products`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Larger answers are passed on and not kept.
    #[serde(default = "default_max_entry")]
    pub max_entry: ByteSize,
}

fn default_max_entry() -> ByteSize {
    ByteSize::mib(1)
}

/// Who may be given an answer from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheShare {
    /// Anyone who may use the route.
    Everyone,
    /// Only the subject it was first made for (issuer and `sub` of the token are part of the key).
    PerSubject,
}

/// Which instance takes a request.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one that the value of this request header field belongs to: equal values meet the same instance, and
    /// when instances come or go only the share of the one that came or went moves. A request without the field
    /// takes its turn.
    ConsistentHash(String),
}

impl Balance {
    /// Whether it is the default.
    pub fn is_round_robin(&self) -> bool {
        *self == Self::RoundRobin
    }
}

/// When an attempt is repeated on another instance.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Attempts in all, the first one included: 1 (never repeat) to 10.
    pub attempts: u8,
    /// What is repeated. A request whose bytes may have reached an instance is only repeated when its method
    /// is safe (RFC 9110, 9.2.1) and it has no body.
    pub on: Vec<RetryOn>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { attempts: 3, on: vec![RetryOn::ConnectFailure, RetryOn::Reset, RetryOn::Unavailable] }
    }
}

/// A failure that may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// No connection could be made; nothing was sent.
    ConnectFailure,
    /// The connection ended before an answer's head was there.
    Reset,
    /// The instance's own sidecar answered that it cannot reach its service (502 or 503 with `Proxy-Status`).
    Unavailable,
}
