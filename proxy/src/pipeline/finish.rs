//! **finish**: what is left of a request when it is over: spans, counters, a log line.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::response;

use super::attempts::Attempt;
use super::{AttemptFault, CacheOutcome, Exchange};
use crate::access_log::{Line, timestamp};
use crate::metrics::{Finished, PlaneStats};
use crate::telemetry::{Remote, Span, SpanKind, SpanSink};

/// The status of a client that left before its answer, in logs (nginx's convention).
const CLIENT_GONE: u16 = 499;

impl Drop for Exchange {
    fn drop(&mut self) {
        let took = self.clock.elapsed();
        // An attempt that is still open was given up together with its client, and may have done its work.
        if let Some(attempt) = self.attempts.current.take() {
            self.invalidate();
            self.record_attempt(&attempt, &Err(AttemptFault::ClientGone));
        }
        self.record_request(took);
        self.count(took);
        self.log(took);
    }
}

impl Exchange {
    /// The span of one attempt at an instance.
    pub(super) fn record_attempt(&self, attempt: &Attempt, outcome: &Result<&response::Parts, AttemptFault>) {
        if outcome.is_err() {
            PlaneStats::count(&self.pinned.plane.stats.attempts_failed);
        }
        let Some(sink) = self.sink() else { return };
        let begun = attempt.clock.unwrap_or(self.clock);
        let mut attributes: Attributes = vec![("http.method", self.method.as_str().to_owned().into())];
        let error = match outcome {
            Ok(head) => {
                attributes.push(("http.status_code", head.status.as_str().to_owned().into()));
                head.status.is_server_error().then(|| head.status.as_str().to_owned().into())
            }
            Err(fault) => Some(Cow::Borrowed(fault.word())),
        };
        let route = self.route();
        sink.record(Span {
            context: attempt.trace,
            kind: SpanKind::Client,
            name: self.span_name(),
            start: self.began() + begun.saturating_duration_since(self.clock),
            duration: begun.elapsed(),
            error,
            attributes,
            remote: Remote {
                service: route.map(|route| Arc::clone(&route.service)),
                address: attempt.endpoint.address.socket(),
            },
        });
    }

    /// The span of the whole request.
    fn record_request(&self, took: Duration) {
        let Some(sink) = self.sink() else { return };
        let mut attributes: Attributes = vec![
            ("http.method", self.method.as_str().to_owned().into()),
            ("http.path", self.target.path().to_owned().into()),
        ];
        if self.status != 0 {
            attributes.push(("http.status_code", self.status.to_string().into()));
        }
        if let Some(route) = self.route() {
            attributes.push(("portreeve.route", route.name.to_string().into()));
        }
        if let Some(outcome) = self.cache {
            attributes.push(("portreeve.cache", outcome.word().into()));
        }
        let error = match (self.reason, self.status) {
            (Some((reason, _)), _) => Some(Cow::Borrowed(reason)),
            (None, 0) => Some("client_gone".into()),
            (None, 500..) => Some(self.status.to_string().into()),
            (None, _) => None,
        };
        sink.record(Span {
            context: self.trace,
            kind: SpanKind::Server,
            name: self.span_name(),
            start: self.began(),
            duration: took,
            error,
            attributes,
            remote: Remote { service: None, address: self.client.map(|client| (client, 0).into()) },
        });
    }

    /// When the request's head was there, by the calendar: asked for only where something is written down.
    fn began(&self) -> SystemTime {
        let now = SystemTime::now();
        now.checked_sub(self.clock.elapsed()).unwrap_or(now)
    }

    /// Where spans of this request go; `None` for one that is not recorded.
    pub(super) fn sink(&self) -> Option<&dyn SpanSink> {
        self.pinned.settings.spans.as_deref().filter(|_| self.trace.is_sampled())
    }

    /// Method and route: names are indexed, so a path with ids in it would be a new name for every request.
    fn span_name(&self) -> Cow<'static, str> {
        match self.route() {
            Some(route) => format!("{} {}", self.method, route.name).into(),
            None => self.method.as_str().to_owned().into(),
        }
    }

    fn count(&self, took: Duration) {
        let pinned = &self.pinned;
        let stats = self.route().map_or(&pinned.plane.unrouted, |route| &route.stats);
        stats.record(
            pinned.worker,
            Finished {
                status: self.status,
                took,
                cache: self.cache.map(|outcome| outcome as usize),
                retries: u64::from(self.attempts.made.saturating_sub(1)),
            },
        );
    }

    fn log(&self, took: Duration) {
        let Some(log) = &self.pinned.plane.log else { return };
        let route = self.route();
        let trace_id = self.trace.trace_id_text();
        let request_id = self.request_id.as_ref().and_then(|id| id.to_str().ok());
        log.write(
            self.pinned.worker,
            &Line {
                time: timestamp(self.began()),
                client: self.client,
                method: self.method.as_str(),
                host: self.target.host(),
                path: self.target.path(),
                status: if self.status == 0 { CLIENT_GONE } else { self.status },
                bytes: self.bytes,
                duration_ms: took.as_micros() as f64 / 1000.0,
                route: route.map(|route| &*route.name),
                service: route.map(|route| &*route.service),
                endpoint: self.attempts.answered_by.as_ref().map(|endpoint| &endpoint.address),
                attempts: self.attempts.made,
                cache: self.cache.map(CacheOutcome::word),
                subject: self.identity.as_ref().map(|identity| identity.subject.as_str()),
                reason: self.reason.map(|(reason, _)| reason),
                at_fault: self.reason.map(|(_, blame)| blame),
                request_id: request_id.filter(|id| *id != trace_id.as_str()),
                trace_id: trace_id.as_str(),
            },
        );
    }
}

type Attributes = Vec<(&'static str, Cow<'static, str>)>;

impl CacheOutcome {
    fn word(self) -> &'static str {
        crate::metrics::CACHE_OUTCOMES[self as usize]
    }
}

impl AttemptFault {
    fn word(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::Tls => "upstream_tls",
            Self::NoSwitch => "no_switch",
            Self::Certificate => "upstream_certificate",
            Self::TooOld => "request_age",
            Self::BodySlow => "body_slow",
            Self::Reset | Self::StreamReset => "reset",
            Self::Broken => "broken",
            Self::BodyTooLarge => "body_too_large",
            Self::ClientGone => "client_gone",
            Self::BodyLate => "body_late",
            Self::TimedOut => "timed_out",
        }
    }
}
