//! The engine room: all socket I/O of the data plane. One thread a worker, each with its own event loop, its own
//! `SO_REUSEPORT` listener and its own pool of connections to instances; a request never changes its thread.

mod accept;
mod admin;
mod alarm;
mod body;
mod connection;
mod forward;
mod frames;
mod h1;
mod h2;
mod listener;
mod rate;
pub(crate) mod stream;
mod tunnel;
mod upstream;
mod visit;
mod wire;
mod worker;

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use portreeve_config::Limits;
use tokio::sync::{oneshot, watch};

pub use admin::{AdminServer, Report};
pub use listener::ListenError;

use crate::plane::Plane;
use crate::reload::Live;

/// What a server is started with.
pub struct ServerSettings {
    /// Where clients connect. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// Threads.
    pub workers: usize,
    /// What clients may send and hold.
    pub limits: Limits,
}

/// A running server. Dropping it closes the listeners and lets go of connections without waiting; use
/// [`Server::drain`] for a stop that nobody notices.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    threads: Vec<(JoinHandle<()>, oneshot::Receiver<()>)>,
}

impl Server {
    /// Binds the listeners and starts the workers.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be listened on or a thread cannot be started.
    pub fn start(
        settings: &ServerSettings,
        plane: &Arc<Plane>,
        live: &Arc<Live>,
    ) -> Result<Self, ListenError> {
        let listeners = listener::bind(settings.listen, settings.workers)?;
        let address = listeners.address;
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::with_capacity(settings.workers);
        for (number, socket) in listeners.sockets.into_iter().enumerate() {
            let (done, finished) = oneshot::channel();
            let (ready, started) = mpsc::channel();
            let seed = worker::Seed {
                number,
                socket,
                plane: Arc::clone(plane),
                live: Arc::clone(live),
                limits: settings.limits.clone(),
                share: settings.workers,
                stop: stopped.clone(),
                ready,
            };
            let thread = std::thread::Builder::new()
                .name(format!("{}-{number}", plane.role))
                .spawn(move || {
                    accept::run(seed);
                    let _ = done.send(());
                })
                .map_err(|source| ListenError::Thread { source })?;
            threads.push((thread, finished));
            // A worker that could not begin would leave its share of the connections unanswered without a word. An
            // early return drops `stop`, which ends those that did begin.
            let ended = || Err(std::io::Error::other("it ended at once"));
            started.recv().unwrap_or_else(|_| ended()).map_err(|source| ListenError::Thread { source })?;
        }
        Ok(Self { address, stop, threads })
    }

    /// The address clients connect to, with the port that was given for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking connections, lets requests in flight finish for at most `limit`, then closes what is left.
    pub async fn drain(mut self, limit: Duration) {
        let _ = self.stop.send(true);
        let threads = std::mem::take(&mut self.threads);
        let all = async {
            for (thread, finished) in threads {
                let _ = finished.await;
                // It has said that it is done: joining only reaps it.
                let _ = thread.join();
            }
        };
        if tokio::time::timeout(limit + Duration::from_millis(500), all).await.is_err() {
            tracing::warn!(address = %self.address, "workers did not stop in time; their connections are closed");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}
