//! The embedded trace store: spans in memory, up to a bound, and what Zipkin's API asks of them.

mod json;
mod linker;
mod merge;
mod proto;
mod query;
mod span;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

pub(crate) use linker::Link;
pub(crate) use query::{DEFAULT_LOOKBACK_MS, Query, QueryFault, positive};
pub(crate) use span::{Span, SpanFault, trace_id};

/// Memory for spans: this many bytes for each span that may be kept.
const BYTES_PER_SPAN: usize = 2048;

/// A form spans come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Protobuf,
}

/// Every span that is kept. The oldest traces go first when there are too many.
#[derive(Debug)]
pub(crate) struct TraceStore {
    most_spans: usize,
    kept: RwLock<Kept>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the low 64 bits of the trace id, which its short and long form share.
    traces: HashMap<String, Trace>,
    /// The start of each trace, and its low id: what goes first.
    order: BTreeSet<(i64, String)>,
    spans: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Trace {
    spans: Vec<Arc<Span>>,
    /// Hashes of the spans: a span that is sent twice is kept once.
    hashes: HashSet<u64>,
    start: i64,
}

/// Reads spans from a message.
pub(crate) fn decode(encoding: Encoding, body: &[u8]) -> Result<Vec<Span>, SpanFault> {
    match encoding {
        Encoding::Json => json::decode(body),
        Encoding::Protobuf => proto::decode(body),
    }
}

impl TraceStore {
    pub(crate) fn new(most_spans: usize) -> Self {
        Self { most_spans, kept: RwLock::default(), hasher: RandomState::new() }
    }

    /// Keeps spans. `now` in microseconds since 1970 stands for the time of spans that have none.
    pub(crate) fn add(&self, spans: Vec<Span>, now: i64) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        for span in spans {
            let hash = self.hasher.hash_one(&span);
            kept.add(span, hash, now);
        }
        while kept.spans > self.most_spans || kept.bytes > self.most_spans.saturating_mul(BYTES_PER_SPAN) {
            let Some((_, oldest)) = kept.order.pop_first() else { break };
            kept.drop_trace(&oldest);
        }
    }

    /// How many spans are kept.
    pub(crate) fn len(&self) -> usize {
        self.read(|kept| kept.spans)
    }

    /// Names of services that reported spans, in order.
    pub(crate) fn services(&self) -> BTreeSet<String> {
        self.names(|span| span.local_service())
    }

    /// Names of the spans of one service, in order.
    pub(crate) fn span_names(&self, service: &str) -> BTreeSet<String> {
        self.names(|span| span.name.as_deref().filter(|_| span.local_service() == Some(service)))
    }

    /// Names of the services that one service called or was called by, in order.
    pub(crate) fn remote_services(&self, service: &str) -> BTreeSet<String> {
        self.names(|span| span.remote_service().filter(|_| span.local_service() == Some(service)))
    }

    /// The spans of one trace; `id` in its normalised form.
    pub(crate) fn trace(&self, id: &str) -> Vec<Arc<Span>> {
        let low = &id[id.len().saturating_sub(16)..];
        self.read(|kept| {
            let spans = kept.traces.get(low).map(|trace| trace.spans.iter());
            spans.into_iter().flatten().filter(|span| span.trace_id == id).cloned().collect()
        })
    }

    /// The traces that match, newest first.
    pub(crate) fn traces(&self, query: &Query) -> Vec<Vec<Arc<Span>>> {
        let mut found = self.read(|kept| {
            let traces = kept.traces.values().flat_map(Trace::by_exact_id);
            let dated = traces.filter_map(|trace| Some((query.matches(&trace)?, trace)));
            dated.collect::<Vec<_>>()
        });
        found.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        found.truncate(query.limit);
        found.into_iter().map(|(_, trace)| trace).collect()
    }

    /// Who called whom, from every trace with a span between two times (microseconds since 1970).
    pub(crate) fn links(&self, from: i64, to: i64) -> Vec<Link> {
        let traces: Vec<Vec<Arc<Span>>> = self.read(|kept| {
            let within = |span: &Arc<Span>| span.timestamp.is_some_and(|time| (from..=to).contains(&time));
            let traces = kept.traces.values().filter(|trace| trace.spans.iter().any(within));
            traces.map(|trace| trace.spans.clone()).collect()
        });
        linker::links(traces.iter().map(Vec::as_slice))
    }

    fn names(&self, name: impl Fn(&Span) -> Option<&str>) -> BTreeSet<String> {
        self.read(|kept| {
            let spans = kept.traces.values().flat_map(|trace| &trace.spans);
            let names: BTreeSet<&str> = spans.filter_map(|span| name(span)).collect();
            names.into_iter().map(str::to_owned).collect()
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.kept.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn add(&mut self, span: Span, hash: u64, now: i64) {
        let start = span.timestamp.unwrap_or(now);
        let low = span.low_id().to_owned();
        let trace = self.traces.entry(low.clone()).or_default();
        if !trace.hashes.insert(hash) {
            return;
        }
        if trace.spans.is_empty() || start < trace.start {
            self.order.remove(&(trace.start, low.clone()));
            self.order.insert((start, low));
            trace.start = start;
        }
        self.spans += 1;
        self.bytes += span.weight();
        trace.spans.push(Arc::new(span));
    }

    fn drop_trace(&mut self, low: &str) {
        if let Some(trace) = self.traces.remove(low) {
            self.spans -= trace.spans.len();
            self.bytes -= trace.spans.iter().map(|span| span.weight()).sum::<usize>();
        }
    }
}

impl Trace {
    /// Traces whose ids differ only in the upper 64 bits are different traces to a reader.
    fn by_exact_id(&self) -> Vec<Vec<Arc<Span>>> {
        let mut traces: BTreeMap<&str, Vec<Arc<Span>>> = BTreeMap::new();
        for span in &self.spans {
            traces.entry(&span.trace_id).or_default().push(span.clone());
        }
        traces.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn store(most: usize, spans: &str) -> TraceStore {
        let store = TraceStore::new(most);
        store.add(json::decode(spans.as_bytes()).unwrap(), 1);
        store
    }

    fn named(trace: u32, time: u32, service: &str) -> String {
        format!(
            "{{\"traceId\":\"{trace}\",\"id\":\"1\",\"timestamp\":{time},\"localEndpoint\":{{\"serviceName\":\"{service}\"}}}}"
        )
    }

    #[test]
    fn the_oldest_trace_goes_first_and_its_names_with_it() {
        let spans = [named(1, 30, "late"), named(2, 10, "early"), named(3, 20, "middle")].join(",");
        let store = store(2, &format!("[{spans}]"));
        assert_eq!(store.len(), 2);
        assert_eq!(store.services().into_iter().collect::<Vec<_>>(), ["late", "middle"]);
        assert!(store.trace("0000000000000002").is_empty());
    }

    #[test]
    fn a_span_sent_twice_is_kept_once() {
        let span = named(1, 30, "a");
        assert_eq!(store(10, &format!("[{span},{span}]")).len(), 1);
    }

    #[test]
    fn large_spans_are_bounded_by_their_bytes() {
        let large = "x".repeat(BYTES_PER_SPAN);
        let span = |id: u32| format!("{{\"traceId\":\"{id}\",\"id\":\"1\",\"tags\":{{\"a\":\"{large}\"}}}}");
        let store = store(4, &format!("[{},{},{},{}]", span(1), span(2), span(3), span(4)));
        assert!(store.len() < 4);
    }

    #[test]
    fn long_and_short_ids_are_apart_where_read_and_together_where_linked() {
        let spans = "[{\"traceId\":\"a\",\"id\":\"1\",\"timestamp\":1},{\"traceId\":\"1000000000000000000000000000000a\",\"id\":\"2\",\"timestamp\":1}]";
        let store = store(10, spans);
        assert_eq!(store.trace("000000000000000a").len(), 1);
        assert_eq!(store.read(|kept| kept.traces.len()), 1);
        assert_eq!(store.read(|kept| kept.traces.values().next().unwrap().by_exact_id().len()), 2);
    }
}
