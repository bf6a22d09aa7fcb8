//! A stand-in for the sidecar's outbound proxy: passes requests on by `Host`, and breaks them where a test
//! asks for it.

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

/// What goes wrong with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered with 503 and never passed on.
    Down,
    /// It is neither passed on nor answered.
    HangBefore,
    /// It is passed on, and the answer is lost.
    HangAfter,
}

#[derive(Clone)]
pub(crate) struct FakeOutbound {
    pub(crate) uri: Uri,
    inside: Arc<Inside>,
}

struct Inside {
    client: Client<HttpConnector, Body>,
    addresses: Mutex<HashMap<String, SocketAddr>>,
    faults: Mutex<HashMap<String, Fault>>,
    seen: Mutex<Vec<String>>,
    storm: AtomicBool,
}

impl FakeOutbound {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let inside = Arc::new(Inside {
            client: Client::builder(TokioExecutor::new()).build_http(),
            addresses: Mutex::default(),
            faults: Mutex::default(),
            seen: Mutex::default(),
            storm: AtomicBool::new(false),
        });
        let app = Router::new().fallback(pass_on).with_state(Arc::clone(&inside));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { uri, inside }
    }

    pub(crate) fn route(&self, service: &str, address: SocketAddr) {
        self.inside.addresses.lock().unwrap().insert(service.to_owned(), address);
    }

    /// `place` is a service, or a service with a path (`payments/payments`).
    pub(crate) fn break_at(&self, place: &str, fault: Fault) {
        self.inside.faults.lock().unwrap().insert(place.to_owned(), fault);
    }

    pub(crate) fn mend(&self, place: &str) {
        self.inside.faults.lock().unwrap().remove(place);
    }

    /// While it storms, three of seven requests go wrong, each in another way.
    pub(crate) fn storm(&self, storms: bool) {
        self.inside.storm.store(storms, Ordering::Relaxed);
    }

    /// How many requests came for a service and path.
    pub(crate) fn seen(&self, place: &str) -> usize {
        self.inside.seen.lock().unwrap().iter().filter(|seen| *seen == place).count()
    }
}

async fn pass_on(State(inside): State<Arc<Inside>>, mut request: Request) -> Response {
    let service = request.headers()["host"].to_str().unwrap().to_owned();
    let place = format!("{service}{}", request.uri().path());
    let number = {
        let mut seen = inside.seen.lock().unwrap();
        seen.push(place.clone());
        seen.len()
    };
    let fault = match number % 7 {
        1 if inside.storm.load(Ordering::Relaxed) => Some(Fault::Down),
        3 if inside.storm.load(Ordering::Relaxed) => Some(Fault::HangAfter),
        5 if inside.storm.load(Ordering::Relaxed) => Some(Fault::HangBefore),
        _ => {
            let faults = inside.faults.lock().unwrap();
            faults.get(&place).or_else(|| faults.get(&service)).copied()
        }
    };
    let address = inside.addresses.lock().unwrap().get(&service).copied();
    let (Some(address), false) = (address, fault == Some(Fault::Down)) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    if fault == Some(Fault::HangBefore) {
        return pending().await;
    }
    *request.uri_mut() = format!("http://{address}{}", request.uri().path()).parse().unwrap();
    // A task of its own: the caller's going away must not keep the request from arriving.
    let client = inside.client.clone();
    let answer = tokio::spawn(async move { client.request(request).await }).await.unwrap();
    if fault == Some(Fault::HangAfter) {
        return pending().await;
    }
    match answer {
        Ok(answer) => answer.into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
