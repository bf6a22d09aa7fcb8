//! What is read, what is refused and what is written, form by form.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const NARROW: &str = "8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const PARENT: &str = "00f067aa0ba902b7";

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn read(fields: &[(&'static str, &str)]) -> TraceContext {
    TraceContext::from_headers(&map(fields), &Sampler::new(1.0), Propagation::W3c)
}

/// The fields as they leave for the next hop.
fn passed_on(fields: &[(&'static str, &str)], default: Propagation) -> BTreeMap<String, String> {
    let mut headers = map(fields);
    let context = TraceContext::from_headers(&headers, &Sampler::new(1.0), default);
    context.child().inject(&mut headers);
    headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

fn digits(id: u64) -> String {
    format!("{id:016x}")
}

#[test]
fn valid_forms_are_continued() {
    let cases: &[&[(&str, &str)]] = &[
        &[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))],
        &[("traceparent", &format!("00-{TRACE}-{SPAN}-03"))],
        &[("traceparent", &format!("01-{TRACE}-{SPAN}-01"))],
        &[("traceparent", &format!("cc-{TRACE}-{SPAN}-01-what-comes-later"))],
        &[("b3", &format!("{TRACE}-{SPAN}-1"))],
        &[("b3", &format!("{TRACE}-{SPAN}-1-{PARENT}"))],
        &[("b3", &format!("{TRACE}-{SPAN}-d"))],
        &[("b3", &format!("{TRACE}-{SPAN}"))],
        &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)],
        &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "true")],
        &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-parentspanid", PARENT), ("x-b3-flags", "1")],
        // A malformed form does not spoil a valid one.
        &[("traceparent", "00-zz"), ("b3", &format!("{TRACE}-{SPAN}-1"))],
        &[("b3", "nonsense"), ("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)],
    ];
    for fields in cases {
        let context = read(fields);
        assert_eq!(context.trace_id_text().as_str(), TRACE, "{fields:?}");
        assert_eq!(context.parent_id().map(digits).as_deref(), Some(SPAN), "{fields:?}");
        assert_ne!(digits(context.span_id()), SPAN, "{fields:?}");
        assert!(context.is_sampled(), "{fields:?}");
    }
}

#[test]
fn malformed_forms_begin_a_new_trace_and_go_no_further() {
    let zero_trace = "0".repeat(32);
    let upper = TRACE.to_uppercase();
    let cases: &[&[(&str, &str)]] = &[
        &[("traceparent", "")],
        &[("traceparent", &format!("ff-{TRACE}-{SPAN}-01"))],
        &[("traceparent", &format!("00-{TRACE}-{SPAN}-01-more"))],
        &[("traceparent", &format!("01-{TRACE}-{SPAN}-01more"))],
        &[("traceparent", &format!("00-{TRACE}-{SPAN}-0"))],
        &[("traceparent", &format!("00-{TRACE}-{SPAN}-0G"))],
        &[("traceparent", &format!("0x-{TRACE}-{SPAN}-01"))],
        &[("traceparent", &format!("00-{upper}-{SPAN}-01"))],
        &[("traceparent", &format!("00-{zero_trace}-{SPAN}-01"))],
        &[("traceparent", &format!("00-{TRACE}-0000000000000000-01"))],
        &[("traceparent", &format!("00_{TRACE}-{SPAN}-01"))],
        &[
            ("traceparent", &format!("00-{TRACE}-{SPAN}-01")),
            ("traceparent", &format!("00-{TRACE}-{SPAN}-01")),
        ],
        &[("b3", "")],
        &[("b3", "2")],
        &[("b3", "-")],
        &[("b3", TRACE)],
        &[("b3", &format!("{TRACE}-{SPAN}-2"))],
        &[("b3", &format!("{TRACE}-{SPAN}-"))],
        &[("b3", &format!("{TRACE}-{SPAN}-1-{PARENT}-1"))],
        &[("b3", &format!("{TRACE}-{SPAN}-1-abc"))],
        &[("b3", &format!("{upper}-{SPAN}-1"))],
        &[("b3", &format!("{zero_trace}-{SPAN}-1"))],
        &[("b3", &format!("{}-{SPAN}-1", &TRACE[1..]))],
        &[("b3", &format!("{TRACE}-{}-1", &SPAN[1..]))],
        &[("b3", "0"), ("b3", "1")],
        &[("x-b3-traceid", TRACE)],
        &[("x-b3-spanid", SPAN)],
        &[("x-b3-traceid", TRACE), ("x-b3-spanid", "short")],
        &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "maybe")],
        &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-parentspanid", "x")],
        &[("x-b3-traceid", TRACE), ("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)],
        &[("x-b3-flags", "0")],
        &[("x-b3-parentspanid", PARENT)],
    ];
    for fields in cases {
        let context = read(fields);
        assert_eq!(context.parent_id(), None, "{fields:?}");
        assert_ne!(context.trace_id_text().as_str(), TRACE, "{fields:?}");
        let names: Vec<_> = passed_on(fields, Propagation::W3c).into_keys().collect();
        assert_eq!(names, ["traceparent"], "{fields:?}");
    }
}

#[test]
fn each_form_leaves_as_it_came() {
    let narrow = [("b3", &*format!("{NARROW}-{SPAN}-1"))];
    let sent = passed_on(&narrow, Propagation::W3c);
    assert_eq!(sent.keys().collect::<Vec<_>>(), ["b3"]);
    let parts: Vec<_> = sent["b3"].split('-').collect();
    assert_eq!((parts[0], parts[2], parts.len()), (NARROW, "1", 4));
    assert_ne!(parts[1], SPAN);

    let multi = [("x-b3-traceid", NARROW), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0")];
    let sent = passed_on(&multi, Propagation::W3c);
    assert_eq!(sent.len(), 4);
    assert_eq!((&*sent["x-b3-traceid"], &*sent["x-b3-sampled"]), (NARROW, "0"));
    assert_ne!(sent["x-b3-spanid"], sent["x-b3-parentspanid"]);

    let sent = passed_on(&[("x-b3-flags", "1")], Propagation::W3c);
    assert_eq!(sent["x-b3-flags"], "1");
    assert!(!sent.contains_key("x-b3-sampled"));

    let state = [("traceparent", &*format!("00-{TRACE}-{SPAN}-00")), ("tracestate", "a=1,b=2")];
    let sent = passed_on(&state, Propagation::B3);
    assert_eq!(sent["tracestate"], "a=1,b=2");
    assert!(sent["traceparent"].starts_with(&format!("00-{TRACE}-")));
    assert!(sent["traceparent"].ends_with("-00"));
}

#[test]
fn all_forms_found_are_rewritten_with_the_same_span() {
    let other = "f".repeat(32);
    let fields = [
        ("traceparent", &*format!("00-{TRACE}-{SPAN}-01")),
        ("b3", &*format!("{other}-{PARENT}-0")),
        ("x-b3-traceid", NARROW),
        ("x-b3-spanid", PARENT),
    ];
    let sent = passed_on(&fields, Propagation::W3c);
    let span = &sent["traceparent"][36..52];
    assert!(sent["traceparent"].starts_with(&format!("00-{TRACE}-")));
    assert!(sent["b3"].starts_with(&format!("{TRACE}-{span}-1-")), "{sent:?}");
    assert_eq!((&*sent["x-b3-traceid"], &*sent["x-b3-spanid"]), (TRACE, span));
}

#[test]
fn new_traces_leave_in_the_default_form() {
    let cases = [
        (Propagation::W3c, vec!["traceparent"]),
        (Propagation::B3, vec!["b3"]),
        (Propagation::B3Multi, vec!["x-b3-parentspanid", "x-b3-sampled", "x-b3-spanid", "x-b3-traceid"]),
    ];
    for (form, expected) in cases {
        let sent = passed_on(&[("tracestate", "orphan=1")], form);
        assert_eq!(sent.into_keys().collect::<Vec<_>>(), expected, "{form:?}");
    }
}

#[test]
fn the_callers_decision_stands_and_only_a_missing_one_is_made() {
    let none = Sampler::new(0.0);
    let decided = |fields: &[(&'static str, &str)], sampler: &Sampler| {
        TraceContext::from_headers(&map(fields), sampler, Propagation::W3c).is_sampled()
    };
    assert!(decided(&[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))], &none));
    assert!(decided(&[("b3", "1")], &none));
    assert!(decided(&[("b3", "d")], &none));
    assert!(!decided(&[("b3", "0")], &Sampler::new(1.0)));
    assert!(!decided(&[("x-b3-sampled", "0")], &Sampler::new(1.0)));
    assert!(!decided(&[("b3", &format!("{TRACE}-{SPAN}"))], &none));
    assert!(!decided(&[], &none));
}

#[test]
fn the_trace_id_alone_decides() {
    let half = Sampler::new(0.5);
    assert_eq!(half.decide(u128::from(u64::MAX) << 64), Decision::Record);
    assert_eq!(half.decide(u128::from(u64::MAX)), Decision::Drop);
    assert_eq!(Sampler::new(1.0).decide(u128::MAX), Decision::Record);
    assert_eq!(Sampler::new(f64::NAN).decide(1), Decision::Drop);
    assert_eq!(Sampler::new(-3.0).decide(1), Decision::Drop);
    assert_eq!(Sampler::new(7.0).decide(u128::MAX), Decision::Record);
    let recorded = (0..10_000).filter(|_| half.decide(ids::trace_id()) == Decision::Record).count();
    assert!((4_700..5_300).contains(&recorded), "{recorded}");
}

#[test]
fn a_child_hangs_below_its_parent() {
    let parent = read(&[]);
    let child = parent.child();
    assert_eq!((child.trace_id(), child.parent_id()), (parent.trace_id(), Some(parent.span_id())));
    assert_ne!(child.span_id(), parent.span_id());
    assert_eq!(parent.trace_id_text().len(), 32);
    assert_eq!(format!("{}", parent.trace_id_text()), format!("{:032x}", parent.trace_id()));
}
