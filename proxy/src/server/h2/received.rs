//! A request's body in a stream of HTTP/2, and what becomes of one that nobody wants: answering before it and resetting the
//! stream is allowed (RFC 9113, 8.1), but some clients that are still sending a small body lose the answer with it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// How long an unwanted body is waited for.
const LINGER: Duration = Duration::from_millis(500);
/// A body up to this size is.
const UNWANTED: u64 = 64 * 1024;

/// A request's body as it comes in.
pub(in crate::server) struct Received {
    incoming: RefCell<Incoming>,
    /// It comes only when the client was told to go on.
    waits: bool,
}

impl Received {
    /// `None` when there is no body.
    pub(in crate::server) fn new(incoming: Incoming, fields: &HeaderMap) -> Option<Rc<Self>> {
        let waits = fields.contains_key(header::EXPECT);
        (!incoming.is_end_stream()).then(|| Rc::new(Self { incoming: RefCell::new(incoming), waits }))
    }

    pub(in crate::server) fn is_end_stream(&self) -> bool {
        self.incoming.borrow().is_end_stream()
    }

    /// How much is still to come, where the client said it.
    pub(in crate::server) fn left(&self) -> Option<u64> {
        self.incoming.borrow().size_hint().exact()
    }

    pub(in crate::server) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *self.incoming.borrow_mut()).poll_frame(cx)
    }

    /// The request was answered without anybody reading it. Reads over a small body that is on its way before the answer
    /// is sent; any other is reset behind it.
    pub(super) async fn let_go(this: Rc<Self>) {
        let is_on_its_way = !this.waits && this.left().is_some_and(|left| left <= UNWANTED);
        let Some(Self { incoming, .. }) = Rc::into_inner(this).filter(|_| is_on_its_way) else { return };
        let mut incoming = incoming.into_inner();
        let skipping = async { while let Some(Ok(_)) = incoming.frame().await {} };
        // However it ends, it ends now.
        let _ = tokio::time::timeout(LINGER, skipping).await;
    }
}
