//! What a gateway must know of gRPC: which requests are calls, how long they may take, how a call is refused, and how
//! the gRPC-Web of browsers becomes gRPC. A client of gRPC reads only `grpc-status`; an HTTP answer alone tells it
//! nearly nothing.

pub mod refusal;
pub mod timeout;
pub mod web;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The outcome of a call, a number of gRPC's own.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The outcome of a call in words, percent-encoded.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

const TEXT_SUBTYPE: &str = "application/grpc-web-text";
const WEB_SUBTYPE: &str = "application/grpc-web";
const NATIVE_SUBTYPE: &str = "application/grpc";

/// The form of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// gRPC over HTTP/2: the outcome is in the trailers.
    Native,
    /// gRPC-Web: the outcome is the last frame of the body.
    Web(Encoding),
}

/// How the frames of gRPC-Web are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Binary,
    /// In base64, piece by piece.
    Text,
}

impl Kind {
    /// Reads `Content-Type`: `application/grpc`, `application/grpc-web` or `application/grpc-web-text`, in any case,
    /// with any `+format` and parameters. `None` for all other requests, also for those with two such fields.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        // Most requests have none: a look at their names is cheaper than a search.
        if !headers.keys().any(|name| *name == header::CONTENT_TYPE) {
            return None;
        }
        let mut fields = headers.get_all(header::CONTENT_TYPE).iter();
        let field = fields.next().filter(|_| fields.next().is_none())?;
        Self::named(field.to_str().ok()?).map(|(kind, _)| kind)
    }

    /// The content type of answers in this form.
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(self.media_type())
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Native => NATIVE_SUBTYPE,
            Self::Web(Encoding::Binary) => WEB_SUBTYPE,
            Self::Web(Encoding::Text) => TEXT_SUBTYPE,
        }
    }

    /// The form a media type names, and what follows its name: `+proto`, parameters, or nothing.
    fn named(media_type: &str) -> Option<(Self, &str)> {
        // The longest name first: each is the beginning of the one before it.
        [Self::Web(Encoding::Text), Self::Web(Encoding::Binary), Self::Native].into_iter().find_map(|kind| {
            let (name, rest) = media_type.split_at_checked(kind.media_type().len())?;
            let ends_here = matches!(rest.trim_start().as_bytes().first(), None | Some(b'+' | b';'));
            (name.eq_ignore_ascii_case(kind.media_type()) && ends_here).then_some((kind, rest))
        })
    }
}

/// Says to a service that trailers reach the client. Without it a gRPC server may refuse the call. To be called after
/// the client's own `TE`, which ends at this hop, is gone.
pub fn want_trailers(headers: &mut HeaderMap) {
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn kind(content_type: &str) -> Option<Kind> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        Kind::of(&headers)
    }

    #[test]
    fn calls_are_told_by_their_content_type() {
        let (binary, text) = (Some(Kind::Web(Encoding::Binary)), Some(Kind::Web(Encoding::Text)));
        for (content_type, expected) in [
            ("application/grpc", Some(Kind::Native)),
            ("application/grpc+proto", Some(Kind::Native)),
            ("application/grpc+json", Some(Kind::Native)),
            ("application/grpc;charset=utf-8", Some(Kind::Native)),
            ("application/grpc ; charset=utf-8", Some(Kind::Native)),
            ("Application/gRPC", Some(Kind::Native)),
            ("application/grpc-web", binary),
            ("application/grpc-web+proto", binary),
            ("application/grpc-web+json;v=1", binary),
            ("application/grpc-web-text", text),
            ("application/grpc-web-text+proto", text),
            ("APPLICATION/GRPC-WEB-TEXT+PROTO", text),
            ("application/grpcx", None),
            ("application/grpc-other", None),
            ("application/grpc-webx", None),
            ("application/grpc-web-textual", None),
            ("application/grp", None),
            ("text/application/grpc", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(kind(content_type), expected, "{content_type}");
        }
        assert_eq!(Kind::of(&HeaderMap::new()), None);
    }

    #[test]
    fn two_content_types_are_no_call() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_TYPE, Kind::Native.content_type());
        headers.append(header::CONTENT_TYPE, Kind::Native.content_type());
        assert_eq!(Kind::of(&headers), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_no_call() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(b"application/grpc\xff").unwrap();
        headers.insert(header::CONTENT_TYPE, value);
        assert_eq!(Kind::of(&headers), None);
    }
}
