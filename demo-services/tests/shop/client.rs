//! A small HTTP client, services started for one test, and polling with a limit.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portreeve_demo_services::{RunningService, Settings, ShopService, start};
use serde_json::Value;

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The same answer, once it is known to be a well-formed problem of this status.
    #[track_caller]
    pub(crate) fn problem(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert!(self.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        assert!(self.headers.contains_key("server-port"));
        self
    }

    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// The pointers of all field faults.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let faults = self.body["errors"].as_array().expect("errors");
        faults.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect()
    }
}

/// One request on a connection of its own.
pub(crate) async fn send(
    address: SocketAddr,
    request: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let (method, path) = request.split_once(' ').unwrap();
    let mut builder =
        Request::builder().method(method.parse::<Method>().unwrap()).uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(builder.body(Full::new(body.into())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, &format!("GET {path}"), &[], "").await
}

/// A request with a JSON body.
pub(crate) async fn send_json(address: SocketAddr, request: &str, body: Value) -> Answer {
    send(address, request, &[("content-type", "application/json")], body.to_string()).await
}

/// The same as a user that a gateway has let in.
pub(crate) async fn send_as(address: SocketAddr, user: &str, request: &str, body: Value) -> Answer {
    let headers = [("content-type", "application/json"), ("x-user-id", user)];
    send(address, request, &headers, body.to_string()).await
}

pub(crate) fn settings(folder: &Path) -> Settings {
    Settings::new(([127, 0, 0, 1], 0).into(), folder)
}

/// A service with nothing around it.
pub(crate) async fn alone(service: ShopService, folder: &Path) -> RunningService {
    start(service, settings(folder)).await.unwrap()
}

/// Asks again every few milliseconds until the answer is yes; fails after ten seconds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut asked: impl FnMut() -> F) -> Duration {
    let began = Instant::now();
    while !asked().await {
        assert!(began.elapsed() < Duration::from_secs(10), "waited ten seconds until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}
