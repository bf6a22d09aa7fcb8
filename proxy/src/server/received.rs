//! A request's body in a stream of HTTP/2, and what becomes of one that nobody wants: resetting a stream right behind its
//! answer is allowed (RFC 9113, 8.1), but clients that are still sending a small body lose the answer with it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// How long a client may go on with a body that is not read.
const LINGER: Duration = Duration::from_secs(1);
/// How much of it is read over.
const UNWANTED: usize = 64 * 1024;

/// A request's body as it comes in.
pub(super) struct Received(RefCell<Incoming>);

impl Received {
    /// `None` when there is no body.
    pub(super) fn new(incoming: Incoming) -> Option<Rc<Self>> {
        (!incoming.is_end_stream()).then(|| Rc::new(Self(RefCell::new(incoming))))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.0.borrow().is_end_stream()
    }

    /// How much is still to come, where the client said it.
    pub(super) fn left(&self) -> Option<u64> {
        self.0.borrow().size_hint().exact()
    }

    pub(super) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_frame(cx)
    }

    /// The request has its answer. Reads over the rest of a body that nobody else reads, if it is small; whatever is
    /// larger, or slow, is reset.
    pub(super) fn let_go(this: Rc<Self>) {
        let Some(Self(incoming)) = Rc::into_inner(this) else { return };
        let mut incoming = incoming.into_inner();
        if incoming.is_end_stream() {
            return;
        }
        tokio::task::spawn_local(async move {
            let skipping = async {
                let mut unwanted = 0;
                while let Some(Ok(frame)) = incoming.frame().await
                    && unwanted < UNWANTED
                {
                    unwanted += frame.data_ref().map_or(0, Bytes::len);
                }
            };
            // However it ends, it ends now.
            let _ = tokio::time::timeout(LINGER, skipping).await;
        });
    }
}
