//! How often a proxied request asks the heap for memory: a whole gateway with sockets, asked 10,000 times after it has
//! warmed up. Client and origins are blocking threads with fixed buffers, so that what is counted is the gateway's.
//!
//! Ends with 1 when there are more than [`GATE`] a request. With `-- --save FILE` also tells where they come from, for
//! dhat's viewer; the profile `profiling` gives it names: `cargo bench --profile profiling --bench allocations`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use portreeve::{Gateway, GatewayConfig};
use serde_json::json;

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

const GATE: f64 = 25.0;
const GOAL: f64 = 12.0;
const WARM_UP: u32 = 1_000;
const REQUESTS: u32 = 10_000;
/// Of the calls that lead to an allocation, for the viewer.
const FRAMES: usize = 32;

const REQUEST: &[u8] = b"GET /json HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: allocations\r\n\
    Accept: application/json\r\nAccept-Encoding: gzip, br\r\nAccept-Language: en\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 47\r\n\
    Date: Tue, 01 Sep 2026 12:00:00 GMT\r\n\r\n{\"id\":1,\"name\":\"Lamp\",\"price\":12.5,\"stock\":10 }";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // Without `--bench` it is a test run, which only shows that it works.
    let requests = if words.iter().any(|word| word == "--bench") { REQUESTS } else { 100 };
    let save = words.iter().position(|word| word == "--save").and_then(|at| words.get(at + 1));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let gateway = runtime.block_on(Gateway::builder().config(config()).serve()).expect("a gateway");
    let mut client = Client::connect(gateway.local_addrs().listen);
    client.ask(WARM_UP);

    let profiler = match save {
        Some(path) => {
            dhat::Profiler::builder().file_name(PathBuf::from(path)).trim_backtraces(Some(FRAMES)).build()
        }
        None => dhat::Profiler::builder().testing().build(),
    };
    client.ask(requests);
    let counted = dhat::HeapStats::get();
    drop((profiler, client));
    runtime.block_on(gateway.shutdown());

    let each = counted.total_blocks as f64 / f64::from(requests);
    let bytes = counted.total_bytes as f64 / f64::from(requests);
    let word = |holds| if holds { "PASS" } else { "miss" };
    println!("allocations for a request: {each:.2}, of {bytes:.0} bytes, over {requests} requests");
    println!("gate ≤ {GATE}: {}; goal ≤ {GOAL}: {}", word(each <= GATE), word(each <= GOAL));
    if each <= GATE { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One route, two endpoints in turn; everything else as it is by default, but the access log.
fn config() -> GatewayConfig {
    let endpoints = [origin().to_string(), origin().to_string()];
    let written = json!({
        "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1, "access_log": "off",
        "services": {"origin": {"endpoints": endpoints}},
        "routes": [{"name": "all", "match": {"path": "/*"}, "service": "origin"}],
    });
    serde_json::from_value(written).expect("a configuration")
}

/// An endpoint that answers whatever ends with an empty line, on connections that stay open.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let (mut buffer, mut filled) = ([0; 8 * 1024], 0);
    stream.set_nodelay(true).expect("a socket");
    while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += count;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

/// A client that allocates nothing while it asks.
struct Client {
    stream: TcpStream,
    buffer: [u8; 8 * 1024],
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the gateway");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        Self { stream, buffer: [0; 8 * 1024] }
    }

    /// So many requests, each after the answer to the one before.
    fn ask(&mut self, requests: u32) {
        for _ in 0..requests {
            self.stream.write_all(REQUEST).expect("the gateway reads");
            let mut filled = 0;
            // The body is the end of the answer, and nothing else in it ends so.
            while !self.buffer[..filled].ends_with(b"10 }") {
                let count = self.stream.read(&mut self.buffer[filled..]).expect("the gateway answers");
                filled += count;
                assert!(count > 0 && self.buffer.starts_with(b"HTTP/1.1 200"), "a whole answer with 200");
            }
        }
    }
}
