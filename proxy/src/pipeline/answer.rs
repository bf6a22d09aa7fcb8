//! **inbound**: an answer on its way to the client, whoever gave it.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::{StatusCode, Version, response};

use super::{CACHE_STATUS, CacheOutcome, Exchange, Fill, route_of};
use crate::policy::cache::{Lookup, StorePlan};
use crate::policy::headers;
use crate::rejection::{Blame, Rejection, Speaker};

impl Exchange {
    /// **inbound**: the answer's head for the client, and what is needed to keep the answer if it may be kept.
    pub fn inbound(&mut self, request: &HeaderMap, answer: &mut response::Parts) -> Option<Box<Fill>> {
        // Before anything is changed: it is the service that says whether its answer is one for all.
        let plan = self.plan_to_keep(request, answer);
        headers::remove_hop_by_hop(&mut answer.headers, |_| false);
        self.pinned.settings.via.add(&mut answer.headers, answer.version);
        self.say_request_id(&mut answer.headers);
        headers::add_date(&mut answer.headers);
        answer.version = Version::HTTP_11;
        if !answer.status.is_client_error() {
            self.invalidate();
        }
        self.translate_answer(&mut answer.headers);
        let route = route_of(&self.route, &self.pinned)?;
        route.response_headers.apply(&mut answer.headers);
        self.status = answer.status.as_u16();
        let rule = route.cache.as_ref()?;
        let fill = plan.and_then(|(lookup, plan)| {
            let plan = plan.changed(request, &answer.headers)?;
            Fill::new(Arc::clone(&self.pinned.plane), lookup, plan, answer, rule.max_entry())
        });
        self.say_cache_status(&mut answer.headers, fill.is_some());
        fill.map(Box::new)
    }

    fn plan_to_keep(&mut self, request: &HeaderMap, answer: &response::Parts) -> Option<(Lookup, StorePlan)> {
        let lookup = self.lookup.take().filter(|_| says_its_end(&answer.headers))?;
        let rule = self.route()?.cache.as_ref()?;
        Some((lookup, rule.plan(answer.status, request, &answer.headers)?))
    }

    /// Makes stale what this request may have changed.
    pub(super) fn invalidate(&self) {
        let (Some(route), Some((_, captures))) = (self.route(), &self.route) else { return };
        for tag in &route.invalidates {
            self.pinned.plane.cache.clock.invalidate(&tag.fill(self.target.path(), captures));
        }
    }

    fn say_cache_status(&self, headers: &mut HeaderMap, stored: bool) {
        let forwarded = match self.cache {
            Some(CacheOutcome::Miss) => "uri-miss",
            Some(CacheOutcome::Bypass) => "request",
            Some(CacheOutcome::Hit) | None => return,
        };
        let stored = if stored { "; stored" } else { "" };
        let text = format!("{}; fwd={forwarded}{stored}", self.pinned.settings.name);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(CACHE_STATUS, value);
        }
    }

    pub(super) fn say_request_id(&self, fields: &mut HeaderMap) {
        if let Some(id) = &self.request_id {
            fields.insert(headers::REQUEST_ID, id.clone());
        }
    }

    /// The answer when the request was refused at any of the verbs.
    pub fn reject(&mut self, rejection: &Rejection) -> (StatusCode, HeaderMap, String) {
        self.status = rejection.status().as_u16();
        self.reason = Some((rejection.reason(), rejection.blame()));
        let trace_id = self.trace.trace_id_text();
        let settings = &self.pinned.settings;
        let speaker = Speaker { proxy: &settings.name, realm: &settings.realm, trace_id: trace_id.as_str() };
        let (status, mut fields, text) = rejection.answer(&speaker);
        self.say_request_id(&mut fields);
        headers::add_date(&mut fields);
        self.in_callers_form(rejection, (status, fields, text))
    }

    /// Notes that the client got this status from the cache.
    pub fn answered_from_cache(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    /// Notes that this many bytes of the answer's body went to the client.
    pub fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Notes that the service's answer broke off after its head had been passed on.
    pub fn answer_broke_off(&mut self) {
        self.reason = Some(("answer_broke_off", Blame::Service));
    }

    /// Notes that the answer was broken off because the request had taken too long.
    pub fn too_old(&mut self) {
        self.reason = Some(("request_age", Blame::Service));
    }

    /// Notes that the client left before it had the whole answer.
    pub fn client_left(&mut self) {
        self.reason.get_or_insert(("client_left", Blame::Client));
    }
}

/// Whether it will show when a body breaks off; without either field it just ends with its connection.
fn says_its_end(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING))
}
