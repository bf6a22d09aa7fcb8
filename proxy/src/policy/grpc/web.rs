//! The bridge from gRPC-Web to gRPC (PROTOCOL-WEB): what becomes of both heads, and who translates the bodies. A
//! browser can neither send HTTP/2 frames of its own nor read trailers, so the gateway does both for it. Cross-origin
//! rules are no part of it: `OPTIONS` requests and `Access-Control-*` are left to the service and the route.

mod request;
mod response;

pub use request::{RequestFault, RequestTranslator};
pub use response::ResponseTranslator;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::{Encoding, GRPC_STATUS, Kind, want_trailers};

const X_GRPC_WEB: HeaderName = HeaderName::from_static("x-grpc-web");

/// One gRPC-Web call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridge {
    request: Encoding,
    answer: Encoding,
}

impl Bridge {
    /// The bridge for a request that is gRPC-Web; `None` for any other. Must be asked before `Accept` or
    /// `Content-Type` are changed.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let Kind::Web(request) = Kind::of(headers)? else { return None };
        let answer = accepted(headers).unwrap_or(request);
        Some(Self { request, answer })
    }

    /// The form the client reads, for `refusal::refuse`.
    pub fn answer_kind(self) -> Kind {
        Kind::Web(self.answer)
    }

    /// Makes the request's head one of gRPC. To be called after fields of the client's own connection are gone.
    pub fn open_request(self, headers: &mut HeaderMap) -> RequestTranslator {
        exchange_content_type(headers, Kind::Native);
        want_trailers(headers);
        // The length is that of the client's encoding. A service that compressed the whole body would leave no place
        // for the last frame.
        for name in [header::CONTENT_LENGTH, header::ACCEPT_ENCODING, X_GRPC_WEB] {
            headers.remove(name);
        }
        RequestTranslator::new(self.request)
    }

    /// Makes the answer's head one of gRPC-Web. `None`, and nothing is changed, when the answer is none of gRPC (an
    /// error of something in between); clients then go by its HTTP status.
    pub fn open_answer(self, headers: &mut HeaderMap) -> Option<ResponseTranslator> {
        if Kind::of(headers)? != Kind::Native {
            return None;
        }
        exchange_content_type(headers, self.answer_kind());
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRAILER);
        Some(ResponseTranslator::new(self.answer, headers.contains_key(GRPC_STATUS)))
    }
}

/// The encoding that `Accept` names, if it names one.
fn accepted(headers: &HeaderMap) -> Option<Encoding> {
    let named = |field: &HeaderValue| {
        field.to_str().ok()?.split(',').find_map(|media_type| match Kind::named(media_type.trim())? {
            (Kind::Web(encoding), _) => Some(encoding),
            (Kind::Native, _) => None,
        })
    };
    headers.get_all(header::ACCEPT).iter().find_map(named)
}

/// Names another form of a call and keeps the format of its messages (`+proto`).
fn exchange_content_type(headers: &mut HeaderMap, kind: Kind) {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|field| Kind::named(field.to_str().ok()?))
        .and_then(|(_, format)| HeaderValue::try_from(format!("{}{format}", kind.media_type())).ok());
    headers.insert(header::CONTENT_TYPE, value.unwrap_or_else(|| kind.content_type()));
}

#[cfg(test)]
mod tests;
