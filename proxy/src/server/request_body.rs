//! A client's body on its way to an instance, whatever it came by: counted against the route's limit, translated where
//! the route wants that, and freed of trailers that a client cannot say.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::h1::Upload;
use super::h2::Received;
use crate::pipeline::Exchange;
use crate::plane::Pinned;
use crate::policy::grpc::web::RequestTranslator;
use crate::policy::headers;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where a client's body comes from.
pub(super) enum Source {
    /// There is none.
    None,
    /// An HTTP/1 connection.
    H1(Upload),
    /// A stream of HTTP/2.
    H2(Rc<Received>),
}

impl Source {
    /// Whether there is a body at all.
    pub(super) fn exists(&self) -> bool {
        match self {
            Self::None => false,
            Self::H1(upload) => !upload.is_done(),
            Self::H2(received) => !received.is_end_stream(),
        }
    }

    /// Its length, where the client said it.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::H1(upload) => upload.left(),
            Self::H2(received) => received.left(),
        }
    }
}

/// A client's body, counted against the route's limit.
pub(super) struct RequestBody {
    source: Source,
    /// Only a body has some.
    rules: Option<Rules>,
    left: u64,
    translator: Option<RequestTranslator>,
    is_touched: bool,
    has_ended: bool,
}

/// What holds for a client's body through all attempts.
#[derive(Clone)]
pub(super) struct Rules {
    pinned: Arc<Pinned>,
    limit: u64,
    end: Rc<Cell<BodyEnd>>,
}

impl Rules {
    pub(super) fn of(exchange: &Exchange) -> Self {
        Self { pinned: Arc::clone(exchange.pinned()), limit: exchange.max_body(), end: Rc::default() }
    }

    /// How far the body has come.
    pub(super) fn end(&self) -> BodyEnd {
        self.end.get()
    }

    /// What a client cannot say before its body it cannot say after it either.
    fn cleanse(&self, trailers: &mut HeaderMap) {
        let auth = self.pinned.snapshot.auth.as_deref();
        headers::remove_where(trailers, |name| {
            !headers::may_trail(name) || auth.is_some_and(|auth| auth.strips(name))
        });
    }
}

/// How far a client's body has come, for whoever has to say why the attempt failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// It has come whole, or there is none.
    #[default]
    Whole,
    /// Some of it is still to come, and was not asked for yet.
    UnderWay,
    /// The client is waited for.
    Awaited,
    /// It was larger than allowed.
    TooLarge,
    /// The client sent too slowly.
    Slow,
    /// The client stopped sending, or broke the rules of framing.
    Broken,
}

impl RequestBody {
    pub(super) fn none() -> Self {
        Self {
            source: Source::None,
            rules: None,
            left: 0,
            translator: None,
            is_touched: false,
            has_ended: true,
        }
    }

    pub(super) fn new(source: Source, rules: Rules, translator: Option<RequestTranslator>) -> Self {
        rules.end.set(BodyEnd::UnderWay);
        let left = rules.limit;
        Self { source, rules: Some(rules), left, translator, is_touched: false, has_ended: false }
    }

    /// The client's body back, when nothing of it was read yet.
    pub(super) fn into_source(self) -> Option<(Source, Option<RequestTranslator>)> {
        (!self.is_touched).then_some((self.source, self.translator))
    }

    fn ends(&mut self, how: BodyEnd) {
        self.has_ended = true;
        self.comes(how);
    }

    fn comes(&self, how: BodyEnd) {
        if let Some(rules) = &self.rules {
            rules.end.set(how);
        }
    }

    /// The next piece, or how it failed.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        self.is_touched = true;
        if self.has_ended {
            return Poll::Ready(None);
        }
        let piece = match &mut self.source {
            Source::None => Poll::Ready(None),
            Source::H1(upload) => upload.poll(cx),
            Source::H2(received) => received.poll_frame(cx),
        };
        let Poll::Ready(piece) = piece else {
            self.comes(BodyEnd::Awaited);
            return Poll::Pending;
        };
        self.comes(BodyEnd::UnderWay);
        let piece = piece.map(|frame| frame.and_then(|frame| self.taken(frame)));
        match &piece {
            Some(Ok(_)) if !self.is_whole() => {}
            // A body of known length is not asked again after its last piece.
            Some(Ok(_)) | None => match self.translator.as_ref().map(RequestTranslator::finish) {
                Some(Err(_)) => {
                    self.ends(BodyEnd::Broken);
                    return Poll::Ready(Some(Err(BodyEnd::Broken)));
                }
                _ => self.ends(BodyEnd::Whole),
            },
            Some(Err(how)) => self.ends(*how),
        }
        Poll::Ready(piece)
    }

    fn taken(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyEnd> {
        match frame.into_data() {
            Ok(data) => {
                self.left = self.left.checked_sub(data.len() as u64).ok_or(BodyEnd::TooLarge)?;
                let data = match &mut self.translator {
                    Some(translator) => translator.push(data).map_err(|_| BodyEnd::Broken)?,
                    None => data,
                };
                Ok(Frame::data(data))
            }
            Err(frame) => {
                let mut trailers = frame.into_trailers().unwrap_or_default();
                if let Some(rules) = &self.rules {
                    rules.cleanse(&mut trailers);
                }
                Ok(Frame::trailers(trailers))
            }
        }
    }

    /// Whether all of it was read.
    fn is_whole(&self) -> bool {
        !self.source.exists()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = ready!(self.get_mut().poll_piece(cx));
        Poll::Ready(piece.map(|piece| piece.map_err(|_| "the client's body broke off".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.translator {
            // Its length changes on the way.
            Some(_) => SizeHint::default(),
            None => self.source.length().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
