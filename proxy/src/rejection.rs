//! Every "no" of the data plane: the status, what the client is told, what the log says, and who is at fault.
//! The only such table; policies and server name the fault, this file speaks.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;

use crate::policy::auth::AuthFault;
use crate::policy::grpc::timeout::TimeoutFault;
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
    /// A `grpc-timeout` that cannot be followed.
    CallTimeout(TimeoutFault),
    /// The client sent its body slower than it must.
    BodyRate,
    /// The request's head is not HTTP; the text says what is wrong with it and repeats nothing of it.
    Malformed(&'static str),
    /// The head, one of its fields, or their number is beyond its limit.
    HeadTooLarge,
    /// The target is longer than its limit.
    TargetTooLong,
    /// The head did not come in time.
    HeadTimeout,
    /// An `Expect` that is not `100-continue`.
    Expectation,
    /// The host is another than the one that the TLS greeting asked for, and client certificates depend on it.
    Misdirected,
    /// There is no room for the request's data.
    Overloaded,
    /// The request took longer in all than one may take.
    RequestAge,
    /// No TLS connection to the instance came about.
    UpstreamTls(Arc<str>),
    /// The instance's certificate is not the one that is wanted.
    UpstreamCertificate(Arc<str>),
    /// The instance cannot switch to the protocol that is wanted.
    NoSwitch(Arc<str>),
}

/// Who can put an end to a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The client, by sending something else.
    Client,
    /// Whoever runs the service.
    Service,
    /// Whoever runs the gateway.
    Gateway,
}

/// Status, word for metrics and the access log, who is at fault, and the error type of `Proxy-Status` (RFC 9209, 2.3)
/// where one fits.
type Row = (StatusCode, &'static str, Blame, Option<&'static str>);

impl Rejection {
    fn row(&self) -> Row {
        use StatusCode as Status;
        match self {
            Self::Path(_) => unreadable(Status::BAD_REQUEST, "path"),
            Self::Host => unreadable(Status::BAD_REQUEST, "host"),
            Self::Framing => unreadable(Status::BAD_REQUEST, "framing"),
            Self::Malformed(_) => unreadable(Status::BAD_REQUEST, "malformed"),
            Self::CallTimeout(_) => unreadable(Status::BAD_REQUEST, "grpc_timeout"),
            Self::BrokenBody => unreadable(Status::BAD_REQUEST, "broken_body"),
            Self::HeadTimeout => unreadable(Status::REQUEST_TIMEOUT, "head_timeout"),
            Self::SlowBody => unreadable(Status::REQUEST_TIMEOUT, "slow_body"),
            Self::BodyRate => unreadable(Status::REQUEST_TIMEOUT, "body_rate"),
            Self::TooLarge { .. } => unreadable(Status::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::TargetTooLong => unreadable(Status::URI_TOO_LONG, "target_too_long"),
            Self::Expectation => unreadable(Status::EXPECTATION_FAILED, "expectation"),
            Self::Misdirected => unreadable(Status::MISDIRECTED_REQUEST, "misdirected"),
            Self::HeadTooLarge => unreadable(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"),
            Self::NotServed => refused(Status::NOT_IMPLEMENTED, "method_not_served", "http_request_denied"),
            Self::NoRoute => (Status::NOT_FOUND, "no_route", Blame::Client, None),
            Self::MethodNotAllowed(_) => (Status::METHOD_NOT_ALLOWED, "method", Blame::Client, None),
            Self::Auth(fault) if fault.is_ours() => {
                (Status::SERVICE_UNAVAILABLE, "keys_unavailable", Blame::Gateway, None)
            }
            Self::Auth(_) => (Status::UNAUTHORIZED, "token", Blame::Client, None),
            Self::NoInstance(_) => {
                behind(Status::SERVICE_UNAVAILABLE, "no_instance", "destination_unavailable")
            }
            Self::NotConnected(_) => behind(Status::BAD_GATEWAY, "not_connected", "connection_refused"),
            Self::UpstreamTls(_) => behind(Status::BAD_GATEWAY, "upstream_tls", "tls_protocol_error"),
            Self::UpstreamCertificate(_) => {
                behind(Status::BAD_GATEWAY, "upstream_certificate", "tls_certificate_error")
            }
            Self::NoSwitch(_) => behind(Status::BAD_GATEWAY, "no_switch", "http_upgrade_failed"),
            Self::Reset(_) => behind(Status::BAD_GATEWAY, "reset", "connection_terminated"),
            Self::Broken(_) => behind(Status::BAD_GATEWAY, "broken", "http_protocol_error"),
            Self::TimedOut(_) => behind(Status::GATEWAY_TIMEOUT, "timed_out", "http_response_timeout"),
            Self::RequestAge => behind(Status::GATEWAY_TIMEOUT, "request_age", "http_response_timeout"),
            Self::Overloaded => ours("overloaded"),
        }
    }

    /// What the client is told.
    pub(crate) fn detail(&self) -> Cow<'static, str> {
        let of = |service: &str, rest: &str| Cow::Owned(format!("The service `{service}` {rest}."));
        match self {
            Self::Path(fault) => sentence(&fault.to_string()),
            Self::CallTimeout(fault) => sentence(&fault.to_string()),
            Self::Host => "Exactly one valid `Host` is required.".into(),
            Self::Framing => "The only transfer coding that is understood is `chunked`, once.".into(),
            Self::BrokenBody => "The request's body is malformed or ended early.".into(),
            Self::SlowBody => "The request's body did not come in time.".into(),
            Self::BodyRate => "The request's body came too slowly.".into(),
            Self::Malformed(what) => sentence(what),
            Self::HeadTooLarge => "The request's header fields are too large or too many.".into(),
            Self::TargetTooLong => "The request's target is too long.".into(),
            Self::HeadTimeout => "The request's head did not come in time.".into(),
            Self::Expectation => "The only expectation that is understood is `100-continue`.".into(),
            Self::Misdirected => "This host is not served by this connection; use one of its own.".into(),
            Self::Overloaded => "There is no room for this request now.".into(),
            Self::RequestAge => "The request took longer than one may take.".into(),
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
            Self::NoSwitch(service) => of(service, "does not switch to the protocol that was asked for"),
            Self::UpstreamTls(service) => of(service, "could not be spoken to in TLS"),
            Self::UpstreamCertificate(service) => of(service, "did not show the certificate it must have"),
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

    /// Who can put an end to it.
    pub fn blame(&self) -> Blame {
        self.row().2
    }

    /// The whole answer: problem details (RFC 9457) and the fields that belong to the status.
    pub fn answer(&self, from: &Speaker<'_>) -> (StatusCode, HeaderMap, String) {
        let (status, reason, _, proxy_error) = self.row();
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

    /// Whether the connection counts no more: whoever sends this may mean by its next bytes something else than what
    /// they would be read as, or is not to send any. In HTTP/1 the answer says so by `Connection: close`.
    pub fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::Path(_)
                | Self::Host
                | Self::Framing
                | Self::NotServed
                | Self::BrokenBody
                | Self::SlowBody
                | Self::BodyRate
                | Self::Malformed(_)
                | Self::HeadTooLarge
                | Self::TargetTooLong
                | Self::HeadTimeout
                | Self::Expectation
        )
    }

    fn status_fields(&self, from: &Speaker<'_>, headers: &mut HeaderMap) {
        if self.ends_connection() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let field = match self {
            Self::MethodNotAllowed(methods) => {
                let list: Vec<&str> = methods.iter().map(Method::as_str).collect();
                Some((header::ALLOW, list.join(", ")))
            }
            Self::Auth(fault) if !fault.is_ours() => {
                Some((header::WWW_AUTHENTICATE, challenge(fault, from.realm)))
            }
            Self::Auth(_) | Self::NoInstance(_) | Self::Overloaded => {
                Some((header::RETRY_AFTER, "1".to_owned()))
            }
            _ => None,
        };
        if let Some((name, text)) = field
            && let Ok(value) = HeaderValue::try_from(text)
        {
            headers.insert(name, value);
        }
    }
}

/// What is wrong with the request itself.
fn unreadable(status: StatusCode, reason: &'static str) -> Row {
    refused(status, reason, "http_request_error")
}

fn refused(status: StatusCode, reason: &'static str, error: &'static str) -> Row {
    (status, reason, Blame::Client, Some(error))
}

/// What is wrong behind the gateway.
fn behind(status: StatusCode, reason: &'static str, error: &'static str) -> Row {
    (status, reason, Blame::Service, Some(error))
}

/// What is wrong with the gateway itself.
fn ours(reason: &'static str) -> Row {
    (StatusCode::SERVICE_UNAVAILABLE, reason, Blame::Gateway, Some("proxy_internal_error"))
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

#[cfg(test)]
mod tests;
