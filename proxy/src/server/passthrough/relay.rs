//! Passes bytes on in both directions until both have ended, nothing has moved for too long, or the time is up.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::metrics::PlaneStats;

/// Memory for one direction.
const BUFFER: usize = 16 * 1024;

/// How long a connection may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Without a byte in either direction.
    pub(super) idle: Duration,
    /// In all.
    pub(super) age: Duration,
}

/// What has moved, and when last.
struct Moved {
    bytes: [Cell<u64>; 2],
    last: Cell<Instant>,
}

/// Runs until the end. A side that has sent all it has to say may go on reading (half-close).
pub(super) async fn run(
    client: impl AsyncRead + AsyncWrite + Unpin,
    instance: impl AsyncRead + AsyncWrite + Unpin,
    times: Times,
    stats: &PlaneStats,
) {
    let began = Instant::now();
    let moved = Moved { bytes: Default::default(), last: Cell::new(began) };
    let mut client = Watched { stream: client, moved: &moved, direction: 0 };
    let mut instance = Watched { stream: instance, moved: &moved, direction: 1 };
    let copying = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut instance, BUFFER, BUFFER);
    let mut copying = pin!(copying);
    loop {
        let deadline = (moved.last.get() + times.idle).min(began + times.age);
        let is_over = tokio::select! {
            // A fault is one of the two that left; both connections are closed then.
            _ = copying.as_mut() => true,
            () = tokio::time::sleep_until(deadline) => {
                (moved.last.get() + times.idle).min(began + times.age) <= Instant::now()
            }
        };
        for (counter, bytes) in stats.relayed.iter().zip(&moved.bytes) {
            counter.fetch_add(bytes.take(), Ordering::Relaxed);
        }
        if is_over {
            return;
        }
    }
}

/// A stream whose reads are noted.
struct Watched<'a, S> {
    stream: S,
    moved: &'a Moved,
    direction: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let count = &self.moved.bytes[self.direction];
        count.set(count.get() + (into.filled().len() - before) as u64);
        self.moved.last.set(Instant::now());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, from))?;
        // A reader that takes a full buffer slowly is not idle.
        self.moved.last.set(Instant::now());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const TIMES: Times = Times { idle: Duration::from_secs(60), age: Duration::from_secs(3600) };

    #[tokio::test(start_paused = true)]
    async fn a_side_that_has_said_all_still_gets_its_answer() {
        let ((mut client, near), (far, mut instance)) = (duplex(64), duplex(64));
        let stats = PlaneStats::default();
        let relay = run(near, far, TIMES, &stats);
        let talk = async {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut heard = String::new();
            instance.read_to_string(&mut heard).await.unwrap();
            instance.write_all(b"the answer").await.unwrap();
            drop(instance);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!((heard.as_str(), answer.as_str()), ("question", "the answer"));
        };
        tokio::join!(relay, talk);
        let counted = stats.relayed.each_ref().map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counted, [8, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_age_end_it() {
        for (pause, lasted) in [(None, 60), (Some(50), 3600)] {
            let ((mut client, near), (far, instance)) = (duplex(64), duplex(64));
            let began = Instant::now();
            let stats = PlaneStats::default();
            let relay = run(near, far, TIMES, &stats);
            let talk = async {
                let mut instance = instance;
                while let Some(pause) = pause {
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                    if client.write_all(b".").await.is_err() {
                        return;
                    }
                    instance.read_u8().await.unwrap();
                }
                std::future::pending().await
            };
            tokio::select! { () = relay => {}, () = talk => {} }
            assert_eq!(began.elapsed().as_secs(), lasted);
        }
    }
}
