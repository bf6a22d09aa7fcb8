//! Connections: accepts them, bounds their number and their patience, and lets them finish at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use portreeve_tls::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::tls;

/// Connections at one time; further ones wait to be accepted.
const CONNECTIONS: usize = 16_384;
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

/// Serves until `stopping` says so (or its sender is gone), then drains. Plain text is spoken without an acceptor.
pub(crate) async fn serve(
    (listener, acceptor): (TcpListener, Option<Acceptor>),
    app: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                prepare(&stream);
                let served = Served { app: app.clone(), watcher: graceful.watcher(), permit };
                match &acceptor {
                    None => drop(tokio::spawn(served.by(stream))),
                    Some(acceptor) => {
                        let (acceptor, leaving) = (acceptor.clone(), stopping.clone());
                        tokio::spawn(served.once_greeted(acceptor, (stream, peer), leaving));
                    }
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

fn prepare(stream: &TcpStream) {
    // Without these a stream is slower or a dead peer is noticed later; neither is worth a refusal.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(SILENCE));
}

/// What a connection is given.
struct Served {
    app: Router,
    watcher: Watcher,
    permit: OwnedSemaphorePermit,
}

impl Served {
    async fn by(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.app));
        if let Err(fault) = self.watcher.watch(connection).await {
            tracing::debug!(%fault, "a connection ended");
        }
        drop(self.permit);
    }

    /// In a task of its own already, so that no handshake waits for another. A stop ends those under way.
    async fn once_greeted(
        self,
        acceptor: Acceptor,
        (stream, peer): (TcpStream, SocketAddr),
        mut stopping: watch::Receiver<bool>,
    ) {
        // In a box, which is gone before the first request.
        let greeting = Box::pin(tls::greet(&acceptor, stream, peer));
        let greeted = tokio::select! {
            greeted = greeting => greeted,
            _ = stopping.wait_for(|stop| *stop) => None,
        };
        drop((acceptor, stopping));
        if let Some(stream) = greeted {
            self.by(stream).await;
        }
    }
}
