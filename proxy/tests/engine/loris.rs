//! Thousands of clients that send a byte of their head a second: the others must not feel them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::client::{Client, limited};
use crate::origin::Origin;
use crate::stage::{config, everything, start, with};

const SLOW: usize = 2_000;
const REQUESTS: usize = 1_000;
const ROUNDS: usize = 3;
/// What a shared machine may add to the slowest answers by itself.
const NOISE: Duration = Duration::from_millis(5);

/// Both ends of each connection are in this process.
pub(crate) fn raise_the_limit_of_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    assert!(limit.current.is_none_or(|most| most > 3 * SLOW as u64), "too few descriptors: {limit:?}");
}

/// Opens the slow connections and keeps them at it until it is aborted.
async fn trickle(to: SocketAddr) -> JoinHandle<()> {
    let mut streams = Vec::with_capacity(SLOW);
    for _ in 0..SLOW {
        streams.push(limited(TcpStream::connect(to)).await.unwrap());
    }
    tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ".iter().chain(std::iter::repeat(&b'x')) {
            for stream in &mut streams {
                stream.write_all(&[*byte]).await.expect("a slow client was ended before its time");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
}

/// The time that 99 of 100 requests stay below.
async fn slowest(to: SocketAddr) -> Duration {
    let mut client = Client::connect(to).await;
    let mut took = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let began = Instant::now();
        assert_eq!(client.get("/").await.status, 200);
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[REQUESTS * 99 / 100]
}

#[tokio::test]
async fn slow_heads_are_not_felt_by_others() {
    raise_the_limit_of_descriptors();
    let origin = Origin::saying("ok").await;
    let limits = json!({"header_timeout": "120s", "connections": 10_000, "connections_per_client": 5_000});
    let gateway = start(with(config(&[&origin], everything()), "limits", limits)).await;
    let address = gateway.local_addrs().listen;
    slowest(address).await;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(slowest(address).await);
        let slow = trickle(address).await;
        beside.push(slowest(address).await);
        assert!(!slow.is_finished());
        slow.abort();
        let _ = slow.await;
    }
    alone.sort_unstable();
    beside.sort_unstable();
    let (alone, beside) = (alone[ROUNDS / 2], beside[ROUNDS / 2]);
    assert!(beside <= alone.mul_f64(1.2) + NOISE, "{alone:?} alone, {beside:?} beside {SLOW} slow ones");
    gateway.shutdown().await;
}
