//! Whose trace a request belongs to, whether it is recorded, and what the next hop is told. Decided from header
//! fields alone, so that a request nobody records costs a few nanoseconds and no allocation.

mod b3;
mod hex;
mod ids;
mod w3c;

use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use portreeve_config::Propagation;

pub use hex::HexId;
pub use ids::Sampler;

/// Memory for values of a few requests.
const BLOCK_BYTES: usize = 512;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// One span's place in a trace. It is made once per request, for the gateway's own span, and once per attempt
/// (by [`TraceContext::child`]), for the call to the service.
///
/// The gateway never joins a caller's B3 span: it always makes a span of its own, so no span is `shared`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    /// Whether B3 writes all 32 digits of the trace id, or the 16 it came with.
    wide: bool,
    span_id: u64,
    parent_id: Option<u64>,
    decision: Decision,
    forms: Forms,
    /// The request had no trace field of any form: there is nothing to take away.
    is_bare: bool,
}

impl TraceContext {
    /// The context of the span that answers a request with these header fields: a child of the caller's span, or
    /// the root of a new trace with a random 128-bit id.
    ///
    /// W3C Trace Context stands before single `b3`, and that before `X-B3-*`. A form that is malformed counts as
    /// not sent. `sampler` decides only where the caller did not; `default` is the form of new traces.
    pub fn from_headers(headers: &HeaderMap, sampler: &Sampler, default: Propagation) -> Self {
        // Most requests have none: a look at their names is cheaper than a search for each.
        let is_bare = !headers.keys().any(is_of_a_trace);
        let found = if is_bare { Found::default() } else { Found::read(headers) };
        let mut forms = found.forms();
        if forms.is_empty() {
            forms = Forms::only(default);
        }
        let caller = found.winner();
        let parent = caller.and_then(|caller| caller.ids);
        let (trace_id, wide) = parent.map_or_else(|| (ids::trace_id(), true), |ids| (ids.trace_id, ids.wide));
        let decision = caller.and_then(|caller| caller.decision).unwrap_or_else(|| sampler.decide(trace_id));
        Self {
            trace_id,
            wide,
            span_id: ids::span_id(),
            parent_id: parent.map(|ids| ids.span_id),
            decision,
            forms,
            is_bare,
        }
    }

    /// A new span below this one, in the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: ids::span_id(), parent_id: Some(self.span_id), ..*self }
    }

    /// Writes this span into the header fields of a request that belongs to it, in the forms the caller used, or
    /// the default form for a trace that began here. Every other trace field is removed.
    ///
    /// `headers` are the caller's own, on their way out: a `tracestate` among them stays as it is, when the
    /// `traceparent` beside it was valid (W3C Trace Context, 4.3).
    pub fn inject(&self, headers: &mut HeaderMap) {
        if self.is_bare && self.forms == Forms::only(Propagation::W3c) {
            headers.insert(TRACEPARENT, w3c::traceparent(self));
            return;
        }
        if self.forms.w3c {
            headers.insert(TRACEPARENT, w3c::traceparent(self));
        } else {
            headers.remove(TRACEPARENT);
        }
        if !self.forms.w3c || self.forms.fresh {
            headers.remove(TRACESTATE);
        }
        if self.forms.b3 {
            headers.insert(B3, b3::single(self));
        } else {
            headers.remove(B3);
        }
        b3::write_multi(self, headers);
    }

    /// The trace's id. Never zero.
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// This span's id. Never zero.
    pub fn span_id(&self) -> u64 {
        self.span_id
    }

    /// The id of the span above; none for the root of a trace.
    pub fn parent_id(&self) -> Option<u64> {
        self.parent_id
    }

    /// Whether spans of this trace are recorded.
    pub fn is_sampled(&self) -> bool {
        self.decision != Decision::Drop
    }

    /// The trace's id as logs and problem bodies give it: 32 lower-case hexadecimal digits, or 16 where the
    /// caller's own B3 id has no more.
    pub fn trace_id_text(&self) -> HexId {
        HexId::trace(self.trace_id, self.wide)
    }

    /// An id for the request: that of a trace which began here, a random one where the caller chose the trace's.
    pub fn request_id(&self) -> HeaderValue {
        let id = if self.parent_id.is_none() { self.trace_id } else { ids::trace_id() };
        header_value(HexId::trace(id, true).as_bytes())
    }
}

/// Whether a trace is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Drop,
    Record,
    /// Recorded, and no one further on may decide otherwise (B3 only).
    Debug,
}

/// The header forms a context is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Forms {
    w3c: bool,
    b3: bool,
    b3_multi: bool,
    /// The trace began here, so a `tracestate` can't belong to it.
    fresh: bool,
}

impl Forms {
    fn only(form: Propagation) -> Self {
        Self {
            w3c: form == Propagation::W3c,
            b3: form == Propagation::B3,
            b3_multi: form == Propagation::B3Multi,
            fresh: true,
        }
    }

    fn is_empty(self) -> bool {
        !(self.w3c || self.b3 || self.b3_multi)
    }
}

/// What one form says of the caller. Without ids it is a bare decision (`b3: 0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caller {
    ids: Option<CallerIds>,
    /// None where the caller leaves it to us.
    decision: Option<Decision>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CallerIds {
    trace_id: u128,
    wide: bool,
    span_id: u64,
}

/// What each form says; none where it is absent or malformed.
#[derive(Default)]
struct Found {
    w3c: Option<Caller>,
    b3: Option<Caller>,
    b3_multi: Option<Caller>,
}

impl Found {
    fn read(headers: &HeaderMap) -> Self {
        Self {
            w3c: only_value(headers, &TRACEPARENT).and_then(w3c::parse),
            b3: only_value(headers, &B3).and_then(b3::parse_single),
            b3_multi: b3::parse_multi(headers),
        }
    }

    fn forms(&self) -> Forms {
        Forms {
            w3c: self.w3c.is_some(),
            b3: self.b3.is_some(),
            b3_multi: self.b3_multi.is_some(),
            fresh: false,
        }
    }

    fn winner(&self) -> Option<Caller> {
        self.w3c.or(self.b3).or(self.b3_multi)
    }
}

fn is_of_a_trace(name: &HeaderName) -> bool {
    matches!(
        name.as_str().as_bytes(),
        [b't', b'r', b'a', b'c', b'e', ..] | [b'b', b'3', ..] | [b'x', b'-', b'b', b'3', b'-', ..]
    )
}

/// The value of a field that is there exactly once; a repeated one has no meaning that all would agree on.
fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// A header value of bytes this module wrote: hexadecimal digits and `-`. Several share a block of memory, so that not
/// every one is asked for by itself; a small block, for the last of them holds on to all of it.
fn header_value(text: &[u8]) -> HeaderValue {
    thread_local! {
        static BLOCK: RefCell<BytesMut> = RefCell::default();
    }
    let bytes = BLOCK.with_borrow_mut(|block| {
        if block.capacity() < text.len() {
            *block = BytesMut::with_capacity(BLOCK_BYTES);
        }
        block.extend_from_slice(text);
        block.split().freeze()
    });
    HeaderValue::from_maybe_shared(bytes).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
