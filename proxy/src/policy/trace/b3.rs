//! B3, single field and `X-B3-*` (openzipkin/b3-propagation): read strictly, a trace id kept as wide as it came.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::{
    B3_FLAGS, B3_PARENT_ID, B3_SAMPLED, B3_SPAN_ID, B3_TRACE_ID, Caller, CallerIds, Decision, TraceContext,
    header_value, hex, only_value,
};

/// What a `b3` field says: `trace-span[-sampled[-parent]]`, or `sampled` alone. `None` when it is malformed.
pub(super) fn parse_single(value: &[u8]) -> Option<Caller> {
    if let [flag] = value {
        return Some(Caller { ids: None, decision: Some(parse_flag(*flag)?) });
    }
    let mut parts = value.split(|byte| *byte == b'-');
    let ids = parse_ids(parts.next()?, parts.next()?)?;
    let decision = match parts.next() {
        None => None,
        Some([flag]) => Some(parse_flag(*flag)?),
        Some(_) => return None,
    };
    if let Some(parent) = parts.next() {
        hex::read_span_id(parent)?;
    }
    if parts.next().is_some() {
        return None;
    }
    Some(Caller { ids: Some(ids), decision })
}

/// What the `X-B3-*` fields say together. `None` when there are none, or when any of them is malformed.
pub(super) fn parse_multi(headers: &HeaderMap) -> Option<Caller> {
    let field = |name: &HeaderName| headers.contains_key(name).then(|| only_value(headers, name));
    let ids = match (field(&B3_TRACE_ID), field(&B3_SPAN_ID)) {
        (None, None) => None,
        (Some(trace_id), Some(span_id)) => Some(parse_ids(trace_id?, span_id?)?),
        _ => return None,
    };
    if let Some(parent) = field(&B3_PARENT_ID) {
        hex::read_span_id(parent?)?;
    }
    let sampled = match field(&B3_SAMPLED) {
        None => None,
        Some(value) => Some(parse_sampled(value?)?),
    };
    let debug = matches!(field(&B3_FLAGS), Some(Some(b"1")));
    let decision = if debug { Some(Decision::Debug) } else { sampled };
    (ids.is_some() || decision.is_some()).then_some(Caller { ids, decision })
}

fn parse_ids(trace_id: &[u8], span_id: &[u8]) -> Option<CallerIds> {
    let wide = match trace_id.len() {
        16 => false,
        32 => true,
        _ => return None,
    };
    let trace_id = hex::read(trace_id).filter(|id| *id != 0)?;
    Some(CallerIds { trace_id, wide, span_id: hex::read_span_id(span_id)? })
}

fn parse_flag(flag: u8) -> Option<Decision> {
    match flag {
        b'0' => Some(Decision::Drop),
        b'1' => Some(Decision::Record),
        b'd' => Some(Decision::Debug),
        _ => None,
    }
}

/// `true` and `false` are what tracers wrote before the format was settled.
fn parse_sampled(value: &[u8]) -> Option<Decision> {
    match value {
        b"0" => Some(Decision::Drop),
        b"1" => Some(Decision::Record),
        other if other.eq_ignore_ascii_case(b"false") => Some(Decision::Drop),
        other if other.eq_ignore_ascii_case(b"true") => Some(Decision::Record),
        _ => None,
    }
}

pub(super) fn single(context: &TraceContext) -> HeaderValue {
    let mut text = *b"00000000000000000000000000000000-0000000000000000-0-0000000000000000";
    hex::write(&mut text[..32], context.trace_id);
    hex::write(&mut text[33..49], u128::from(context.span_id));
    text[50] = match context.decision {
        Decision::Drop => b'0',
        Decision::Record => b'1',
        Decision::Debug => b'd',
    };
    let end = match context.parent_id {
        Some(parent) => {
            hex::write(&mut text[52..], u128::from(parent));
            text.len()
        }
        None => 51,
    };
    header_value(&text[start(context)..end])
}

/// Writes the `X-B3-*` fields, or removes them where they are not among the context's forms.
pub(super) fn write_multi(context: &TraceContext, headers: &mut HeaderMap) {
    for name in [B3_TRACE_ID, B3_SPAN_ID, B3_PARENT_ID, B3_SAMPLED, B3_FLAGS] {
        headers.remove(name);
    }
    if !context.forms.b3_multi {
        return;
    }
    let mut digits = [0; 32];
    hex::write(&mut digits, context.trace_id);
    headers.insert(B3_TRACE_ID, header_value(&digits[start(context)..]));
    headers.insert(B3_SPAN_ID, id_value(context.span_id));
    if let Some(parent) = context.parent_id {
        headers.insert(B3_PARENT_ID, id_value(parent));
    }
    // Debug implies sampled, and is sent instead of it.
    let (name, value) = match context.decision {
        Decision::Drop => (B3_SAMPLED, "0"),
        Decision::Record => (B3_SAMPLED, "1"),
        Decision::Debug => (B3_FLAGS, "1"),
    };
    headers.insert(name, HeaderValue::from_static(value));
}

fn id_value(id: u64) -> HeaderValue {
    let mut digits = [0; 16];
    hex::write(&mut digits, u128::from(id));
    header_value(&digits)
}

/// Where the trace id's digits begin: an id that came with 16 digits leaves with 16.
fn start(context: &TraceContext) -> usize {
    if context.wide { 0 } else { 16 }
}
