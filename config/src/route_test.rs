//! Tests of routes that stand in the file itself: a request, and what is expected to become of it. The same form of a
//! request is what `portreeve explain` sends to a running gateway.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::HeaderMatch;

/// One test: a request that is never sent, and what is expected to become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteTest {
    /// What it shows, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The request.
    pub request: SampleRequest,
    /// What is expected; at least one thing.
    pub expect: Expectation,
}

/// A request as a client would send it, without a body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleRequest {
    /// The method, in upper case.
    #[serde(default = "get")]
    pub method: String,
    /// The whole URL: `https://shop.example/products?page=2`. Scheme and host are what the client connects by.
    pub url: String,
    /// Header fields, each with a value or a list of values. `Host` comes from the URL where it is not here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, FieldValues>,
    /// The address the request comes from.
    #[serde(default = "loopback")]
    pub client: IpAddr,
}

fn get() -> String {
    "GET".to_owned()
}

fn loopback() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

/// The values of one header field.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum FieldValues {
    /// One value.
    One(String),
    /// A line for each value.
    Many(Vec<String>),
}

impl FieldValues {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(value) => std::slice::from_ref(value).iter(),
            Self::Many(values) => values.iter(),
        }
        .map(String::as_str)
    }
}

/// By hand, because serde's own message for an untagged enum names neither form nor place.
impl<'de> Deserialize<'de> for FieldValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = FieldValues;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("text in quotes, or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<FieldValues, E> {
                Ok(FieldValues::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<FieldValues, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(FieldValues::Many)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// What is expected of a request. What is left out is not looked at. A route that wants a token is looked at as if the
/// token were good; only `status` tells of a request without one (401).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// The route that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The service it goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The status by which the gateway itself refuses it: 400, 401, 404, 405, 413, 414, 417, 431 or 501.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Path and query as the instance gets them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Header fields as the instance gets them: a value, or `{present: false}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderMatch>,
}

impl Expectation {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
