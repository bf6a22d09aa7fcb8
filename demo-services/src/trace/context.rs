//! Trace context in header fields: W3C Trace Context (level 1), B3 single and B3 multi. The form that came in
//! is the form that goes out; W3C wins where a request carries several.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const B3: HeaderName = HeaderName::from_static("b3");
const X_B3_TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const X_B3_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const X_B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const X_B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const X_B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// Where in which trace a piece of work stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TraceContext {
    /// 32 or 16 lower-case hex digits, as the caller had it.
    pub(crate) trace_id: String,
    /// 16 lower-case hex digits.
    pub(crate) span_id: String,
    pub(crate) parent_id: Option<String>,
    decision: Decision,
    form: Form,
    tracestate: Option<String>,
}

/// Whether spans of a trace are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Decision {
    Drop,
    Record,
    /// Recorded whatever any sampler says.
    Debug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Form {
    W3c,
    B3Single,
    B3Multi,
}

impl TraceContext {
    /// A new span below the one that a request names, or a new trace. A decision without a trace (`b3: 0`) is
    /// kept.
    pub(crate) fn of_request(headers: &HeaderMap) -> Self {
        from_w3c(headers)
            .or_else(|| from_b3_single(headers))
            .or_else(|| from_b3_multi(headers))
            .unwrap_or_else(|| Self::new_trace(Form::W3c, Decision::Record))
    }

    /// A piece of work below this one.
    pub(crate) fn child(&self) -> Self {
        Self { span_id: new_span_id(), parent_id: Some(self.span_id.clone()), ..self.clone() }
    }

    /// Whether spans are recorded.
    pub(crate) fn is_recorded(&self) -> bool {
        self.decision != Decision::Drop
    }

    /// Writes the context into a request's header fields.
    pub(crate) fn inject(&self, headers: &mut HeaderMap) {
        let mut set = |name: HeaderName, value: &str| {
            // All values are hex digits and dashes, or were a header value before.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        let sampled = if self.is_recorded() { "1" } else { "0" };
        match self.form {
            Form::W3c => {
                let (trace_id, span_id) = (&self.trace_id, &self.span_id);
                set(TRACEPARENT, &format!("00-{trace_id}-{span_id}-0{sampled}"));
                if let Some(state) = &self.tracestate {
                    set(TRACESTATE, state);
                }
            }
            Form::B3Single => set(B3, &self.b3_single()),
            Form::B3Multi => {
                set(X_B3_TRACE_ID, &self.trace_id);
                set(X_B3_SPAN_ID, &self.span_id);
                if let Some(parent) = &self.parent_id {
                    set(X_B3_PARENT, parent);
                }
                match self.decision {
                    Decision::Debug => set(X_B3_FLAGS, "1"),
                    _ => set(X_B3_SAMPLED, sampled),
                }
            }
        }
    }

    fn b3_single(&self) -> String {
        let decision = match self.decision {
            Decision::Drop => "0",
            Decision::Record => "1",
            Decision::Debug => "d",
        };
        let parent = self.parent_id.as_ref().map(|parent| format!("-{parent}")).unwrap_or_default();
        format!("{}-{}-{decision}{parent}", self.trace_id, self.span_id)
    }

    fn new_trace(form: Form, decision: Decision) -> Self {
        let trace_id = format!("{:032x}", rand::random_range(1..=u128::MAX));
        Self { trace_id, span_id: new_span_id(), parent_id: None, decision, form, tracestate: None }
    }

    fn continued(form: Form, decision: Decision, trace_id: &str, span_id: &str) -> Self {
        let parent_id = Some(span_id.to_owned());
        let (trace_id, span_id) = (trace_id.to_owned(), new_span_id());
        Self { trace_id, span_id, parent_id, decision, form, tracestate: None }
    }
}

fn new_span_id() -> String {
    format!("{:016x}", rand::random_range(1..=u64::MAX))
}

/// `00-<32 hex>-<16 hex>-<2 hex>`; of a later version only these four parts are read (W3C, 3.2.3 and 4.3).
fn from_w3c(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parts = text(headers, &TRACEPARENT)?.split('-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed = is_hex(version, 2) && version != "ff" && is_id(trace_id, 32) && is_id(span_id, 16);
    if !well_formed || !is_hex(flags, 2) || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    let decision = if sampled { Decision::Record } else { Decision::Drop };
    let tracestate = text(headers, &TRACESTATE).filter(|state| state.len() <= 4096).map(str::to_owned);
    Some(TraceContext { tracestate, ..TraceContext::continued(Form::W3c, decision, trace_id, span_id) })
}

/// `<trace>-<span>[-<decision>[-<parent>]]`, or a decision alone.
fn from_b3_single(headers: &HeaderMap) -> Option<TraceContext> {
    let value = text(headers, &B3)?;
    if let Some(decision) = decision(value) {
        return Some(TraceContext::new_trace(Form::B3Single, decision));
    }
    let parts: Vec<&str> = value.split('-').collect();
    let (trace_id, span_id, rest) = match parts.as_slice() {
        [trace_id, span_id, rest @ ..] if rest.len() <= 2 => (*trace_id, *span_id, rest),
        _ => return None,
    };
    let parent_fits = rest.get(1).is_none_or(|parent| is_id(parent, 16));
    if !is_trace_id(trace_id) || !is_id(span_id, 16) || !parent_fits {
        return None;
    }
    // Without a decision the caller leaves it to this service, and a demo wants to see everything.
    let decision = rest.first().map_or(Some(Decision::Record), |text| decision(text))?;
    Some(TraceContext::continued(Form::B3Single, decision, trace_id, span_id))
}

fn from_b3_multi(headers: &HeaderMap) -> Option<TraceContext> {
    let said = match text(headers, &X_B3_SAMPLED) {
        None => None,
        Some("true") => Some(Decision::Record),
        Some("false") => Some(Decision::Drop),
        // A decision that cannot be read makes the whole context unusable.
        Some(other) => Some(decision(other)?),
    };
    let debug = text(headers, &X_B3_FLAGS) == Some("1");
    let said = if debug { Some(Decision::Debug) } else { said };
    match (text(headers, &X_B3_TRACE_ID), text(headers, &X_B3_SPAN_ID)) {
        (Some(trace_id), Some(span_id)) if is_trace_id(trace_id) && is_id(span_id, 16) => {
            let decision = said.unwrap_or(Decision::Record);
            Some(TraceContext::continued(Form::B3Multi, decision, trace_id, span_id))
        }
        (None, None) => said.map(|decision| TraceContext::new_trace(Form::B3Multi, decision)),
        _ => None,
    }
}

fn decision(text: &str) -> Option<Decision> {
    match text {
        "0" => Some(Decision::Drop),
        "1" => Some(Decision::Record),
        "d" => Some(Decision::Debug),
        _ => None,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_trace_id(text: &str) -> bool {
    is_id(text, 32) || is_id(text, 16)
}

fn is_id(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|digit| digit != b'0')
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
    const SPAN: &str = "a2fb4a1d1a96d312";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn handed_on(context: &TraceContext) -> HeaderMap {
        let mut headers = HeaderMap::new();
        context.child().inject(&mut headers);
        headers
    }

    #[test]
    fn each_form_is_continued_in_its_own_form() {
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let single = format!("{TRACE}-{SPAN}-1");
        let cases: [(&[(&'static str, &str)], &str); 3] = [
            (&[("traceparent", &w3c)], "traceparent"),
            (&[("b3", &single)], "b3"),
            (&[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")], "x-b3-traceid"),
        ];
        for (fields, form) in cases {
            let context = TraceContext::of_request(&headers(fields));
            assert_eq!(
                (context.trace_id.as_str(), context.parent_id.as_deref()),
                (TRACE, Some(SPAN)),
                "{form}"
            );
            let sent = handed_on(&context);
            assert!(sent.contains_key(form), "{form}: {sent:?}");
            let seen = TraceContext::of_request(&sent);
            assert_eq!(seen.trace_id, TRACE);
            assert!(seen.parent_id.is_some() && seen.parent_id.as_deref() != Some(SPAN));
            assert!(seen.is_recorded());
        }
    }

    #[test]
    fn a_decision_not_to_record_is_kept_in_every_form() {
        let w3c = format!("00-{TRACE}-{SPAN}-00");
        let single = format!("{TRACE}-{SPAN}-0");
        let cases: [&[(&'static str, &str)]; 5] = [
            &[("traceparent", &w3c)],
            &[("b3", &single)],
            &[("b3", "0")],
            &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0")],
            &[("x-b3-sampled", "false")],
        ];
        for fields in cases {
            let context = TraceContext::of_request(&headers(fields));
            assert!(!context.is_recorded(), "{fields:?}");
            assert!(!TraceContext::of_request(&handed_on(&context)).is_recorded(), "{fields:?}");
        }
    }

    #[test]
    fn debug_and_a_short_trace_id_and_the_state_survive() {
        let context = TraceContext::of_request(&headers(&[("b3", "48485a3953bb6124-a2fb4a1d1a96d312-d")]));
        let sent = handed_on(&context)["b3"].to_str().unwrap().to_owned();
        assert!(sent.starts_with("48485a3953bb6124-") && sent.contains("-d-"), "{sent}");
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let context = TraceContext::of_request(&headers(&[("traceparent", &w3c), ("tracestate", "a=b")]));
        assert_eq!(handed_on(&context)["tracestate"], "a=b");
    }

    #[test]
    fn what_is_malformed_begins_a_new_trace() {
        let zeros = format!("00-{}-{SPAN}-01", "0".repeat(32));
        let version = format!("ff-{TRACE}-{SPAN}-01");
        let upper = format!("00-{}-{SPAN}-01", TRACE.to_uppercase());
        let longer = format!("00-{TRACE}-{SPAN}-01-extra");
        let cases: [(&'static str, &str); 8] = [
            ("traceparent", &zeros),
            ("traceparent", &version),
            ("traceparent", &upper),
            ("traceparent", &longer),
            ("traceparent", ""),
            ("b3", "1-2-3-4-5"),
            ("b3", "xyz"),
            ("x-b3-traceid", TRACE),
        ];
        for case in cases {
            let context = TraceContext::of_request(&headers(&[case]));
            assert!(
                context.trace_id != TRACE && context.parent_id.is_none() && context.is_recorded(),
                "{case:?}"
            );
        }
    }
}
