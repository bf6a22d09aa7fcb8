//! Connections that switched to another protocol: bytes go both ways as they come, until both sides have ended or the
//! time is up.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::alarm::Alarm;
use super::forward::Switch;
use super::h1::write_switch;
use super::h2::Held;
use super::stream::Stream;
use super::upstream::{Call, Lease};
use super::visit::Visit;
use super::wire::Wire;
use crate::pipeline::Exchange;

/// Hands a client's HTTP/1 connection over to the protocol that its instance agreed to.
pub(super) async fn by_upgrade(mut client: Wire, visit: &Visit, switch: Switch) {
    let Switch { parts, protocol, far, mut exchange } = switch;
    let Some((mut instance, place)) = far.into_wire().await else { return };
    write_switch(client.output(), &parts, &protocol);
    let held = place.as_ref().map(|call| &*call.held);
    carry((&mut client, None), (&mut instance, held), visit, &mut exchange).await;
}

/// Hands a client's stream of HTTP/2 over to the protocol that its instance agreed to (RFC 8441). `from_client` is the
/// account of the stream's connection.
pub(super) async fn by_stream(client: Stream, from_client: &Held, visit: &Visit, switch: Switch) {
    let Switch { far, mut exchange, .. } = switch;
    let Some((mut instance, place)) = far.into_wire().await else { return };
    let held = place.as_ref().map(|call| &*call.held);
    carry((&mut Wire::new(client), Some(from_client)), (&mut instance, held), visit, &mut exchange).await;
}

/// One end of a tunnel, and where it is told what was taken if it is a stream of HTTP/2.
type End<'a> = (&'a mut Wire, Option<&'a Held>);

/// The instance's end of a tunnel.
pub(super) enum Far {
    /// A connection that has switched.
    Connection(Lease),
    /// A stream of HTTP/2, and its place on the connection.
    Stream(OnUpgrade, Call),
}

impl Far {
    /// Its bytes, with what is to be held on to as long as they go; `None` when it is gone already.
    async fn into_wire(self) -> Option<(Wire, Option<Call>)> {
        match self {
            Self::Connection(mut lease) => Some((lease.take()?.into_wire(), None)),
            Self::Stream(stream, call) => {
                let stream = Stream::Upgraded(Box::new(TokioIo::new(stream.await.ok()?)));
                Some((Wire::new(stream), Some(call)))
            }
        }
    }
}

/// Carries bytes both ways. Each side may end its half while the other goes on.
async fn carry(
    (client, from_client): End<'_>,
    (instance, from_instance): End<'_>,
    visit: &Visit,
    exchange: &mut Exchange,
) {
    let alarm = Alarm::default();
    let (idle, age) = (visit.limits.idle_timeout.get(), visit.limits.tunnel_age.get());
    let ends = Instant::now() + age;
    let mut idle_since = Instant::now();
    let mut up = Half { held: from_client, ..Half::default() };
    let mut down = Half { held: from_instance, ..Half::default() };
    poll_fn(|cx| {
        let sent = up.poll(cx, client, instance);
        let received = down.poll(cx, instance, client);
        exchange.sent(std::mem::take(&mut down.moved));
        if std::mem::take(&mut up.has_moved) | std::mem::take(&mut down.has_moved) {
            idle_since = Instant::now();
        }
        match (sent, received) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(()),
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(()),
            _ => {}
        }
        // A drain waits for it: it ends with the time that drains have.
        alarm.poll(cx, ends.min(idle_since + idle))
    })
    .await
}

/// One direction.
#[derive(Default)]
struct Half<'a> {
    /// The source's.
    held: Option<&'a Held>,
    has_ended: bool,
    is_shut: bool,
    moved: u64,
    has_moved: bool,
}

impl Half<'_> {
    /// Ready when the source has ended and the sink was told.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Wire, to: &mut Wire) -> Poll<std::io::Result<()>> {
        if self.is_shut {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(to.poll_flush(cx))?;
            if self.has_ended {
                ready!(to.poll_shutdown(cx))?;
                self.is_shut = true;
                return Poll::Ready(Ok(()));
            }
            if from.input.is_empty() {
                match ready!(from.poll_fill(cx))? {
                    0 => {
                        self.has_ended = true;
                        continue;
                    }
                    count => {
                        self.has_moved = true;
                        if let Some(held) = self.held {
                            held.taken(count as u64);
                        }
                    }
                }
            }
            let piece = from.input.split().freeze();
            self.moved += piece.len() as u64;
            to.put(piece, b"");
        }
    }
}
