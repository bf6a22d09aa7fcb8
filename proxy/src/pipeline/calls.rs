//! What is special about gRPC on the way of a request: how long the client waits, how it is told "no", and whether its
//! gRPC-Web is translated.

use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};

use super::Exchange;
use crate::policy::grpc::web::{Bridge, RequestTranslator, ResponseTranslator};
use crate::policy::grpc::{Kind, refusal, timeout, want_trailers};
use crate::rejection::Rejection;

/// A gRPC call.
pub(super) struct Call {
    kind: Kind,
    /// How long the client waits for the whole call.
    timeout: Option<Duration>,
    /// Where the route translates.
    bridge: Option<Bridge>,
    translator: Option<Box<ResponseTranslator>>,
}

impl Call {
    /// Reads what is special about a request, when it is a call.
    ///
    /// # Errors
    /// [`Rejection::CallTimeout`].
    pub(super) fn read(fields: &mut HeaderMap) -> (Option<Box<Self>>, Option<Rejection>) {
        let Some(kind) = Kind::of(fields) else { return (None, None) };
        if kind == Kind::Native {
            want_trailers(fields);
        }
        let (timeout, fault) = match timeout::read(fields) {
            Ok(timeout) => (timeout, None),
            Err(fault) => (None, Some(Rejection::CallTimeout(fault))),
        };
        (Some(Box::new(Self { kind, timeout, bridge: None, translator: None })), fault)
    }
}

impl Exchange {
    /// Until when the answer must have begun: the route's time, or the caller's where that is less.
    pub fn deadline(&self) -> Instant {
        let route = self.route().map_or(Duration::ZERO, |route| route.timeout);
        let caller = self.call.as_ref().and_then(|call| call.timeout);
        self.clock + timeout::effective_deadline(route, caller)
    }

    /// Until when the whole answer must have come, where the caller of gRPC said so.
    pub fn call_deadline(&self) -> Option<Instant> {
        // A time beyond what a clock can say is none.
        self.call.as_ref().and_then(|call| self.clock.checked_add(call.timeout?))
    }

    /// Tells the service how long its caller still waits.
    pub(super) fn pass_timeout_on(&self, fields: &mut HeaderMap) {
        if let Some(ends) = self.call_deadline() {
            timeout::pass_on(fields, ends.saturating_duration_since(Instant::now()));
        }
    }

    /// Makes a request of gRPC-Web one of gRPC, where the route translates.
    pub(super) fn open_bridge(&mut self, fields: &HeaderMap) {
        let translates = self.route().is_some_and(|route| route.grpc_web);
        if let Some(call) = self.call.as_mut().filter(|_| translates) {
            call.bridge = Bridge::of(fields);
            if let Some(bridge) = call.bridge {
                call.kind = bridge.answer_kind();
            }
        }
    }

    /// The translation of a request's body; its head is changed. `None` where nothing is translated.
    pub fn translate_request(&self, fields: &mut HeaderMap) -> Option<RequestTranslator> {
        let bridge = self.call.as_ref()?.bridge?;
        Some(bridge.open_request(fields))
    }

    /// The same for an answer's head; its body's translation is kept until it is asked for.
    pub(super) fn translate_answer(&mut self, fields: &mut HeaderMap) {
        if let Some(call) = &mut self.call
            && let Some(bridge) = call.bridge
        {
            call.translator = bridge.open_answer(fields).map(Box::new);
        }
    }

    /// The translation of the answer's body.
    pub fn take_translator(&mut self) -> Option<Box<ResponseTranslator>> {
        self.call.as_mut()?.translator.take()
    }

    /// The trailers that tell a caller that its time is over.
    pub fn too_late(&mut self) -> HeaderMap {
        self.reason = Some(("call_timeout", crate::rejection::Blame::Service));
        refusal::trailers(StatusCode::GATEWAY_TIMEOUT, "call_timeout", "the time for the call is over")
    }

    /// A refusal in the form that the client reads.
    pub(super) fn in_callers_form(
        &self,
        rejection: &Rejection,
        answer: (StatusCode, HeaderMap, String),
    ) -> (StatusCode, HeaderMap, String) {
        let Some(call) = &self.call else { return answer };
        let (status, fields, _) = answer;
        let (status, fields) =
            refusal::refuse(call.kind, status, rejection.reason(), &rejection.detail(), fields);
        (status, fields, String::new())
    }
}
