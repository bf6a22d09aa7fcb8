//! The admin listener: `/metrics`, `/livez`, `/readyz`, `/v1/explain`. Its own address, so that none of it is ever reachable
//! through the one clients use.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portreeve_config::{Fault, Faults, SampleRequest, check, check_json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::listener::{self, ListenError, Listening};
use crate::explain::Explanation;

/// Connections served at one time; more wait.
const CONNECTIONS: usize = 64;
/// How long one connection may take in all, so that a reader who never reads keeps no place.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// The largest body of a request to be explained, in bytes.
const QUESTION: usize = 256 * 1024;

/// What the admin listener shows.
pub trait Report: Send + Sync + 'static {
    /// The text of `/metrics`.
    fn metrics(&self) -> String;
    /// Whether new requests should be sent here; `Err` says why not.
    fn ready(&self) -> Result<(), String>;
    /// What would become of a request; `None` where nothing is explained.
    ///
    /// # Errors
    /// What makes it no request that could be asked about.
    fn explain(&self, _request: &SampleRequest) -> Option<Result<Explanation, Faults>> {
        None
    }
}

/// An admin listener that does not serve yet.
pub struct AdminSocket(std::net::TcpListener);

impl AdminSocket {
    /// Listens on `address`, or goes on with the socket that an earlier process left.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be listened on.
    pub fn open(address: SocketAddr, left: Vec<OwnedFd>) -> Result<Self, ListenError> {
        let Some(left) = left.into_iter().next() else { return listener::alone(address).map(Self) };
        match Listening::from_descriptor(left) {
            Ok(Listening::Tcp(socket)) => Ok(Self(socket)),
            Ok(Listening::Unix(_)) => Err(ListenError::at(address, std::io::ErrorKind::InvalidInput.into())),
            Err(source) => Err(ListenError::at(address, source)),
        }
    }

    /// One more handle of it, for a successor.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn handle(&self) -> std::io::Result<OwnedFd> {
        self.0.try_clone().map(OwnedFd::from)
    }
}

/// A running admin listener; ends when dropped.
pub struct AdminServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl AdminServer {
    /// Listens on `address` and serves on the caller's runtime.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be listened on.
    pub async fn start(address: SocketAddr, report: Arc<dyn Report>) -> Result<Self, ListenError> {
        Self::serve(AdminSocket::open(address, Vec::new())?, report)
    }

    /// Serves on the caller's runtime.
    ///
    /// # Errors
    /// [`ListenError`] when the runtime cannot watch the socket.
    pub fn serve(socket: AdminSocket, report: Arc<dyn Report>) -> Result<Self, ListenError> {
        let told = |source| ListenError::at("the admin address", source);
        let address = socket.0.local_addr().map_err(told)?;
        let listener = TcpListener::from_std(socket.0).map_err(told)?;
        Ok(Self { address, task: tokio::spawn(serve(listener, report)) })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, report: Arc<dyn Report>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let report = Arc::clone(&report);
                tokio::spawn(async move {
                    connection(stream, report).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(stream: TcpStream, report: Arc<dyn Report>) {
    let service = service_fn(|request: Request<Incoming>| {
        let report = Arc::clone(&report);
        async move {
            Ok::<_, Infallible>(match (request.uri().path(), request.method()) {
                ("/v1/explain", &Method::POST) => explain(request, report.as_ref()).await,
                _ => answer(&request, report.as_ref()),
            })
        }
    });
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    // A peer that misbehaves only ends its own connection.
    let _ = tokio::time::timeout(CONNECTION_LIMIT, connection).await;
}

fn answer<B>(request: &Request<B>, report: &dyn Report) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "only GET is known here, and POST /v1/explain\n".into(),
        );
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, TEXT, "ok\n".into()),
        "/readyz" => match report.ready() {
            Ok(()) => text(StatusCode::OK, TEXT, "ready\n".into()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n")),
        },
        "/metrics" => text(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            report.metrics(),
        ),
        _ => text(
            StatusCode::NOT_FOUND,
            TEXT,
            "known here: /metrics, /livez, /readyz, POST /v1/explain\n".into(),
        ),
    }
}

/// Explains the request in a body. Refused to browsers: a page of another site could ask by them.
async fn explain(request: Request<Incoming>, report: &dyn Report) -> Response<Full<Bytes>> {
    let fields = request.headers();
    if fields.contains_key(header::ORIGIN) {
        return problem(StatusCode::FORBIDDEN, Faults::from(Fault::new("", "not for browsers")));
    }
    let is_json = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/json");
    if !fields.get(header::CONTENT_TYPE).is_some_and(is_json) {
        let fault = Fault::new("", "the body is to be JSON").hint("`Content-Type: application/json`");
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, fault.into());
    }
    let Ok(body) = Limited::new(request.into_body(), QUESTION).collect().await else {
        let fault = Fault::new("", format!("the body did not come, or has more than {QUESTION} bytes"));
        return problem(StatusCode::PAYLOAD_TOO_LARGE, fault.into());
    };
    match check_json(&body.to_bytes(), check::sample_request).map(|sample| report.explain(&sample)) {
        Err(faults) | Ok(Some(Err(faults))) => problem(StatusCode::UNPROCESSABLE_ENTITY, faults),
        Ok(None) => problem(StatusCode::NOT_FOUND, Fault::new("", "only a gateway explains requests").into()),
        // Plain data always serialises.
        Ok(Some(Ok(explanation))) => {
            text(StatusCode::OK, "application/json", serde_json::to_string(&explanation).unwrap_or_default())
        }
    }
}

/// Problem details (RFC 9457).
fn problem(status: StatusCode, faults: Faults) -> Response<Full<Bytes>> {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": faults.to_string(),
        "faults": faults,
    });
    text(status, "application/problem+json", body.to_string())
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
