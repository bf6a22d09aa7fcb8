//! What Eureka clients are answered: documents in the format they take, and refusals in words that none of them
//! stumbles over.

use std::io::Write as _;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use super::super::problem::{retry_after, status_of};
use super::super::refusals::{self, long_excerpt};
use super::lists;
use super::writing::{Extent, Format, Json, Xml};
use crate::state::Refusal;

/// Why a request is refused. Where a client reads the body of an error at all, it must be no document.
#[derive(Debug)]
pub(super) enum Fault {
    /// No such resource or instance: a client that renews registers anew.
    Unknown,
    /// What it takes instead.
    Method(&'static str),
    /// The body cannot be read, in this format.
    Unreadable { xml: bool, why: String },
    /// A registration or parameter that does not do.
    Refused(String),
    /// What is not for this user to do.
    Forbidden(String),
    /// A status that there is not; the original's answer is that of a server that broke.
    Status,
    /// A body of a kind or size that is not read.
    Body(StatusCode, String),
    /// The state said no.
    State(Refusal),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(_) => Self::Unknown,
            Refusal::Invalid(faults) => Self::Refused(long_excerpt(&faults.to_string())),
            other => Self::State(other),
        }
    }
}

impl Fault {
    /// As an answer, of which one line in the log says why.
    pub(super) fn told(self, method: &Method, uri: &Uri) -> Response {
        refusals::tell((method, uri), self.status(), &self.why());
        self.into_response()
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unreadable { .. } | Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Status => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Body(status, _) => *status,
            Self::State(refusal) => status_of(refusal),
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Unknown => "there is no such resource or instance; a client registers anew".to_owned(),
            Self::Method(methods) => format!("this takes {methods}"),
            Self::Unreadable { why, .. } => long_excerpt(why),
            Self::Refused(why) | Self::Forbidden(why) | Self::Body(_, why) => why.clone(),
            Self::Status => "`value` is none of DOWN, OUT_OF_SERVICE, STARTING, UNKNOWN, UP".to_owned(),
            Self::State(refusal) => refusal.to_string(),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = self.status();
        match self {
            Self::Unknown => status.into_response(),
            Self::Method(methods) => (status, [(header::ALLOW, methods)]).into_response(),
            Self::Unreadable { xml: false, .. } => {
                let kind = [(header::CONTENT_TYPE, "application/json")];
                (status, kind, "{\"error\": \"cannot parse request body\"}").into_response()
            }
            Self::Unreadable { xml: true, .. } => {
                let kind = [(header::CONTENT_TYPE, "application/xml")];
                (status, kind, "<error><message>cannot parse request body</message></error>").into_response()
            }
            Self::State(refusal) => {
                let mut response = (status, refusal.to_string()).into_response();
                if let Some(seconds) = retry_after(&refusal) {
                    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                }
                response
            }
            other => (status, other.why()).into_response(),
        }
    }
}

/// How a client wants a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Form {
    pub(super) json: bool,
    pub(super) extent: Extent,
    pub(super) gzip: bool,
}

impl Form {
    /// XML unless it asks for JSON; some clients ask for nothing and read XML only.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let compact = headers.get("x-eureka-accept").is_some_and(|extent| extent == "compact");
        Self {
            json: lists(headers, header::ACCEPT, "json"),
            extent: if compact { Extent::Compact } else { Extent::Full },
            gzip: lists(headers, header::ACCEPT_ENCODING, "gzip")
                && !lists(headers, header::ACCEPT_ENCODING, "gzip;q=0"),
        }
    }

    /// The document that `write` writes, in this form.
    pub(super) fn body(self, write: impl Writing) -> Bytes {
        let text = if self.json {
            let mut format = Json::default();
            write.write(&mut format, self.extent);
            format.finish()
        } else {
            let mut format = Xml::default();
            write.write(&mut format, self.extent);
            format.finish()
        };
        if self.gzip { compressed(&text).into() } else { text.into() }
    }

    pub(super) fn answer(self, body: Bytes) -> Response {
        let mut response = body.into_response();
        let headers = response.headers_mut();
        let kind = if self.json { "application/json" } else { "application/xml" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding, x-eureka-accept"));
        if self.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// A document that can be written in any format.
pub(super) trait Writing {
    fn write(&self, format: &mut impl Format, extent: Extent);
}

/// Compressing into memory cannot fail.
fn compressed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_write_that_is_refused_says_whose_fault_it_is_and_when_to_ask_again() {
        let held = Refusal::Held { node: "orders-1".to_owned(), address: ([127, 0, 0, 1], 4001).into() };
        for (refusal, status, retry_after) in [
            (Refusal::Away, 503, Some("1")),
            (Refusal::Storage, 503, None),
            (Refusal::Stopping, 503, None),
            (Refusal::Full, 507, None),
            (Refusal::TooLarge("it is larger than etcd takes".to_owned()), 413, None),
            (held, 409, None),
        ] {
            let said = refusal.to_string();
            let response = Fault::from(refusal).into_response();
            let told = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), told), (status, retry_after), "{said}");
        }
    }
}
