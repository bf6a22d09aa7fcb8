//! Which traces a search finds, by Zipkin's rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::span::Span;

/// Terms of an annotation query that are looked at.
const MOST_TERMS: usize = 100;
/// A day.
pub(crate) const DEFAULT_LOOKBACK_MS: i64 = 86_400_000;

/// A search for traces.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Query {
    service: Option<String>,
    remote_service: Option<String>,
    span_name: Option<String>,
    /// What must be there: a tag with this value, or, where it is empty, a tag or an annotation of this name.
    terms: BTreeMap<String, String>,
    min_duration: Option<i64>,
    max_duration: Option<i64>,
    /// Milliseconds since 1970.
    end: i64,
    lookback: i64,
    pub(crate) limit: usize,
}

/// What is wrong with a search.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryFault {
    #[error("{0} is not a number")]
    NotANumber(&'static str),
    #[error("{0} <= 0")]
    NotPositive(&'static str),
    #[error("maxDuration < minDuration")]
    Backwards,
    #[error("maxDuration is only valid with minDuration")]
    MaxAlone,
    #[error("Required parameter '{0}' is not present")]
    Missing(&'static str),
}

impl Query {
    /// From the parameters of a request. `now` in milliseconds since 1970 is where the search ends by default.
    pub(crate) fn parse(parameters: &BTreeMap<String, String>, now: i64) -> Result<Self, QueryFault> {
        let text =
            |name: &str| parameters.get(name).map(|value| value.to_lowercase()).filter(|v| !v.is_empty());
        let query = Self {
            service: text("serviceName"),
            remote_service: text("remoteServiceName"),
            span_name: text("spanName").filter(|name| name != "all"),
            terms: parameters.get("annotationQuery").map(|query| terms(query)).unwrap_or_default(),
            min_duration: positive(parameters, "minDuration")?,
            max_duration: positive(parameters, "maxDuration")?,
            end: positive(parameters, "endTs")?.unwrap_or(now),
            lookback: positive(parameters, "lookback")?.unwrap_or(DEFAULT_LOOKBACK_MS),
            limit: positive(parameters, "limit")?
                .map_or(10, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        };
        match (query.min_duration, query.max_duration) {
            (None, Some(_)) => Err(QueryFault::MaxAlone),
            (Some(min), Some(max)) if max < min => Err(QueryFault::Backwards),
            _ => Ok(query),
        }
    }

    /// The time of a trace (microseconds since 1970), if it is one that is searched for.
    pub(super) fn matches(&self, trace: &[Arc<Span>]) -> Option<i64> {
        let time = time_of(trace)?;
        let end = self.end.saturating_mul(1000);
        let start = self.end.saturating_sub(self.lookback).saturating_mul(1000);
        ((start..=end).contains(&time) && self.conditions_hold(trace)).then_some(time)
    }

    /// The service says which spans may meet the other conditions; each may be met by another of them.
    fn conditions_hold(&self, trace: &[Arc<Span>]) -> bool {
        let mut spans = Vec::with_capacity(trace.len());
        let of_service =
            |span: &&Arc<Span>| self.service.is_none() || span.local_service() == self.service.as_deref();
        spans.extend(trace.iter().filter(of_service));
        !spans.is_empty()
            && meets(&self.remote_service, |name| {
                spans.iter().any(|span| span.remote_service() == Some(name))
            })
            && meets(&self.span_name, |name| spans.iter().any(|span| span.name.as_deref() == Some(name)))
            && self.terms.iter().all(|(key, value)| spans.iter().any(|span| holds(span, key, value)))
            && meets(&self.min_duration, |_| spans.iter().any(|span| self.duration_fits(span)))
    }

    fn duration_fits(&self, span: &Span) -> bool {
        let Some(duration) = span.duration else { return false };
        self.min_duration.is_none_or(|min| duration >= min)
            && self.max_duration.is_none_or(|max| duration <= max)
    }
}

/// A number above 0, if it is given.
pub(crate) fn positive(
    parameters: &BTreeMap<String, String>,
    name: &'static str,
) -> Result<Option<i64>, QueryFault> {
    let Some(text) = parameters.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let number = text.trim().parse::<i64>().map_err(|_| QueryFault::NotANumber(name))?;
    if number <= 0 { Err(QueryFault::NotPositive(name)) } else { Ok(Some(number)) }
}

fn meets<T, U: ?Sized>(condition: &Option<T>, check: impl FnOnce(&U) -> bool) -> bool
where
    T: std::borrow::Borrow<U>,
{
    condition.as_ref().is_none_or(|condition| check(condition.borrow()))
}

fn holds(span: &Span, key: &str, value: &str) -> bool {
    match value {
        "" => {
            span.tags.contains_key(key) || span.annotations.iter().any(|annotation| annotation.value == key)
        }
        value => span.tags.get(key).is_some_and(|tag| tag == value),
    }
}

/// The time of the first root span that has one, else the earliest of all.
fn time_of(trace: &[Arc<Span>]) -> Option<i64> {
    let root = trace.iter().filter(|span| span.parent_id.is_none()).find_map(|span| span.timestamp);
    root.or_else(|| trace.iter().filter_map(|span| span.timestamp).min())
}

fn terms(query: &str) -> BTreeMap<String, String> {
    let mut terms = BTreeMap::new();
    for term in query.split(" and ").take(MOST_TERMS) {
        match term.split_once('=') {
            Some((key, value)) => {
                terms.insert(key.trim().to_owned(), value.trim().to_owned());
            }
            None if term.trim().is_empty() => {}
            None => {
                terms.entry(term.trim().to_owned()).or_default();
            }
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::super::json::decode;
    use super::*;

    fn query(parameters: &[(&str, &str)]) -> Result<Query, String> {
        let parameters = parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Query::parse(&parameters, 1_000).map_err(|fault| fault.to_string())
    }

    fn trace() -> Vec<Arc<Span>> {
        let spans = json!([
            {"traceId": "1", "id": "1", "name": "get /", "timestamp": 500_000, "duration": 100,
             "localEndpoint": {"serviceName": "gateway"}, "tags": {"http.path": "/", "a": "b=c"}},
            {"traceId": "1", "id": "2", "parentId": "1", "name": "query", "timestamp": 400_000, "duration": 10,
             "localEndpoint": {"serviceName": "orders"}, "remoteEndpoint": {"serviceName": "mysql"},
             "annotations": [{"timestamp": 1, "value": "retry"}], "tags": {"error": ""}},
        ]);
        decode(spans.to_string().as_bytes()).unwrap().into_iter().map(Arc::new).collect()
    }

    #[test]
    fn bad_parameters_are_refused_in_zipkins_words() {
        for (name, value, expected) in [
            ("endTs", "0", "endTs <= 0"),
            ("limit", "-1", "limit <= 0"),
            ("lookback", "0", "lookback <= 0"),
            ("minDuration", "0", "minDuration <= 0"),
            ("maxDuration", "1", "maxDuration is only valid with minDuration"),
            ("limit", "many", "limit is not a number"),
        ] {
            assert_eq!(query(&[(name, value)]).unwrap_err(), expected);
        }
        let backwards = query(&[("minDuration", "5"), ("maxDuration", "4")]);
        assert_eq!(backwards.unwrap_err(), "maxDuration < minDuration");
    }

    #[test]
    fn conditions_are_met_by_spans_of_the_service() {
        for (parameters, expected) in [
            (&[][..], true),
            (&[("serviceName", "GATEWAY")], true),
            (&[("serviceName", "users")], false),
            (&[("spanName", "query")], true),
            (&[("spanName", "all"), ("serviceName", "gateway")], true),
            (&[("spanName", "query"), ("serviceName", "gateway")], false),
            (&[("remoteServiceName", "mysql"), ("serviceName", "orders")], true),
            (&[("remoteServiceName", "mysql"), ("serviceName", "gateway")], false),
            (&[("annotationQuery", "error and retry")], true),
            (&[("annotationQuery", "http.path=/ and retry")], true),
            (&[("annotationQuery", "http.path=/x")], false),
            (&[("annotationQuery", "a=b=c and a")], true),
            (&[("annotationQuery", "error"), ("serviceName", "gateway")], false),
            (&[("minDuration", "50")], true),
            (&[("minDuration", "50"), ("serviceName", "orders")], false),
            (&[("minDuration", "5"), ("maxDuration", "10")], true),
            (&[("minDuration", "11"), ("maxDuration", "99")], false),
        ] {
            assert_eq!(query(parameters).unwrap().matches(&trace()).is_some(), expected, "{parameters:?}");
        }
    }

    #[test]
    fn the_time_of_a_trace_is_its_roots_and_borders_count() {
        let at = |end: &str, lookback: &str| {
            query(&[("endTs", end), ("lookback", lookback)]).unwrap().matches(&trace())
        };
        assert_eq!(at("500", "1"), Some(500_000));
        assert_eq!(at("600", "100"), Some(500_000));
        assert_eq!(at("499", "400"), None);
        assert_eq!(at("600", "99"), None);
        let untimed = json!([{"traceId": "1", "id": "1"}]).to_string();
        let untimed: Vec<_> = decode(untimed.as_bytes()).unwrap().into_iter().map(Arc::new).collect();
        assert_eq!(query(&[]).unwrap().matches(&untimed), None);
    }
}
