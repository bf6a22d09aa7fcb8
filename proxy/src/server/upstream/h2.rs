//! HTTP/2 to instances, by hyper: one connection carries many calls.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::Upstreams;
use super::greeted::{Greeted, Greeting};
use crate::policy::balance::Endpoint;
use crate::server::h2::Held;
use crate::server::request_body::RequestBody;
use crate::server::stream::Stream;
use crate::server::worker::Charge;

/// Calls at one time by one connection, where its instance allows more; with more, another is opened.
const MAX_CALLS: usize = 1000;
/// The same before the instance has said anything: what servers allow at least by recommendation (RFC 9113, 6.5.2).
const FIRST_CALLS: usize = 100;
/// What an instance may send of one answer before it was passed on.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for a whole connection.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// What is held of one request that the instance does not take.
const SEND_BUFFER: usize = 16 * 1024;
/// A connection that does not answer a PING for this long is dead.
const PING: Duration = Duration::from_secs(20);

/// A connection that many calls share.
pub(in crate::server) struct Multiplexed {
    sender: SendRequest<RequestBody>,
    /// `None` when it has ended: calls that wait in it would wait for good.
    connection: Rc<RefCell<Option<Connection>>>,
    greeting: Rc<Greeting>,
    /// Data of answers that has come and was not passed on, and the calls under way.
    pub(in crate::server) held: Rc<Held>,
    used: Cell<u32>,
}

type Connection = Pin<Box<http2::Connection<TokioIo<Greeted>, RequestBody, OnThisThread>>>;

/// Runs hyper's tasks on the worker's own thread.
#[derive(Clone)]
pub(in crate::server) struct OnThisThread;

impl<F: Future<Output: 'static> + 'static> Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Carries a connection on to its end, and drops it then.
async fn until_ended(connection: Rc<RefCell<Option<Connection>>>) {
    poll_fn(|cx| match connection.borrow_mut().as_mut() {
        Some(open) => open.as_mut().poll(cx).map(drop),
        None => Poll::Ready(()),
    })
    .await;
    // Taken first: what waits in it is woken while it is dropped, and may look here.
    let ended = connection.borrow_mut().take();
    drop(ended);
}

impl Multiplexed {
    /// Begins HTTP/2 on a connection.
    ///
    /// # Errors
    /// The other side does not speak it.
    pub(super) async fn open(stream: Stream, round: u32, charge: Charge) -> Result<Self, hyper::Error> {
        let greeting = Rc::new(Greeting::default());
        let held = Rc::new(Held::new(CONNECTION_WINDOW.into(), charge));
        let greeted = Greeted::new(stream, Rc::clone(&greeting), Rc::clone(&held));
        let (mut sender, connection) = http2::Builder::new(OnThisThread)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_send_buf_size(SEND_BUFFER)
            .initial_max_send_streams(FIRST_CALLS)
            .handshake(TokioIo::new(greeted))
            .await?;
        // Its end is seen through the sender; there is nobody to tell here.
        let connection: Rc<RefCell<Option<Connection>>> = Rc::new(RefCell::new(Some(Box::pin(connection))));
        tokio::task::spawn_local(until_ended(Rc::clone(&connection)));
        sender.ready().await?;
        Ok(Self { sender, connection, greeting, held, used: Cell::new(round) })
    }

    /// Whether the connection can carry one more call.
    fn has_room(&self) -> bool {
        let allowed = self.connection.borrow().as_ref().map_or(0, |open| open.current_max_send_streams());
        self.held.streams() < allowed.min(MAX_CALLS) && self.sender.is_ready()
    }

    /// Whether the instance turns a stream into a tunnel where it is asked to (RFC 8441, 3), once it has said that.
    pub(in crate::server) async fn takes_tunnels(&self) -> bool {
        poll_fn(|cx| self.greeting.poll(cx)).await;
        self.connection.borrow().as_ref().is_some_and(|open| open.is_extended_connect_protocol_enabled())
    }

    /// Whether the connection has not ended, whatever became of a call.
    pub(in crate::server) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) fn is_of_use(&self, round: u32, rounds_kept: u32) -> bool {
        !self.sender.is_closed()
            && (self.held.streams() > 0 || round.wrapping_sub(self.used.get()) <= rounds_kept)
    }

    /// Sends a call.
    pub(in crate::server) fn send(
        &self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<> {
        self.sender.clone().try_send_request(request)
    }
}

/// A call under way by a shared connection.
pub(in crate::server) struct Call {
    connection: Rc<Multiplexed>,
    pool: Rc<Upstreams>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.connection.held.end();
        self.connection.used.set(self.pool.round.get());
    }
}

impl Upstreams {
    /// A connection with room for one more call, and a place on it.
    pub(in crate::server) fn join(self: &Rc<Self>, endpoint: &Endpoint) -> Option<Call> {
        let shared = self.multiplexed.borrow();
        let connection = shared.get(&endpoint.number)?.iter().find(|connection| connection.has_room())?;
        Some(self.enter(connection))
    }

    pub(super) fn enter(self: &Rc<Self>, connection: &Rc<Multiplexed>) -> Call {
        connection.held.begin();
        Call { connection: Rc::clone(connection), pool: Rc::clone(self) }
    }

    pub(super) fn share(&self, number: u64, connection: &Rc<Multiplexed>) {
        self.multiplexed.borrow_mut().entry(number).or_default().push(Rc::clone(connection));
    }
}

impl std::ops::Deref for Call {
    type Target = Multiplexed;

    fn deref(&self) -> &Multiplexed {
        &self.connection
    }
}
