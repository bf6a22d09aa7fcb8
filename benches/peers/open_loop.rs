//! A generator with a fixed rate: requests are sent when they are due, whether earlier ones were answered or not, and
//! each is timed from the moment it was due, so that a server that stops for a moment is charged for everything that
//! waited meanwhile. Prints latencies as JSON. Only the standard library, so that `rustc` alone can build it.
#![allow(clippy::expect_used)]

use std::env;
use std::fmt::Display;
use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "open_loop ADDRESS PATH REQUESTS_PER_SECOND CONNECTIONS SECONDS";
/// The part of the time at its begin that is not counted: connections and caches are new.
const WARM_UP: f64 = 0.2;
/// A server that says nothing for this long has failed.
const SILENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match read_arguments().map_err(|fault| format!("{fault}\nusage: {USAGE}")).and_then(|plan| measure(&plan))
    {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for.
struct Plan {
    address: SocketAddr,
    request: Vec<u8>,
    rate: f64,
    connections: u32,
    seconds: f64,
}

fn read_arguments() -> std::result::Result<Plan, String> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [address, path, rate, connections, seconds] = &words[..] else {
        return Err(format!("five words are needed, not {}", words.len()));
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n").into_bytes();
    let plan = Plan {
        address: read(address)?,
        request,
        rate: read(rate)?,
        connections: read(connections)?,
        seconds: read(seconds)?,
    };
    let is_sound = plan.rate >= 1.0 && plan.connections >= 1 && plan.seconds > 0.0;
    if is_sound {
        Ok(plan)
    } else {
        Err("rate, connections and seconds must be more than nothing".to_owned())
    }
}

fn read<T: FromStr<Err: Display>>(word: &str) -> std::result::Result<T, String> {
    word.parse().map_err(|fault| format!("`{word}`: {fault}"))
}

fn measure(plan: &Plan) -> std::result::Result<String, String> {
    // A thread may be woken 50 µs late otherwise, which would be counted as latency. Where it cannot be set, it is.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    let gate = Barrier::new(plan.connections as usize + 1);
    let begin = Instant::now() + Duration::from_millis(200);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let client = |number| {
            let gate = &gate;
            scope.spawn(move || {
                let stream = connect(plan.address);
                gate.wait();
                stream.and_then(|stream| Connection::new(stream).run(plan, number, begin))
            })
        };
        let clients: Vec<_> = (0..plan.connections).map(client).collect();
        gate.wait();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    let mut latencies = Vec::new();
    for outcome in outcomes {
        latencies.extend(outcome.map_err(|fault| format!("{}: {fault}", plan.address))?);
    }
    latencies.sort_unstable();
    report(plan, &latencies)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, SILENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    Ok(stream)
}

/// One connection with its own share of the requests: the others' are due in between.
struct Connection {
    stream: TcpStream,
    buffer: Box<[u8; 16 * 1024]>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Box::new([0; 16 * 1024]) }
    }

    /// Latencies of all requests that were due after the warm-up.
    fn run(mut self, plan: &Plan, number: u32, begin: Instant) -> Result<Vec<Duration>> {
        let expected = plan.rate * plan.seconds / f64::from(plan.connections);
        let mut latencies = Vec::with_capacity(expected as usize + 1);
        for turn in 0_u32.. {
            let at = (f64::from(number) + f64::from(turn) * f64::from(plan.connections)) / plan.rate;
            if at >= plan.seconds {
                break;
            }
            let due = begin + Duration::from_secs_f64(at);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.stream.write_all(&plan.request)?;
            self.read_answer()?;
            if at >= plan.seconds * WARM_UP {
                latencies.push(due.elapsed());
            }
        }
        Ok(latencies)
    }

    /// Reads one answer to its end; anything but a 200 with a `Content-Length` that fits is a failure.
    fn read_answer(&mut self) -> Result<()> {
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[filled..])?;
            if count == 0 {
                return Err(Error::other("an answer ended too early, or is larger than 16 KiB"));
            }
            filled += count;
            match length(&self.buffer[..filled])? {
                Some(whole) if whole == filled => return Ok(()),
                Some(whole) if whole < filled => return Err(Error::other("more bytes than the answer has")),
                _ => {}
            }
        }
    }
}

/// How long the answer is, head and body, as soon as its head is there.
fn length(answer: &[u8]) -> Result<Option<usize>> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    if !answer.starts_with(b"HTTP/1.1 200") {
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        return Err(Error::other(format!("answered with {}", String::from_utf8_lossy(line))));
    }
    let told = answer[..head].split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked("content-length:".len())?;
        name.eq_ignore_ascii_case(b"content-length:")
            .then(|| str::from_utf8(value).ok()?.trim().parse().ok())?
    });
    let body: usize = told.ok_or_else(|| Error::other("an answer without Content-Length"))?;
    Ok(Some(head + 4 + body))
}

/// Percentiles in microseconds, each a latency that was measured (nearest rank).
fn report(plan: &Plan, latencies: &[Duration]) -> std::result::Result<String, String> {
    let at = |share: f64| {
        let rank = (share * latencies.len() as f64).ceil() as usize;
        latencies.get(rank.saturating_sub(1)).map(|latency| latency.as_secs_f64() * 1e6)
    };
    let [Some(p50), Some(p90), Some(p99), Some(p999), Some(max)] = [0.5, 0.9, 0.99, 0.999, 1.0].map(at)
    else {
        return Err("no request was due after the warm-up".to_owned());
    };
    let asked = format!(r#""requests":{},"rate":{}"#, latencies.len(), plan.rate);
    let most = format!(r#""p50":{p50:.1},"p90":{p90:.1},"p99":{p99:.1}"#);
    Ok(format!(r#"{{{asked},{most},"p99.9":{p999:.1},"max":{max:.1}}}"#))
}
