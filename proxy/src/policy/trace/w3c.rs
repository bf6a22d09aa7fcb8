//! `traceparent` (W3C Trace Context, 3.2): read as any version up to `fe`, written as version `00`.

use http::header::HeaderValue;

use super::{Caller, CallerIds, Decision, TraceContext, header_value, hex};

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// What a `traceparent` says; `None` when it is malformed.
pub(super) fn parse(value: &[u8]) -> Option<Caller> {
    let (head, rest) = value.split_at_checked(LENGTH)?;
    if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
        return None;
    }
    // Version 00 ends here; later ones may go on, after a dash.
    match hex::read(&head[..2])? {
        0xff => return None,
        0 if !rest.is_empty() => return None,
        _ if !matches!(rest.first(), None | Some(b'-')) => return None,
        _ => {}
    }
    let trace_id = hex::read(&head[3..35]).filter(|id| *id != 0)?;
    let span_id = hex::read_span_id(&head[36..52])?;
    let sampled = hex::read(&head[53..55])? & 1 == 1;
    Some(Caller {
        ids: Some(CallerIds { trace_id, wide: true, span_id }),
        decision: Some(if sampled { Decision::Record } else { Decision::Drop }),
    })
}

pub(super) fn traceparent(context: &TraceContext) -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hex::write(&mut text[3..35], context.trace_id);
    hex::write(&mut text[36..52], u128::from(context.span_id));
    text[54] = if context.is_sampled() { b'1' } else { b'0' };
    header_value(&text)
}
