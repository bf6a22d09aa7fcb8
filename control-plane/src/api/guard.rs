//! Keeps browsers from being used against the control plane: a page of another site cannot write, and a name
//! that was bent to this address (DNS rebinding) cannot even read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Uri, header};

use super::problem::Problem;
use super::strangers;
use crate::access::Visit;

/// Names that no public resolver answers for; believed only when listening beyond loopback, as between
/// containers, where `Host` is a service's name.
const PRIVATE_SUFFIXES: [&str; 4] = [".internal", ".local", ".localhost", ".svc"];

/// Which names this control plane goes by.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    listen_host: Arc<str>,
    beyond_loopback: bool,
    any_name: bool,
    /// How an origin of its own begins.
    scheme: &'static str,
}

impl Guard {
    pub(super) fn new(listen: &str, address: SocketAddr) -> Self {
        let listen_host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
        Self {
            listen_host: listen_host.into(),
            beyond_loopback: !address.ip().is_loopback(),
            any_name: false,
            scheme: "http://",
        }
    }

    /// As [`Guard::new`], for what is reached by any name once it listens beyond loopback.
    pub(super) fn of_any_name(listen: &str, address: SocketAddr) -> Self {
        Self { any_name: true, ..Self::new(listen, address) }
    }

    /// With TLS every name is taken: no browser goes on to a page whose name the certificate does not have.
    pub(super) fn over_tls(self, is_tls: bool) -> Self {
        if !is_tls {
            return self;
        }
        Self { any_name: true, beyond_loopback: true, scheme: "https://", ..self }
    }

    fn knows(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.trim_end_matches('.');
        host.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case(&self.listen_host)
            || self.beyond_loopback && (self.any_name || !host.contains('.') || is_private(host))
    }
}

fn is_private(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    PRIVATE_SUFFIXES.iter().any(|suffix| host.ends_with(suffix))
}

/// Lets a request through, or says why not.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if let Some(problem) = refuse(&guard, request.uri(), request.method(), request.headers()) {
        return problem.into_response();
    }
    let visit = request.extensions().get::<Arc<Visit>>().cloned();
    strangers::slow_down(next.run(request).await, visit.as_ref()).await
}

/// Why a request may be one that somebody else sent a browser for.
pub(super) fn refuse(guard: &Guard, uri: &Uri, method: &Method, headers: &HeaderMap) -> Option<Problem> {
    let Some(host) = named_host(uri, headers) else {
        return Some(Problem::bad_request("the request needs one `Host` field"));
    };
    if !guard.knows(host.host()) {
        let detail = "the control plane does not go by this name; use its IP address, `localhost`, or the host of its `listen`";
        return Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    if !method.is_safe() && is_cross_site(guard, headers, &host) {
        let detail = "a page of another site asked for this; writes are taken only from the same origin or from programs";
        return Some(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    None
}

fn named_host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    if let Some(authority) = uri.authority() {
        return Some(authority.clone());
    }
    let mut fields = headers.get_all(header::HOST).iter();
    let host = fields.next()?.to_str().ok()?.parse().ok()?;
    fields.next().is_none().then_some(host)
}

fn is_cross_site(guard: &Guard, headers: &HeaderMap, host: &Authority) -> bool {
    let foreign_fetch =
        headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let foreign_origin = headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix(guard.scheme));
        !origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host.as_str()))
    });
    foreign_fetch || foreign_origin
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use axum::body::Body;

    use super::*;

    fn status(listen: &str, method: &str, headers: &[(&str, &str)]) -> Option<StatusCode> {
        status_at(&Guard::new(listen, listen.replace("plane", "10.0.0.1").parse().unwrap()), method, headers)
    }

    fn status_at(guard: &Guard, method: &str, headers: &[(&str, &str)]) -> Option<StatusCode> {
        let mut request = Request::builder().method(method).uri("/v1/routes");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let problem = refuse(guard, request.uri(), request.method(), request.headers())?;
        Some(problem.into_response().status())
    }

    #[test]
    fn over_tls_the_certificate_says_which_names_there_are() {
        let guard = Guard::new("127.0.0.1:7070", "127.0.0.1:7070".parse().unwrap());
        assert!(!guard.knows("control.example"));
        assert!(!guard.clone().over_tls(false).knows("control.example"));
        assert!(guard.over_tls(true).knows("control.example"));
        let guard = Guard::new("10.0.0.1:7070", "10.0.0.1:7070".parse().unwrap()).over_tls(true);
        let from = |origin| [("host", "10.0.0.1:7070"), ("origin", origin)];
        assert_eq!(status_at(&guard, "PUT", &from("https://10.0.0.1:7070")), None);
        for origin in ["https://10.0.0.2:7070", "http://10.0.0.1:7070"] {
            assert_eq!(status_at(&guard, "PUT", &from(origin)), Some(StatusCode::FORBIDDEN), "{origin}");
        }
    }

    #[test]
    fn names_of_this_control_plane_are_known_and_others_are_not() {
        let local = "127.0.0.1:7070";
        for host in ["127.0.0.1:7070", "localhost:7070", "LOCALHOST", "[::1]:7070", "10.0.0.1"] {
            assert_eq!(status(local, "GET", &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example:7070", "plane:7070", "127.0.0.1.evil.example", "localhost.evil.example"] {
            assert_eq!(
                status(local, "GET", &[("host", host)]),
                Some(StatusCode::MISDIRECTED_REQUEST),
                "{host}"
            );
        }
        assert_eq!(status(local, "GET", &[]), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status(local, "GET", &[("host", "a"), ("host", "b")]), Some(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn between_containers_private_names_are_known_too() {
        for host in [
            "plane:7070",
            "plane.default.svc:7070",
            "plane.default.svc.cluster.local",
            "host.docker.internal",
        ] {
            assert_eq!(status("0.0.0.0:7070", "GET", &[("host", host)]), None, "{host}");
        }
        let foreign = [("host", "evil.example:7070")];
        assert_eq!(status("0.0.0.0:7070", "GET", &foreign), Some(StatusCode::MISDIRECTED_REQUEST));
    }

    #[test]
    fn another_site_cannot_write() {
        let from = |origin| [("host", "localhost:7070"), ("origin", origin)];
        for origin in ["http://evil.example", "null", "http://localhost:3000", "https://localhost:7070"] {
            assert_eq!(
                status("127.0.0.1:7070", "PUT", &from(origin)),
                Some(StatusCode::FORBIDDEN),
                "{origin}"
            );
            assert_eq!(status("127.0.0.1:7070", "GET", &from(origin)), None, "{origin}");
        }
        assert_eq!(status("127.0.0.1:7070", "PUT", &from("http://localhost:7070")), None);
        let fetched = [("host", "localhost:7070"), ("sec-fetch-site", "cross-site")];
        assert_eq!(status("127.0.0.1:7070", "POST", &fetched), Some(StatusCode::FORBIDDEN));
    }
}
