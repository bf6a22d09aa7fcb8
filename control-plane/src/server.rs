//! Connections: accepts them, bounds their number and their patience, hands over those that become streams, and lets all
//! finish at the end.

mod pace;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use portreeve_config::ControlPlaneLimits;
use portreeve_tls::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tower::ServiceExt;

use crate::access::{Clients, Visit};
use crate::tls;

use pace::{Answer, Paced, Patience, Stage};

/// Connections that were accepted and are not served yet.
const ARRIVED: usize = 1_024;
/// All header fields of a request together with its request line.
const HEAD_BYTES: usize = 64 * 1024;
/// How long sent bytes may stay unacknowledged: streams are written to every two seconds, so a node that vanished
/// without a word is noticed after this.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(5);
/// How long running requests and streams get to finish when the control plane stops.
const DRAIN: Duration = Duration::from_secs(5);
/// The pause after an accept that failed, as it does while no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is spoken on: plain text or TLS.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Who answers requests.
pub(crate) trait Serve: Send + Sync + 'static {
    fn serve(&self, request: Request<Incoming>, visit: &Arc<Visit>) -> impl Future<Output = Response> + Send;
}

impl Serve for Router {
    async fn serve(&self, mut request: Request<Incoming>, visit: &Arc<Visit>) -> Response {
        request.extensions_mut().insert(visit.clone());
        let Ok(response) = self.clone().oneshot(request).await;
        response
    }
}

/// What is served to whom.
pub(crate) struct Door<S> {
    server: Arc<S>,
    limits: ControlPlaneLimits,
    clients: Arc<Clients>,
    /// What a client is told that asks too often.
    too_fast: fn() -> Response,
}

impl<S: Serve> Door<S> {
    pub(crate) fn new(server: Arc<S>, limits: &ControlPlaneLimits, too_fast: fn() -> Response) -> Arc<Self> {
        Arc::new(Self { server, limits: limits.clone(), clients: Clients::new(limits), too_fast })
    }

    /// One request of a client.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        visit: Arc<Visit>,
        stage: Arc<Stage>,
    ) -> Result<http::Response<Answer>, Infallible> {
        stage.begin();
        let response = if !visit.client.ask() {
            (self.too_fast)()
        } else if head_bytes(&request) > HEAD_BYTES {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response()
        } else {
            self.server.serve(request, &visit).await
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

/// Serves until `stopping` says so (or its sender is gone), then drains. Plain text is spoken without an acceptor.
pub(crate) async fn serve<S: Serve>(
    (listener, acceptor): (TcpListener, Option<Acceptor>),
    door: Arc<Door<S>>,
    stopping: watch::Receiver<bool>,
) {
    let (accepted, mut arrivals) = mpsc::channel(ARRIVED);
    let connections = Arc::new(Semaphore::new(door.limits.connections));
    let all = u32::try_from(door.limits.connections).unwrap_or(u32::MAX);
    let entering = Entering { clients: door.clients.clone(), connections: connections.clone(), accepted };
    if let Err(fault) = entering.apart(listener, stopping.clone()) {
        return tracing::error!(%fault, "the thread that accepts connections could not be started");
    }
    while let Some(Arrival { stream, visit }) = arrivals.recv().await {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(fault) => {
                tracing::warn!(%fault, "a connection could not be served");
                continue;
            }
        };
        prepare(&stream);
        let served = Served { door: door.clone(), visit, stopping: stopping.clone() };
        match &acceptor {
            None => drop(tokio::spawn(served.by(Box::new(stream)))),
            Some(acceptor) => drop(tokio::spawn(served.once_greeted(acceptor.clone(), stream))),
        }
    }
    // Each connection gives its place back at its end, whatever became of it.
    if tokio::time::timeout(DRAIN, connections.acquire_many(all)).await.is_err() {
        tracing::warn!("some requests were still running when the control plane stopped");
    }
}

/// What is left of a connection of HTTP that goes over to something else: its socket, and what was read of that already.
pub(crate) fn handed_over(upgraded: Upgraded) -> Option<(Box<dyn Socket>, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Paced<Box<dyn Socket>>>>().ok()?;
    Some((parts.io.into_inner().into_inner(), parts.read_buf))
}

/// Who comes in, and how many.
struct Entering {
    clients: Arc<Clients>,
    connections: Arc<Semaphore>,
    accepted: mpsc::Sender<Arrival>,
}

/// A connection that is let in.
struct Arrival {
    stream: std::net::TcpStream,
    visit: Visit,
}

impl Entering {
    /// Accepts on a thread of its own until `stopping`: when all nodes come at once, each has a snapshot to get before
    /// the next one's turn would come, and the kernel drops those who have waited in its queue when that is full.
    fn apart(self, listener: TcpListener, mut stopping: watch::Receiver<bool>) -> io::Result<()> {
        let listener = listener.into_std()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let accept = async move {
            tokio::select! {
                fault = self.all(listener) => tracing::error!(?fault, "nothing is accepted any more"),
                () = told(&mut stopping) => {}
            }
        };
        let name = "portreeve-accept".to_owned();
        thread::Builder::new().name(name).spawn(move || runtime.block_on(accept)).map(drop)
    }

    async fn all(self, listener: std::net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            match self.accept(&listener).await {
                Ok((stream, peer, place)) => {
                    // One that is too many is closed by being dropped.
                    let Some(mut visit) = self.clients.enter(peer) else { continue };
                    visit.place = Some(place);
                    let arrival = Arrival { stream: stream.into_std()?, visit };
                    if self.accepted.send(arrival).await.is_err() {
                        return Ok(());
                    }
                }
                Err(fault) => {
                    tracing::warn!(%fault, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        // The semaphore is never closed; were it, the connection would be refused.
        let permit = self.connections.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        Ok((stream, peer, permit))
    }
}

/// Waits until the control plane stops.
async fn told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn prepare(stream: &TcpStream) {
    // Without these a stream is slower or a dead peer is noticed later; neither is worth a refusal.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(SILENCE));
}

/// What a connection is given.
struct Served<S> {
    door: Arc<Door<S>>,
    visit: Visit,
    stopping: watch::Receiver<bool>,
}

impl<S: Serve> Served<S> {
    async fn by(self, stream: Box<dyn Socket>) {
        let Self { door, visit, mut stopping } = self;
        let (visit, stage) = (Arc::new(visit), Arc::new(Stage::default()));
        let limits = &door.limits;
        let patience = Patience { head: limits.header_timeout.get(), idle: limits.idle_timeout.get() };
        let stream = Paced::new(stream, stage.clone(), patience);
        let service = service_fn(move |request| door.clone().answer(request, visit.clone(), stage.clone()));
        let connection = http1::Builder::new()
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        match ended {
            Err(fault) if fault.is_parse() => tracing::warn!(%fault, "what a client sent is no request"),
            Err(fault) => tracing::debug!(%fault, "a connection ended"),
            Ok(()) => {}
        }
    }

    /// In a task of its own already, so that no handshake waits for another. A stop ends those under way.
    async fn once_greeted(mut self, acceptor: Acceptor, stream: TcpStream) {
        // In a box, which is gone before the first request.
        let greeting = Box::pin(tls::greet(&acceptor, stream, self.visit.peer));
        let greeted = tokio::select! {
            greeted = greeting => greeted,
            () = told(&mut self.stopping) => None,
        };
        drop(acceptor);
        if let Some(stream) = greeted {
            self.by(Box::new(stream)).await;
        }
    }
}
