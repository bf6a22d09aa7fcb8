//! One stream on its socket: one task reads lines, says what its watcher is due, and sleeps in between with next to no
//! memory. It reads on while what it says is taken slowly, for each line renews leases.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::lines::{Lines, TooLong};
use super::outgoing::Outgoing;
use super::session::Session;
use crate::publisher::Sending;
use crate::server::Socket;

/// After this long without anything to say there is a ping; nodes count on a line every two seconds. A ping for each line of
/// a node would cost more than the line.
const PING_AFTER: Duration = Duration::from_millis(1_600);
/// How long this replica gets to see what a node has seen at another one.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(1);
/// How long a socket may take to be closed in order.
const FAREWELL: Duration = Duration::from_secs(1);
/// What one read may give.
const READ: usize = 64 * 1024;

thread_local! {
    /// One buffer for all streams: what is in it is looked at before anybody else reads.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

type Step = Poll<Result<(), &'static str>>;

/// A session and its socket.
pub(super) struct Conversation {
    session: Session,
    socket: Box<dyn Socket>,
    lines: Lines,
    /// Whether the node has said all it will say.
    is_heard_out: bool,
    outgoing: Outgoing,
    sent: Instant,
    /// Not moved each time something is sent: it is looked whether it came too early.
    ping: Pin<Box<Sleep>>,
    catching_up: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Conversation {
    pub(super) fn new(session: Session, socket: Box<dyn Socket>) -> Self {
        let catching_up = session.state.is_shared().then(|| catch_up(&session));
        Self {
            session,
            socket,
            lines: Lines::default(),
            is_heard_out: false,
            outgoing: Outgoing::default(),
            sent: Instant::now(),
            ping: Box::pin(sleep(PING_AFTER)),
            catching_up,
        }
    }

    /// Goes on until either side has enough; `early` was read before. Then the leases get their grace.
    pub(super) async fn run(mut self, early: Bytes) {
        let began = self.hear(&early);
        drop(early);
        let reason = match began {
            Ok(()) => std::future::poll_fn(|context| self.poll(context)).await,
            Err(reason) => reason,
        };
        let Self { session, mut socket, .. } = self;
        tracing::info!(node = &*session.watcher.peer.node, reason, "node disconnected");
        drop(session);
        // Whoever is not there to hear it knows already.
        let _ = timeout(FAREWELL, socket.shutdown()).await;
    }

    /// Ready with the reason why the stream ends.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        loop {
            self.session.tell(context);
            self.session.said = 0;
            if let Poll::Ready(reason) = self.poll_write(context) {
                return Poll::Ready(reason);
            }
            if let Err(reason) = ready!(self.poll_read(context)) {
                return Poll::Ready(reason);
            }
        }
    }

    /// Hears some lines, and more of them when it is called again. While it does not read, the session wakes it.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Step {
        if !self.session.has_room() {
            return Poll::Pending;
        }
        if self.lines.has_more() {
            return Poll::Ready(self.hear(b""));
        }
        if self.is_heard_out {
            return match self.session.is_settled() {
                true => Poll::Ready(Err("the node ended its stream")),
                false => Poll::Pending,
            };
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            let socket = Pin::new(&mut *self.socket);
            if ready!(socket.poll_read(context, &mut read)).is_err() {
                return Poll::Ready(Err("the connection broke"));
            }
            if read.filled().is_empty() {
                self.is_heard_out = true;
                self.lines.end();
            }
            Poll::Ready(self.hear(read.filled()))
        })
    }

    /// Takes the lines in `bytes` and in what was left before, as far as there is room for answers.
    fn hear(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let Self { session, lines, .. } = self;
        let mut is_first = true;
        let mut ended = None;
        let heard = lines.add(bytes, |line| {
            // All of them came at the same time.
            if std::mem::take(&mut is_first) && !session.renew() {
                ended = Some("a lease ended; the node has to register again");
                return false;
            }
            session.take(line);
            session.has_room()
        });
        match (ended, heard) {
            (Some(reason), _) => Err(reason),
            (None, Err(TooLong)) => Err("a line was too long"),
            (None, Ok(())) => Ok(()),
        }
    }

    /// Says what is due. Pending when there is nothing, or the socket takes no more.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        if let Some(catching_up) = &mut self.catching_up {
            if catching_up.as_mut().poll(context).is_pending() {
                return self.session.watcher.poll_end(context);
            }
            self.catching_up = None;
        }
        loop {
            if self.outgoing.is_empty()
                && let Poll::Ready(reason) = self.fill(context)
            {
                return Poll::Ready(reason);
            }
            if self.outgoing.is_empty() && !self.is_ping_due(context) {
                return Poll::Pending;
            }
            match self.outgoing.poll_send(context, &mut *self.socket) {
                Poll::Ready(Ok(())) => self.sent = Instant::now(),
                Poll::Ready(Err(_)) => return Poll::Ready("the connection broke"),
                Poll::Pending => return self.session.watcher.poll_end(context),
            }
        }
    }

    /// Takes what is due from the queue.
    fn fill(&mut self, context: &Context<'_>) -> Poll<&'static str> {
        let Self { session, outgoing, .. } = self;
        while outgoing.has_room() {
            let state = &session.state;
            match ready!(session.watcher.poll_next(context, state.publisher(), |take| state.read(take))) {
                Sending::Lines(pieces) => pieces.into_iter().for_each(|piece| outgoing.push(piece)),
                Sending::End(reason) => return Poll::Ready(reason),
            }
        }
        Poll::Pending
    }

    /// Puts a ping where nothing else was said for long.
    fn is_ping_due(&mut self, context: &mut Context<'_>) -> bool {
        while self.ping.as_mut().poll(context).is_ready() {
            let due = self.sent + PING_AFTER;
            if Instant::now() >= due {
                self.ping.as_mut().reset(Instant::now() + PING_AFTER);
                self.outgoing.push(self.session.state.publisher().ping());
                return true;
            }
            self.ping.as_mut().reset(due);
        }
        false
    }
}

/// A node that comes from another replica may have seen more than this one has: it waits for that, but not for long, for a
/// restored database may be behind for good.
fn catch_up(session: &Session) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let (state, held) = (session.state.clone(), session.held);
    Box::pin(async move {
        let _ = timeout(CATCH_UP_WITHIN, state.publisher().reached(held)).await;
    })
}
