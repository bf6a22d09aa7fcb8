//! The service as the sidecar sees it over the network: whether it is ready, and whether it still takes connections.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use portreeve_proxy::client::Client;
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

/// Pauses between questions before the service is ready: short at first, because many services start at once.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(2);
/// How often a service that was ready is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Refusals in a row after which it counts as down: one may fall into a restart of its listener.
const REFUSALS: u32 = 2;

/// The service at its address.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    path: Option<String>,
    client: Client,
    looks: Interval,
    is_up: bool,
    refusals: u32,
}

impl App {
    /// `path` must answer 2xx for the service to be ready; without it an accepted connection is enough.
    pub(crate) fn new(address: SocketAddr, path: Option<String>, client: Client) -> Self {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { address, path, client, looks, is_up: true, refusals: 0 }
    }

    /// Waits until it is ready. False when it was not within `limit`.
    pub(crate) async fn is_ready_within(&self, limit: Duration) -> bool {
        let ready = async {
            let mut pause = PAUSE.0;
            while !self.is_ready().await {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        };
        timeout(limit, ready).await.is_ok()
    }

    async fn is_ready(&self) -> bool {
        let Some(path) = &self.path else {
            return self.takes_connections().await;
        };
        let uri = format!("http://{}{path}", self.address);
        let Ok(request) = Request::get(uri).body(Empty::<Bytes>::new()) else { return false };
        let answer = timeout(QUESTION, self.client.open(request)).await;
        matches!(answer, Ok(Ok(answer)) if answer.status().is_success())
    }

    /// Whether anybody takes connections at its address.
    pub(crate) async fn takes_connections(&self) -> bool {
        matches!(timeout(QUESTION, TcpStream::connect(self.address)).await, Ok(Ok(_)))
    }

    /// Waits until it stops taking connections or takes them again, and gives which. Begins with a service that
    /// takes them. Can be dropped and asked again.
    pub(crate) async fn changed(&mut self) -> bool {
        loop {
            self.looks.tick().await;
            self.refusals = if self.refuses().await { self.refusals.saturating_add(1) } else { 0 };
            // One connection is enough to be up again; in between it stays what it was.
            let is_up = match self.refusals {
                0 => true,
                REFUSALS.. => false,
                _ => self.is_up,
            };
            if is_up != self.is_up {
                self.is_up = is_up;
                return is_up;
            }
        }
    }

    /// A service too busy to accept in time does not refuse: taking it out would only move its load to the others.
    async fn refuses(&self) -> bool {
        matches!(timeout(LOOK_EVERY, TcpStream::connect(self.address)).await, Ok(Err(_)))
    }
}
