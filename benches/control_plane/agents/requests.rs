//! Requests over kept connections, one at a time on each: registrations and signs of life, own API or Eureka's.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Outcome;
use super::arguments::Arguments;
use super::instances::Instances;
use super::server::Server;

type Make = fn(&Instances, u64) -> String;

/// What all connections share: which instance is next, and when nothing more is begun.
struct Turn {
    next: Cell<u64>,
    end: u64,
    until: Option<Instant>,
    answered: Cell<u64>,
}

/// `kind=put|lease|eureka-post|eureka-put`; `seconds=` goes round and round, without it each instance has its turn once.
pub(crate) async fn measure(arguments: &Arguments) -> Outcome<()> {
    let (address, pid): (SocketAddr, u32) = (arguments.get("address")?, arguments.get("pid")?);
    let kind: String = arguments.get("kind")?;
    let instances = Instances::read(arguments)?;
    let make: Make = match kind.as_str() {
        "put" => Instances::put,
        "lease" => Instances::lease,
        "eureka-post" => Instances::eureka_post,
        "eureka-put" => Instances::eureka_put,
        other => return Err(format!("there is no kind `{other}`").into()),
    };
    let seconds: f64 = arguments.get_or("seconds", 0.0)?;
    let mut connections = Vec::new();
    for _ in 0..arguments.get_or("connections", 256)? {
        connections.push(Connection::open(address).await?);
    }
    let until = (seconds > 0.0).then(|| Instant::now() + Duration::from_secs_f64(seconds));
    let end = instances.first + instances.count;
    let turn = Rc::new(Turn { next: Cell::new(instances.first), end, until, answered: Cell::new(0) });
    let server = Server::watch(pid)?;
    let mut running = JoinSet::new();
    for connection in connections {
        running.spawn_local(connection.run(turn.clone(), instances, make));
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    println!("{{{}}}", server.spent()?.report(&kind, turn.answered.get()));
    Ok(())
}

impl Turn {
    fn take(&self, instances: &Instances) -> Option<u64> {
        let number = self.next.get();
        match self.until {
            Some(until) if Instant::now() >= until => return None,
            None if number >= self.end => return None,
            _ => {}
        }
        let following = number + 1;
        let wraps = self.until.is_some() && following >= self.end;
        self.next.set(if wraps { instances.first } else { following });
        Some(number)
    }
}

/// One kept connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024] })
    }

    async fn run(mut self, turn: Rc<Turn>, instances: Instances, make: Make) -> Outcome<()> {
        while let Some(number) = turn.take(&instances) {
            self.ask(&make(&instances, number)).await?;
            turn.answered.set(turn.answered.get() + 1);
        }
        Ok(())
    }

    /// Sends a request and reads its answer to the end; anything but a success is a fault.
    pub(crate) async fn ask(&mut self, request: &str) -> Outcome<()> {
        self.stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[filled..]).await?;
            if count == 0 {
                return Err("an answer ended too early, or is larger than 16 KiB".into());
            }
            filled += count;
            if length(&self.buffer[..filled])?.is_some_and(|length| length <= filled) {
                return Ok(());
            }
        }
    }
}

/// How long the answer is, head and body, as soon as its head is there.
fn length(answer: &[u8]) -> Outcome<Option<usize>> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&answer[..head]);
    if !text.starts_with("HTTP/1.1 2") {
        return Err(format!("answered with {}", String::from_utf8_lossy(answer)).into());
    }
    let told = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(Some(head + 4 + told.unwrap_or_default()))
}
