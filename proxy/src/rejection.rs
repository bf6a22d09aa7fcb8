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

/// What one row of the table says.
struct Row {
    status: StatusCode,
    /// One word for metrics and the access log.
    reason: &'static str,
    detail: Cow<'static, str>,
    /// The error type of `Proxy-Status` (RFC 9209, 2.3), where one fits.
    proxy_error: Option<&'static str>,
}

impl Rejection {
    fn row(&self) -> Row {
        let row = |status, reason, detail: Cow<'static, str>, proxy_error| Row {
            status,
            reason,
            detail,
            proxy_error,
        };
        let of = |service: &str, rest: &str| Cow::Owned(format!("The service `{service}` {rest}."));
        match self {
            Self::Path(fault) => {
                row(StatusCode::BAD_REQUEST, "path", sentence(&fault.to_string()), Some("http_request_error"))
            }
            Self::Host => row(
                StatusCode::BAD_REQUEST,
                "host",
                "Exactly one valid `Host` is required.".into(),
                Some("http_request_error"),
            ),
            Self::Framing => row(
                StatusCode::BAD_REQUEST,
                "framing",
                "The only transfer coding that is understood is `chunked`, once.".into(),
                Some("http_request_error"),
            ),
            Self::NotServed => row(
                StatusCode::NOT_IMPLEMENTED,
                "method_not_served",
                "CONNECT and TRACE are not served here.".into(),
                Some("http_request_denied"),
            ),
            Self::NoRoute => {
                row(StatusCode::NOT_FOUND, "no_route", "No route takes this request.".into(), None)
            }
            Self::MethodNotAllowed(_) => row(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "This path is known, but not with this method.".into(),
                None,
            ),
            Self::Auth(fault) if fault.is_ours() => {
                row(StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable", sentence(fault.description()), None)
            }
            Self::Auth(fault) => row(StatusCode::UNAUTHORIZED, "token", sentence(fault.description()), None),
            Self::TooLarge { limit } => row(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("This route takes bodies of up to {limit} bytes.").into(),
                Some("http_request_error"),
            ),
            Self::NoInstance(service) => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_instance",
                of(service, "has no instance that takes requests"),
                Some("destination_unavailable"),
            ),
            Self::NotConnected(service) => row(
                StatusCode::BAD_GATEWAY,
                "not_connected",
                of(service, "could not be connected to"),
                Some("connection_refused"),
            ),
            Self::Reset(service) => row(
                StatusCode::BAD_GATEWAY,
                "reset",
                of(service, "closed the connection before it answered"),
                Some("connection_terminated"),
            ),
            Self::TimedOut(service) => row(
                StatusCode::GATEWAY_TIMEOUT,
                "timed_out",
                of(service, "did not answer in time"),
                Some("http_response_timeout"),
            ),
            Self::Broken(service) => row(
                StatusCode::BAD_GATEWAY,
                "broken",
                of(service, "sent no valid answer"),
                Some("http_protocol_error"),
            ),
            Self::BrokenBody => row(
                StatusCode::BAD_REQUEST,
                "broken_body",
                "The request's body is malformed or ended early.".into(),
                Some("http_request_error"),
            ),
            Self::SlowBody => row(
                StatusCode::REQUEST_TIMEOUT,
                "slow_body",
                "The request's body did not come in time.".into(),
                Some("http_request_error"),
            ),
        }
    }

    /// One word for metrics and the access log.
    pub fn reason(&self) -> &'static str {
        self.row().reason
    }

    /// The status the client gets.
    pub fn status(&self) -> StatusCode {
        self.row().status
    }

    /// The whole answer: problem details (RFC 9457) and the fields that belong to the status.
    pub fn answer(&self, from: &Speaker<'_>) -> (StatusCode, HeaderMap, String) {
        let row = self.row();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.status_fields(from, &mut headers);
        if let Some(error) = row.proxy_error {
            let text = format!("{}; error={error}", from.proxy);
            headers.extend(
                HeaderValue::try_from(text)
                    .ok()
                    .map(|value| (http::HeaderName::from_static("proxy-status"), value)),
            );
        }
        let body = serde_json::json!({
            "type": "about:blank",
            "title": row.status.canonical_reason().unwrap_or("Error"),
            "status": row.status.as_u16(),
            "detail": row.detail,
            "reason": row.reason,
            "trace_id": from.trace_id,
        });
        (row.status, headers, body.to_string())
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
