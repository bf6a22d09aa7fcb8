//! The same of etcd, over gRPC as its own clients speak it: puts of what a registration holds, and watchers of one key,
//! each on a connection of its own. Its few messages are written by hand.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::arguments::Arguments;
use super::instances::Instances;
use super::server::Server;
use super::watchers::commands;
use super::{Fault, Outcome};

const CONNECTIONS: u64 = 16;
/// Requests that are under way on each.
const STREAMS: u64 = 16;
const WATCHED: &[u8] = b"/watched";
const LIMIT: Duration = Duration::from_secs(60);

/// `puts=` keys with what a registration says as their values.
pub(crate) async fn puts(arguments: &Arguments) -> Outcome<()> {
    let (address, puts): (SocketAddr, u64) = (arguments.get("address")?, arguments.get("puts")?);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(connect(address).await?);
    }
    let instances = Instances { services: 200, first: 0, count: puts };
    let server = Server::watch(arguments.get("pid")?)?;
    let (mut running, next) = (JoinSet::new(), Rc::new(Cell::new(0)));
    for client in clients.iter().flat_map(|client| (0..STREAMS).map(|_| client.clone())) {
        running.spawn_local(put_all(client, next.clone(), instances, puts));
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    println!("{{{}}}", server.spent()?.report("etcd-puts", puts));
    Ok(())
}

async fn put_all(
    client: SendRequest<Full<Bytes>>,
    next: Rc<Cell<u64>>,
    instances: Instances,
    puts: u64,
) -> Outcome<()> {
    while next.get() < puts {
        let number = next.replace(next.get() + 1);
        let key = format!("/instances/{}/{}", instances.service(number), instances.id(number));
        put(client.clone(), key.as_bytes(), instances.register_line(number).as_bytes()).await?;
    }
    Ok(())
}

async fn connect<B>(address: SocketAddr) -> Outcome<SendRequest<B>>
where
    B: Body<Data = Bytes, Error: Into<Fault>> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    Ok(client)
}

async fn put(client: SendRequest<Full<Bytes>>, key: &[u8], value: &[u8]) -> Outcome<()> {
    let mut message = BytesMut::new();
    field(&mut message, 1, key);
    field(&mut message, 2, value);
    let answer = call(client, "/etcdserverpb.KV/Put", Full::new(framed(&message))).await?;
    match answer.into_body().collect().await?.to_bytes().is_empty() {
        true => Err("etcd refused a put".into()),
        false => Ok(()),
    }
}

async fn call<B>(mut client: SendRequest<B>, path: &str, body: B) -> Outcome<Response<Incoming>>
where
    B: Body<Data = Bytes, Error: Into<Fault>> + Send + Unpin + 'static,
{
    let request = Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let answer = client.send_request(request.body(body)?).await?;
    match answer.status() {
        StatusCode::OK => Ok(answer),
        other => Err(format!("{path} was answered with {other}").into()),
    }
}

/// A field of bytes; none here is longer than 16 KiB.
fn field(message: &mut BytesMut, number: u8, bytes: &[u8]) {
    let length = bytes.len();
    message.extend_from_slice(&[number << 3 | 2]);
    match length {
        0..128 => message.extend_from_slice(&[length as u8]),
        _ => message.extend_from_slice(&[(length & 127) as u8 | 128, (length >> 7) as u8]),
    }
    message.extend_from_slice(bytes);
}

/// A message with gRPC's five bytes before it.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::from(&[0][..]);
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    frame.freeze()
}

/// What all watchers share.
struct Seen {
    created: Cell<u64>,
    events: Cell<u64>,
    last: Cell<Instant>,
    progressed: Notify,
}

/// `watchers=`; then `change` on standard input, as often as wanted.
pub(crate) async fn watchers(arguments: &Arguments) -> Outcome<()> {
    let (address, count): (SocketAddr, u64) = (arguments.get("address")?, arguments.get("watchers")?);
    let pid = arguments.get("pid")?;
    let seen = Rc::new(Seen {
        created: Cell::new(0),
        events: Cell::new(0),
        last: Cell::new(Instant::now()),
        progressed: Notify::new(),
    });
    let (server, mut running) = (Server::watch(pid)?, JoinSet::new());
    for number in 0..count {
        running.spawn_local(watch(address, seen.clone()));
        if number % 100 == 99 {
            reached(&seen, &mut running, |seen| seen.created.get() > number).await?;
        }
    }
    reached(&seen, &mut running, |seen| seen.created.get() >= count).await?;
    println!("{{{}}}", server.spent()?.report("gathered", count));
    let (writer, mut commands) = (connect(address).await?, commands());
    while commands.recv().await.is_some_and(|command| command == "change") {
        seen.events.set(0);
        let (began, server) = (Instant::now(), Server::watch(pid)?);
        put(
            writer.clone(),
            WATCHED,
            Instances { services: 1, first: 0, count: 1 }.register_line(1).as_bytes(),
        )
        .await?;
        reached(&seen, &mut running, |seen| seen.events.get() >= count).await?;
        let milliseconds = seen.last.get().duration_since(began).as_secs_f64() * 1000.0;
        println!("{{{},\"milliseconds\":{milliseconds:.2}}}", server.spent()?.report("change", count));
    }
    Ok(())
}

async fn reached(
    seen: &Seen,
    running: &mut JoinSet<Outcome<()>>,
    is_enough: impl Fn(&Seen) -> bool,
) -> Outcome<()> {
    let deadline = tokio::time::sleep(LIMIT);
    tokio::pin!(deadline);
    while !is_enough(seen) {
        tokio::select! {
            () = seen.progressed.notified() => {}
            Some(ended) = running.join_next() => ended??,
            () = &mut deadline => return Err("not all watchers heard of it".into()),
        }
    }
    Ok(())
}

/// A request that says one thing and then stays open.
struct Open(Option<Bytes>);

impl Body for Open {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.0.take() {
            Some(said) => Poll::Ready(Some(Ok(Frame::data(said)))),
            None => Poll::Pending,
        }
    }
}

async fn watch(address: SocketAddr, seen: Rc<Seen>) -> Outcome<()> {
    let (mut create, mut message) = (BytesMut::new(), BytesMut::new());
    field(&mut create, 1, WATCHED);
    field(&mut message, 1, &create);
    let client = connect(address).await?;
    let body = Open(Some(framed(&message)));
    let mut answer = call(client, "/etcdserverpb.Watch/Watch", body).await?.into_body();
    let (mut buffer, mut is_created) = (BytesMut::new(), false);
    while let Some(frame) = answer.frame().await {
        let Ok(data) = frame?.into_data() else { break };
        buffer.extend_from_slice(&data);
        while take(&mut buffer) {
            // The first answer says that it watches.
            let counted = if is_created { &seen.events } else { &seen.created };
            is_created = true;
            counted.set(counted.get() + 1);
            seen.last.set(Instant::now());
            seen.progressed.notify_one();
        }
    }
    Err("etcd ended a watch".into())
}

/// Takes one whole message out of what has come.
fn take(buffer: &mut BytesMut) -> bool {
    let Some(length) = buffer.get(1..5).and_then(|length| <[u8; 4]>::try_from(length).ok()) else {
        return false;
    };
    let whole = 5 + u32::from_be_bytes(length) as usize;
    if buffer.len() < whole {
        return false;
    }
    buffer.advance(whole);
    true
}
