//! Every "no" of the data plane: the status, what the client is told, what the log says, and who is at fault.
//! The only such table; policies and server name the fault, this file speaks.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use crate::policy::auth::AuthFault;
use crate::policy::path::PathFault;

/// Why a request was not answered by a service.
#[derive(Debug)]
pub enum Rejection {
    /// The path has no single safe reading.
    Path(PathFault),
    /// No `Host`, several, or one that names no host.
    Host,
    /// The body's framing has no single safe reading.
    Framing,
    /// A method that a gateway must not carry: `CONNECT` or `TRACE`.
    NotServed,
    /// No route takes the request.
    NoRoute,
    /// The path is known, the method is not.
    MethodNotAllowed(Vec<Method>),
    /// The token is missing or not valid.
    Auth(AuthFault),
    /// The body is larger than the route takes.
    TooLarge {
        /// The route's limit in bytes.
        limit: u64,
    },
    /// The service has no instance that takes requests.
    NoInstance(Arc<str>),
    /// No instance could be connected to.
    NotConnected(Arc<str>),
    /// The instance closed the connection before it answered.
    Reset(Arc<str>),
    /// The instance did not answer in time.
    TimedOut(Arc<str>),
    /// What the instance sent is no HTTP answer.
    Broken(Arc<str>),
    /// The client's body cannot be read to its end.
    BrokenBody,
    /// The client took the route's whole time to send its body.
    SlowBody,
}

/// Status, word for metrics and the access log, and the error type of `Proxy-Status` (RFC 9209, 2.3) where one fits.
type Row = (StatusCode, &'static str, Option<&'static str>);

impl Rejection {
    fn row(&self) -> Row {
        const UNREADABLE: Option<&str> = Some("http_request_error");
        match self {
            Self::Path(_) => (StatusCode::BAD_REQUEST, "path", UNREADABLE),
            Self::Host => (StatusCode::BAD_REQUEST, "host", UNREADABLE),
            Self::Framing => (StatusCode::BAD_REQUEST, "framing", UNREADABLE),
            Self::BrokenBody => (StatusCode::BAD_REQUEST, "broken_body", UNREADABLE),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "slow_body", UNREADABLE),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", UNREADABLE),
            Self::NotServed => {
                (StatusCode::NOT_IMPLEMENTED, "method_not_served", Some("http_request_denied"))
            }
            Self::NoRoute => (StatusCode::NOT_FOUND, "no_route", None),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method", None),
            Self::Auth(fault) if fault.is_ours() => {
                (StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable", None)
            }
            Self::Auth(_) => (StatusCode::UNAUTHORIZED, "token", None),
            Self::NoInstance(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "no_instance", Some("destination_unavailable"))
            }
            Self::NotConnected(_) => (StatusCode::BAD_GATEWAY, "not_connected", Some("connection_refused")),
            Self::Reset(_) => (StatusCode::BAD_GATEWAY, "reset", Some("connection_terminated")),
            Self::TimedOut(_) => (StatusCode::GATEWAY_TIMEOUT, "timed_out", Some("http_response_timeout")),
            Self::Broken(_) => (StatusCode::BAD_GATEWAY, "broken", Some("http_protocol_error")),
        }
    }

    /// What the client is told.
    fn detail(&self) -> Cow<'static, str> {
        let of = |service: &str, rest: &str| Cow::Owned(format!("The service `{service}` {rest}."));
        match self {
            Self::Path(fault) => sentence(&fault.to_string()),
            Self::Host => "Exactly one valid `Host` is required.".into(),
            Self::Framing => "The only transfer coding that is understood is `chunked`, once.".into(),
            Self::BrokenBody => "The request's body is malformed or ended early.".into(),
            Self::SlowBody => "The request's body did not come in time.".into(),
            Self::TooLarge { limit } => format!("This route takes bodies of up to {limit} bytes.").into(),
            Self::NotServed => "CONNECT and TRACE are not served here.".into(),
            Self::NoRoute => "No route takes this request.".into(),
            Self::MethodNotAllowed(_) => "This path is known, but not with this method.".into(),
            Self::Auth(fault) => sentence(fault.description()),
            Self::NoInstance(service) => of(service, "has no instance that takes requests"),
            Self::NotConnected(service) => of(service, "could not be connected to"),
            Self::Reset(service) => of(service, "closed the connection before it answered"),
            Self::TimedOut(service) => of(service, "did not answer in time"),
            Self::Broken(service) => of(service, "sent no valid answer"),
        }
    }

    /// One word for metrics and the access log.
    pub fn reason(&self) -> &'static str {
        self.row().1
    }

    /// The status the client gets.
    pub fn status(&self) -> StatusCode {
        self.row().0
    }

    /// The whole answer: problem details (RFC 9457) and the fields that belong to the status.
    pub fn answer(&self, from: &Speaker<'_>) -> (StatusCode, HeaderMap, String) {
        let (status, reason, proxy_error) = self.row();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.status_fields(from, &mut headers);
        if let Some(error) = proxy_error {
            let text = format!("{}; error={error}", from.proxy);
            headers.extend(
                HeaderValue::try_from(text)
                    .ok()
                    .map(|value| (http::HeaderName::from_static("proxy-status"), value)),
            );
        }
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": self.detail(),
            "reason": reason,
            "trace_id": from.trace_id,
        });
        (status, headers, body.to_string())
    }

    fn status_fields(&self, from: &Speaker<'_>, headers: &mut HeaderMap) {
        let field = match self {
            // Whoever sends this may mean by its next bytes something else than what they would be read as.
            Self::Path(_)
            | Self::Host
            | Self::Framing
            | Self::NotServed
            | Self::BrokenBody
            | Self::SlowBody => Some((header::CONNECTION, "close".to_owned())),
            Self::MethodNotAllowed(methods) => {
                let list: Vec<&str> = methods.iter().map(Method::as_str).collect();
                Some((header::ALLOW, list.join(", ")))
            }
            Self::Auth(fault) if !fault.is_ours() => {
                Some((header::WWW_AUTHENTICATE, challenge(fault, from.realm)))
            }
            Self::Auth(_) | Self::NoInstance(_) => Some((header::RETRY_AFTER, "1".to_owned())),
            _ => None,
        };
        if let Some((name, text)) = field
            && let Ok(value) = HeaderValue::try_from(text)
        {
            headers.insert(name, value);
        }
    }
}

/// Who gives the answer.
pub struct Speaker<'a> {
    /// The name in `Proxy-Status`.
    pub proxy: &'a str,
    /// The realm in `WWW-Authenticate`.
    pub realm: &'a str,
    /// The trace the request belongs to.
    pub trace_id: &'a str,
}

/// RFC 6750, 3: the scheme, the realm, and the error unless no token was given at all.
fn challenge(fault: &AuthFault, realm: &str) -> String {
    let realm = quoted(realm);
    match fault.code() {
        Some(code) => {
            format!(
                "Bearer realm={realm}, error=\"{code}\", error_description={}",
                quoted(fault.description())
            )
        }
        None => format!("Bearer realm={realm}"),
    }
}

fn quoted(text: &str) -> String {
    let plain = |c: &char| (*c == ' ' || c.is_ascii_graphic()) && !matches!(c, '"' | '\\');
    format!("\"{}\"", text.chars().filter(plain).collect::<String>())
}

fn sentence(text: &str) -> Cow<'static, str> {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter();
    let end = if text.ends_with('.') { "" } else { "." };
    first.chain(letters).chain(end.chars()).collect::<String>().into()
}
