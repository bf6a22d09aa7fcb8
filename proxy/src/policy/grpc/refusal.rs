//! The gateway's own "no" in the words of gRPC. A client of gRPC takes an HTTP error for an accident on the way;
//! told by `grpc-status`, it knows whether to ask again, to sign in, or to give up.

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{GRPC_MESSAGE, GRPC_STATUS, Kind};

/// What `grpc-message` writes as `%XX`: all but printable ASCII, and `%` (gRPC over HTTP/2, "Percent-Encoded").
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Bytes of a message before it is encoded; clients may refuse trailers of more than 8 KiB in all.
const LONGEST_MESSAGE: usize = 1024;

/// The number of a gRPC status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Code {
    Cancelled = 1,
    Unknown = 2,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    /// gRPC's own table ("HTTP to gRPC Status Code Mapping"), and more exact where the gateway knows more than the
    /// status says: 408 and 504 of its own are always limits of time that it kept itself.
    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            400 | 414 | 431 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 | 405 | 501 => Self::Unimplemented,
            408 | 504 => Self::DeadlineExceeded,
            413 => Self::ResourceExhausted,
            429 | 502 | 503 => Self::Unavailable,
            499 => Self::Cancelled,
            _ => Self::Unknown,
        }
    }
}

/// A refusal as an answer without a body ("Trailers-Only"), for all forms of a call: status 200, the outcome among
/// the header fields. `headers` are those of the HTTP refusal; all that do not describe its body are kept
/// (`WWW-Authenticate`, `Proxy-Status`, `Retry-After`, …). `reason` is the log's word, `detail` what the client is
/// told; neither may hold what the client sent.
pub fn refuse(
    kind: Kind,
    status: StatusCode,
    reason: &str,
    detail: &str,
    mut headers: HeaderMap,
) -> (StatusCode, HeaderMap) {
    for of_the_body in [
        header::CONTENT_ENCODING,
        header::CONTENT_LANGUAGE,
        header::CONTENT_LENGTH,
        header::TRAILER,
        header::TRANSFER_ENCODING,
    ] {
        headers.remove(of_the_body);
    }
    headers.insert(header::CONTENT_TYPE, kind.content_type());
    write_outcome(&mut headers, status, reason, detail);
    (StatusCode::OK, headers)
}

/// The trailers that end an answer which had begun, when the gateway itself must end it.
pub fn trailers(status: StatusCode, reason: &str, detail: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    write_outcome(&mut trailers, status, reason, detail);
    trailers
}

fn write_outcome(fields: &mut HeaderMap, status: StatusCode, reason: &str, detail: &str) {
    fields.insert(GRPC_STATUS, HeaderValue::from(Code::of(status) as u16));
    fields.remove(GRPC_MESSAGE);
    fields.extend(message(reason, detail).map(|value| (GRPC_MESSAGE, value)));
}

/// `reason: detail`, cut to its limit between two characters.
fn message(reason: &str, detail: &str) -> Option<HeaderValue> {
    let text = format!("{reason}: {detail}");
    let end = text.floor_char_boundary(LONGEST_MESSAGE);
    HeaderValue::try_from(utf8_percent_encode(&text[..end], ENCODED).to_string()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::Encoding;
    use super::*;

    fn text(headers: &HeaderMap, name: http::HeaderName) -> &str {
        headers.get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn every_status_of_the_gateway_has_its_code() {
        for (status, expected) in [
            (400, "13"),
            (401, "16"),
            (403, "7"),
            (404, "12"),
            (405, "12"),
            (408, "4"),
            (413, "8"),
            (414, "13"),
            (417, "2"),
            (421, "2"),
            (429, "14"),
            (431, "13"),
            (499, "1"),
            (500, "2"),
            (501, "12"),
            (502, "14"),
            (503, "14"),
            (504, "4"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let (answered, headers) = refuse(Kind::Native, status, "why", "So.", HeaderMap::new());
            assert_eq!((answered, text(&headers, GRPC_STATUS)), (StatusCode::OK, expected), "{status}");
            assert_eq!(trailers(status, "why", "So.")[GRPC_STATUS], expected, "{status}");
        }
    }

    #[test]
    fn the_answer_has_the_form_of_the_call_and_keeps_what_is_not_of_the_body() {
        for (kind, content_type) in [
            (Kind::Native, "application/grpc"),
            (Kind::Web(Encoding::Binary), "application/grpc-web"),
            (Kind::Web(Encoding::Text), "application/grpc-web-text"),
        ] {
            let mut http = HeaderMap::new();
            http.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
            http.insert(header::CONTENT_LENGTH, HeaderValue::from_static("120"));
            http.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"shop\""));
            let (_, headers) = refuse(kind, StatusCode::UNAUTHORIZED, "token", "A token is needed.", http);
            assert_eq!(text(&headers, header::CONTENT_TYPE), content_type);
            assert_eq!(text(&headers, header::WWW_AUTHENTICATE), "Bearer realm=\"shop\"");
            assert_eq!(text(&headers, GRPC_MESSAGE), "token: A token is needed.");
            assert!(!headers.contains_key(header::CONTENT_LENGTH));
        }
    }

    #[test]
    fn messages_are_encoded_and_bounded() {
        let encoded = |detail: &str| message("why", detail).unwrap();
        assert_eq!(encoded("100 % of \"it\" ~"), "why: 100 %25 of \"it\" ~");
        assert_eq!(encoded("grüße\r\n\u{7f}"), "why: gr%C3%BC%C3%9Fe%0D%0A%7F");
        let long = encoded(&"ü".repeat(LONGEST_MESSAGE));
        assert!(long.len() <= 3 * LONGEST_MESSAGE);
        assert!(long.to_str().unwrap().ends_with("%C3%BC"), "a character is never cut in two");
    }
}
