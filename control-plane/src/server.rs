//! Connections: accepts them, bounds their number and their patience, and lets them finish at the end.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Connections at one time; further ones wait to be accepted.
const CONNECTIONS: usize = 16_384;
/// Connections that were accepted and are not served yet.
const ARRIVED: usize = 1_024;
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
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

/// Serves until `stopping` says so (or its sender is gone), then drains.
pub(crate) async fn serve(listener: TcpListener, app: Router, stopping: watch::Receiver<bool>) {
    let (accepted, mut arrivals) = mpsc::channel(ARRIVED);
    if let Err(fault) = accept_apart(listener, accepted, stopping) {
        return tracing::error!(%fault, "the thread that accepts connections could not be started");
    }
    let graceful = GracefulShutdown::new();
    while let Some((stream, permit)) = arrivals.recv().await {
        match TcpStream::from_std(stream) {
            Ok(stream) => serve_connection(stream, permit, &app, &graceful),
            Err(fault) => tracing::warn!(%fault, "a connection could not be served"),
        }
    }
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still running when the control plane stopped");
    }
}

type Arrival = (std::net::TcpStream, OwnedSemaphorePermit);

/// Accepts on a thread of its own until `stopping`: when all nodes come at once, each has a snapshot to get before the
/// next one's turn would come, and the kernel drops those who have waited in its queue when that is full.
fn accept_apart(
    listener: TcpListener,
    accepted: mpsc::Sender<Arrival>,
    mut stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let listener = listener.into_std()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let accept = async move {
        tokio::select! {
            fault = accept_all(listener, accepted) => tracing::error!(?fault, "nothing is accepted any more"),
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    };
    let name = "portreeve-accept".to_owned();
    thread::Builder::new().name(name).spawn(move || runtime.block_on(accept)).map(drop)
}

async fn accept_all(listener: std::net::TcpListener, accepted: mpsc::Sender<Arrival>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        match accept(&listener, &connections).await {
            Ok((stream, permit)) => {
                if accepted.send((stream.into_std()?, permit)).await.is_err() {
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
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    // The semaphore is never closed; were it, the connection would be refused.
    let permit = connections.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

fn serve_connection(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    app: &Router,
    graceful: &GracefulShutdown,
) {
    // Without these a stream is slower or a dead peer is noticed later; neither is worth a refusal.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(SILENCE));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app.clone()));
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(fault) = connection.await {
            tracing::debug!(%fault, "a connection ended");
        }
        drop(permit);
    });
}
