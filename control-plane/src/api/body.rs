//! What comes in beside the path: a JSON body within its bounds, preconditions, and parameters, each with
//! its own clear refusal.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use portreeve_config::wire::Revision;
use portreeve_config::{Fault, Faults, check_json};
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::problem::Problem;
use crate::access::Caller;
use crate::redaction;
use crate::state::{Precondition, excerpt};

/// The largest body of everything but spans and whole desired states.
const MAX_BODY: usize = 1024 * 1024;

/// A JSON body, not looked into yet.
#[derive(Debug)]
pub(super) struct Document(Bytes);

impl Document {
    /// The body as a `T`, or everything that is wrong with it: its shape, and what `check` finds beyond.
    pub(super) fn checked<T: DeserializeOwned>(
        &self,
        check: impl FnOnce(&T) -> Faults,
    ) -> Result<T, Problem> {
        check_json(&self.0, check).map_err(Problem::faulty)
    }

    /// As [`Document::checked`] with nothing to check beyond the shape.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.checked(|_| Faults::default())
    }

    /// Whether the body is a list.
    pub(super) fn is_list(&self) -> bool {
        self.0.trim_ascii_start().starts_with(b"[")
    }

    /// As [`Document::checked`], for what comes by the thousand: read straight into a `T`, and into a tree only where
    /// that, or `check`, finds a fault, so that all of them are told. A map in `T` must refuse a key that comes twice.
    pub(super) fn straight<T: DeserializeOwned>(&self, check: impl Fn(&T) -> Faults) -> Result<T, Problem> {
        let read = serde_json::from_slice(&self.0).ok();
        match read.filter(|value| check(value).0.is_empty()) {
            Some(value) => Ok(value),
            None => self.checked(check),
        }
    }

    /// Puts a name of the path into the body; a body may repeat it, and must not say another.
    pub(super) fn name(&mut self, field: &'static str, name: &str) -> Result<(), Problem> {
        let fields: BTreeMap<Cow<'_, str>, &RawValue> = match serde_json::from_slice(&self.0) {
            Ok(fields) => fields,
            Err(_) => return Ok(()),
        };
        let stated = fields.get(field).map(|stated| serde_json::from_str::<Cow<'_, str>>(stated.get()));
        match stated {
            Some(Ok(stated)) if stated != name => {
                let fault = Fault::new(field, "this is not the name in the path");
                Err(Problem::faulty(fault.hint("leave it out, or make them the same").into()))
            }
            Some(_) => Ok(()),
            None => {
                let comma = if fields.is_empty() { "" } else { "," };
                let text = self.0.trim_ascii_end();
                let open = String::from_utf8_lossy(&text[..text.len().saturating_sub(1)]);
                self.0 = format!("{open}{comma}\"{field}\":{}}}", Value::from(name)).into();
                Ok(())
            }
        }
    }
}

/// A map of text to text in which no key comes twice; which of them would count is nobody's guess.
pub(super) fn each_key_once<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct Once;
    impl<'de> Visitor<'de> for Once {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry()? {
                if map.insert(key, value).is_some() {
                    return Err(A::Error::custom("a key is given twice"));
                }
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Once)
}

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Self::read(request, MAX_BODY).await
    }
}

impl Document {
    /// The body of `request`, at most `limit` bytes of it.
    pub(super) async fn read(request: Request, limit: usize) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "send JSON with `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        if request.headers().contains_key(header::CONTENT_ENCODING) {
            let detail = "send the body without a `Content-Encoding`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let body = read(request.into_body(), limit).await?;
        serde_json::from_slice::<IgnoredAny>(&body)
            .map_err(|fault| Problem::bad_request(format!("the body is not JSON: {fault}")))?;
        Ok(Self(body))
    }
}

/// The whole body, at most `limit` bytes of it.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(fault) if fault.is::<LengthLimitError>() => {
            let detail = format!("the body is larger than {limit} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
        Err(_) => Err(Problem::bad_request("the body could not be read to its end")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind == "application/merge-patch+json"
}

impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = Problem;

    /// From `If-Match`. Tags that are not ours match nothing (RFC 9110, section 13.1.1).
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let fields: Vec<_> = parts.headers.get_all(header::IF_MATCH).iter().collect();
        if fields.is_empty() {
            return Ok(Self::None);
        }
        let tags = fields.iter().filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(','));
        let tags: Vec<_> = tags.map(str::trim).collect();
        if tags == ["*"] {
            return Ok(Self::Exists);
        }
        let revision = |tag: &&str| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        Ok(Self::OneOf(tags.iter().filter_map(revision).collect()))
    }
}

/// Parameters of the query.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Query(query) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

/// Segments of the path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Path(path) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(path))
    }
}

/// Nothing beside the revision.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Revised {}

/// An answer with the revision of what it shows, as a field and as an entity tag.
#[derive(Debug)]
pub(super) struct At<T> {
    status: StatusCode,
    revision: Revision,
    body: T,
}

impl<T: Serialize> At<T> {
    pub(super) fn new(revision: Revision, body: T) -> Self {
        Self { status: StatusCode::OK, revision, body }
    }

    pub(super) fn created(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }
}

impl<T: Serialize> IntoResponse for At<T> {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Shown<T> {
            revision: Revision,
            #[serde(flatten)]
            body: T,
        }
        let tag = format!("\"{}\"", self.revision);
        let shown = Shown { revision: self.revision, body: self.body };
        (self.status, [(header::ETAG, tag)], axum::Json(shown)).into_response()
    }
}

/// What a caller is shown of things that may hold secrets: all of them, or none where it may only read.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Seen<T> {
    Whole(T),
    Redacted(Value),
}

impl<T: Serialize> Seen<T> {
    pub(super) fn by(caller: &Caller, thing: T) -> Result<Self, Problem> {
        if !caller.is_only_reader() {
            return Ok(Self::Whole(thing));
        }
        let unwritten = |_| Problem::unavailable("the answer could not be written");
        let mut value = serde_json::to_value(thing).map_err(unwritten)?;
        redaction::hide("", &mut value);
        Ok(Self::Redacted(value))
    }
}

/// How a name of the request is shown in an answer.
pub(super) fn shown(name: &str) -> String {
    format!("`{}`", excerpt(name))
}
