//! Connections: accepts them, bounds their number and their patience, and lets them finish at the end.

mod pace;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use portreeve_config::ControlPlaneLimits;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt;

use crate::access::{Clients, Visit};

use pace::{Answer, Paced, Stage};

/// All header fields of a request together with its request line.
const HEAD_BYTES: usize = 64 * 1024;
/// How long sent bytes may stay unacknowledged: streams are written to every second, so a node that vanished
/// without a word is noticed after this.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(5);
/// How long running requests get to finish when the control plane stops.
const DRAIN: Duration = Duration::from_secs(5);
/// The pause after an accept that failed, as it does while no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is served to whom.
#[derive(Clone)]
pub(crate) struct Door {
    app: Router,
    limits: ControlPlaneLimits,
    clients: Arc<Clients>,
    /// What a client is told that asks too often.
    too_fast: fn() -> Response,
}

impl Door {
    pub(crate) fn new(app: Router, limits: &ControlPlaneLimits, too_fast: fn() -> Response) -> Self {
        Self { app, limits: limits.clone(), clients: Clients::new(limits), too_fast }
    }

    /// One request of a client.
    async fn answer(
        self,
        mut request: Request<Incoming>,
        visit: Arc<Visit>,
        stage: Arc<Stage>,
    ) -> Result<http::Response<Answer>, Infallible> {
        stage.begin();
        let response = if !visit.client.ask() {
            (self.too_fast)()
        } else if head_bytes(&request) > HEAD_BYTES {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response()
        } else {
            request.extensions_mut().insert(visit);
            let Ok(response) = self.app.oneshot(request).await;
            response
        };
        Ok(response.map(|body| stage.answer(body)))
    }
}

/// What a head takes up. hyper bounds its buffer, which may be somewhat larger.
fn head_bytes<T>(request: &Request<T>) -> usize {
    let uri = request.uri();
    let target = uri.path().len() + uri.query().map_or(0, str::len);
    request.headers().iter().fold(target, |sum, (name, value)| sum + name.as_str().len() + value.len())
}

/// Serves until `stopping` says so (or its sender is gone), then drains.
pub(crate) async fn serve(listener: TcpListener, door: Door, mut stopping: watch::Receiver<bool>) {
    let connections = Arc::new(Semaphore::new(door.limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                // One that is too many is closed by being dropped.
                if let Some(visit) = door.clients.enter(peer) {
                    serve_connection(stream, (visit, permit), &door, &graceful);
                }
            }
            Err(fault) => {
                tracing::warn!(%fault, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still running when the control plane stopped");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // The semaphore is never closed; were it, the connection would be refused.
    let permit = connections.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

fn serve_connection(
    stream: TcpStream,
    (visit, permit): (Visit, OwnedSemaphorePermit),
    door: &Door,
    graceful: &GracefulShutdown,
) {
    // Without these a stream is slower or a dead peer is noticed later; neither is worth a refusal.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(SILENCE));
    let (visit, stage) = (Arc::new(visit), Arc::new(Stage::default()));
    let stream = Paced::new(stream, stage.clone(), door.limits.header_timeout.get());
    let idle_timeout = door.limits.idle_timeout.get();
    let door = door.clone();
    let service = service_fn(move |request| door.clone().answer(request, visit.clone(), stage.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        match connection.await {
            Err(fault) if fault.is_parse() => tracing::warn!(%fault, "what a client sent is no request"),
            Err(fault) => tracing::debug!(%fault, "a connection ended"),
            Ok(()) => {}
        }
        drop(permit);
    });
}
