//! One worker: a thread, its event loop, its listener, its connections to instances.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use portreeve_config::Limits;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use super::connection;
use super::upstream::Upstreams;
use crate::metrics::PlaneStats;
use crate::plane::{Pinned, Plane};
use crate::reload::Live;
use crate::snapshot::Snapshot;

/// How long accepting pauses when the process has no file descriptor left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// What a worker's thread is started with.
pub(super) struct Seed {
    pub(super) number: usize,
    pub(super) socket: TcpListener,
    pub(super) plane: Arc<Plane>,
    pub(super) live: Arc<Live>,
    pub(super) limits: Limits,
    /// Workers in all: each takes its share of the connections.
    pub(super) share: usize,
    pub(super) stop: watch::Receiver<bool>,
    /// Told once, when the worker serves or why it cannot.
    pub(super) ready: mpsc::Sender<io::Result<()>>,
}

/// A worker as its connections see it.
pub(super) struct Worker {
    pub(super) plane: Arc<Plane>,
    pub(super) limits: Limits,
    pub(super) upstreams: Rc<Upstreams>,
    pub(super) stop: watch::Receiver<bool>,
    number: usize,
    live: Arc<Live>,
    pinned: RefCell<(Arc<Snapshot>, Arc<Pinned>)>,
    open: Cell<usize>,
    max_open: usize,
}

impl Worker {
    /// Serves until it is told to stop and its connections have ended or their time is up.
    pub(super) fn run(seed: Seed) {
        let ready = seed.ready.clone();
        let outcome = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .and_then(|runtime| runtime.block_on(serve(seed)));
        // After it has served, nobody listens any more.
        let _ = ready.send(outcome);
    }

    fn new(seed: &Seed) -> Self {
        let snapshot = seed.live.load();
        let pinned = pin(&seed.plane, &snapshot, seed.number);
        Self {
            plane: Arc::clone(&seed.plane),
            limits: seed.limits.clone(),
            upstreams: Rc::new(Upstreams::new(&seed.limits)),
            stop: seed.stop.clone(),
            number: seed.number,
            live: Arc::clone(&seed.live),
            pinned: RefCell::new((snapshot, pinned)),
            open: Cell::new(0),
            max_open: seed.limits.connections.div_ceil(seed.share),
        }
    }

    /// The configuration in force, for one request.
    pub(super) fn pin(&self) -> Arc<Pinned> {
        let mut pinned = self.pinned.borrow_mut();
        if !self.live.is_current(&pinned.0) {
            let snapshot = self.live.load();
            *pinned = (Arc::clone(&snapshot), pin(&self.plane, &snapshot, self.number));
        }
        Arc::clone(&pinned.1)
    }

    fn admit(self: &Rc<Self>) -> Option<OpenConnection> {
        if self.open.get() >= self.max_open {
            PlaneStats::count(&self.plane.stats.connections_refused);
            return None;
        }
        self.open.set(self.open.get() + 1);
        self.plane.stats.connections.fetch_add(1, Ordering::Relaxed);
        Some(OpenConnection(Rc::clone(self)))
    }
}

fn pin(plane: &Arc<Plane>, snapshot: &Arc<Snapshot>, worker: usize) -> Arc<Pinned> {
    Arc::new(Pinned { plane: Arc::clone(plane), snapshot: Arc::clone(snapshot), worker })
}

/// Counts a connection for as long as it lives.
struct OpenConnection(Rc<Worker>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.plane.stats.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(seed: Seed) -> io::Result<()> {
    let worker = Rc::new(Worker::new(&seed));
    let mut stop = seed.stop.clone();
    let listener = tokio::net::TcpListener::from_std(seed.socket)?;
    tokio::task::spawn_local(Upstreams::close_idle(Rc::downgrade(&worker.upstreams)));
    // Whoever started this thread waits for it.
    let _ = seed.ready.send(Ok(()));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => start(&worker, stream, peer.ip()),
                Err(error) if is_one_connections(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "connections cannot be accepted just now; raise the open file limit");
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            },
            // The sender's end means that the server was dropped.
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    take_those_that_wait(&worker, listener)?;
    wait_for_connections(&worker).await;
    Ok(())
}

/// Closing a listener resets the connections that the kernel has made and nobody has accepted yet: their clients
/// have sent requests already.
fn take_those_that_wait(worker: &Rc<Worker>, listener: tokio::net::TcpListener) -> io::Result<()> {
    let listener = listener.into_std()?;
    while let Ok((stream, peer)) = listener.accept() {
        stream.set_nonblocking(true)?;
        start(worker, TcpStream::from_std(stream)?, peer.ip());
    }
    Ok(())
}

fn start(worker: &Rc<Worker>, stream: TcpStream, peer: std::net::IpAddr) {
    let Some(open) = worker.admit() else { return };
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        connection::serve(worker, stream, peer).await;
        drop(open);
    });
}

/// Faults of the one connection that was being accepted; the listener itself is in order.
fn is_one_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn wait_for_connections(worker: &Worker) {
    let deadline = tokio::time::Instant::now() + worker.limits.drain.get();
    while worker.open.get() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
