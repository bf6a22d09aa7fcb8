//! A span as it is kept: Zipkin's v2 model after its normalisation rules, so that nothing behind it has to
//! ask what an id or a name may look like.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// One span, or one half of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    /// 16 or 32 lower-case hex digits.
    pub(crate) trace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent_id: Option<String>,
    /// 16 lower-case hex digits.
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Microseconds since 1970; above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<i64>,
    /// Microseconds; above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) local_endpoint: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remote_endpoint: Option<Endpoint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) annotations: Vec<Annotation>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) debug: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) shared: bool,
}

/// Which side of a call a span saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Kind {
    Client,
    Server,
    Producer,
    Consumer,
}

/// A network context.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv4: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv6: Option<Ipv6Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
}

/// An event at a time. Ordered by time, then text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct Annotation {
    /// Microseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) value: String,
}

/// Why a message of spans was refused, in the words that Zipkin's reporters know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpanFault {
    #[error("Malformed")]
    Malformed,
    #[error("Missing :{0}")]
    Missing(&'static str),
    #[error("{0} is empty")]
    Empty(&'static str),
    #[error("{0}.length > {1}")]
    TooLong(&'static str, usize),
    #[error("{0} is all zeros")]
    Zeros(&'static str),
    #[error("{0} should be lower-hex encoded with no prefix")]
    NotHex(String),
    #[error("Expected {0} but was {1}")]
    Type(&'static str, &'static str),
    #[error("No enum constant zipkin2.Span.Kind.{0}")]
    Kind(String),
    #[error("invalid port {0}")]
    Port(i64),
    #[error("Incomplete annotation")]
    Annotation,
}

impl Span {
    /// The rules that concern several fields at once; called once a span is filled.
    pub(crate) fn finish(mut self) -> Self {
        if self.parent_id.as_ref() == Some(&self.id) {
            self.parent_id = None;
        }
        if self.kind == Some(Kind::Client) {
            self.shared = false;
        }
        self.annotations.sort_unstable();
        self.annotations.dedup();
        self.local_endpoint = self.local_endpoint.filter(|endpoint| *endpoint != Endpoint::default());
        self.remote_endpoint = self.remote_endpoint.filter(|endpoint| *endpoint != Endpoint::default());
        self
    }

    pub(crate) fn local_service(&self) -> Option<&str> {
        self.local_endpoint.as_ref()?.service_name.as_deref()
    }

    pub(crate) fn remote_service(&self) -> Option<&str> {
        self.remote_endpoint.as_ref()?.service_name.as_deref()
    }

    /// The low 64 bits of the trace id: what its 64-bit and 128-bit forms share.
    pub(crate) fn low_id(&self) -> &str {
        &self.trace_id[self.trace_id.len().saturating_sub(16)..]
    }

    /// About how much memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let tags: usize = self.tags.iter().map(|(key, value)| key.len() + value.len() + 64).sum();
        let annotations: usize = self.annotations.iter().map(|annotation| annotation.value.len() + 40).sum();
        size_of::<Self>() + 128 + self.name.as_ref().map_or(0, String::len) + tags + annotations
    }
}

impl Endpoint {
    /// Takes an address, whichever field it came in: it says itself what it is. What is no address is ignored.
    pub(crate) fn put_address(&mut self, text: &str) {
        match text.parse() {
            Ok(IpAddr::V4(address)) => self.ipv4 = Some(address),
            Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => self.ipv4 = Some(address),
                None => self.ipv6 = Some(address),
            },
            Err(_) => {}
        }
    }

    pub(crate) fn put_port(&mut self, port: i64) -> Result<(), SpanFault> {
        self.port = match port {
            ..=0 => None,
            port => Some(u16::try_from(port).map_err(|_| SpanFault::Port(port))?),
        };
        Ok(())
    }
}

impl Kind {
    pub(crate) fn parse(text: &str) -> Result<Self, SpanFault> {
        match text {
            "CLIENT" => Ok(Self::Client),
            "SERVER" => Ok(Self::Server),
            "PRODUCER" => Ok(Self::Producer),
            "CONSUMER" => Ok(Self::Consumer),
            other => Err(SpanFault::Kind(other.chars().take(40).collect())),
        }
    }
}

/// A trace id in its one form: 16 digits, or 32 where the upper half says something.
pub(crate) fn trace_id(text: &str) -> Result<String, SpanFault> {
    let text = hex("traceId", text, 32)?;
    if text.bytes().all(|byte| byte == b'0') {
        return Err(SpanFault::Zeros("traceId"));
    }
    if text.len() <= 16 {
        return Ok(format!("{text:0>16}"));
    }
    let padded = format!("{text:0>32}");
    let low = padded.strip_prefix("0000000000000000").map(str::to_owned);
    Ok(low.unwrap_or(padded))
}

/// A span's own id.
pub(crate) fn span_id(text: &str) -> Result<String, SpanFault> {
    let id = hex("id", text, 16)?;
    if id.bytes().all(|byte| byte == b'0') {
        return Err(SpanFault::Zeros("id"));
    }
    Ok(format!("{id:0>16}"))
}

/// The id of a span's parent; none if it is all zeros.
pub(crate) fn parent_id(text: &str) -> Result<Option<String>, SpanFault> {
    let id = hex("parentId", text, 16)?;
    Ok(id.bytes().any(|byte| byte != b'0').then(|| format!("{id:0>16}")))
}

/// A name as it is compared and shown: in lower case, and nothing instead of nothing written.
pub(crate) fn name(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_lowercase())
}

fn hex<'a>(field: &'static str, text: &'a str, longest: usize) -> Result<&'a str, SpanFault> {
    if text.is_empty() {
        return Err(SpanFault::Empty(field));
    }
    if text.len() > longest {
        return Err(SpanFault::TooLong(field, longest));
    }
    match text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        true => Ok(text),
        false => Err(SpanFault::NotHex(text.to_owned())),
    }
}
