//! Answers kept in memory: which may be, for whom, for how long, and when a write makes them stale (RFC 9111).
//!
//! A route opts in with a time to live. A look-up notes the time on the [`TagClock`] before the upstream is
//! asked; whatever a write made stale since then is neither given out nor kept, so an answer that was under way
//! while its subject changed can never be given to anyone later.

mod key;
mod rules;
mod store;
mod tags;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{self, HeaderMap, HeaderName};
use portreeve_config::{CacheShare, Fault, Faults, RouteConfig};

pub use key::Asked;
pub use rules::{Bypass, RequestRule, StorePlan};
pub use store::{ResponseCache, Room, StoredResponse};
pub use tags::{Stamp, TagClock};

use crate::policy::routing::Captures;
use crate::policy::template::Template;

/// A route's `cache` section, compiled.
#[derive(Clone, Debug)]
pub struct CacheRule {
    ttl: Duration,
    /// `None` where the route does not say: then only requests that show no credentials are its business.
    share: Option<CacheShare>,
    tags: Vec<Template>,
    max_entry: usize,
}

/// One look-up: what was asked for, and when. Kept until the answer is there.
#[derive(Clone, Debug)]
pub struct Lookup {
    key: Arc<[u8]>,
    tags: Vec<u64>,
    stamp: Stamp,
}

impl CacheRule {
    /// Compiles a route's section; `names` are its path's placeholders.
    pub fn compile(
        route: &RouteConfig,
        names: &[Box<str>],
        needs_token: bool,
    ) -> Result<Option<Self>, Faults> {
        let Some(cache) = &route.cache else { return Ok(None) };
        let mut faults = Faults::default();
        if cache.share.is_none() && needs_token {
            let hint = "write `share: per_subject`, or `share: everyone` if the answer is the same for all";
            faults.push(
                Fault::new("cache.share", "the route wants a token but does not say who may share")
                    .hint(hint),
            );
        }
        let tags = compile_tags("cache.tags", &cache.tags, names, &mut faults);
        faults.into_result(Some(Self {
            ttl: cache.ttl.get(),
            share: cache.share,
            tags,
            max_entry: usize::try_from(cache.max_entry.get()).unwrap_or(usize::MAX),
        }))
    }

    /// Whether an answer to this request can be anyone's but its sender's, or can be told to be its sender's.
    /// `headers` are the client's own and what the gateway says of its connection: what a route adds for the service
    /// says nothing about the client.
    pub fn covers(&self, headers: &HeaderMap, is_identified: bool) -> bool {
        match self.share {
            Some(CacheShare::Everyone) => true,
            Some(CacheShare::PerSubject) => is_identified,
            None => !headers.keys().any(is_credential),
        }
    }

    /// Names what is asked for.
    pub fn lookup(&self, asked: Asked<'_>, captures: &Captures, clock: &TagClock) -> Lookup {
        let identity = asked.identity.filter(|_| self.is_per_subject());
        Lookup {
            key: key::key(asked, identity),
            tags: self.tags.iter().map(|tag| clock.slot(&tag.fill(asked.path, captures))).collect(),
            stamp: clock.now(),
        }
    }

    /// Whether an answer may be kept, and for how long. `response` is what the service says itself: what a route changes
    /// in it is for the client.
    pub fn plan(
        &self,
        status: http::StatusCode,
        request: &HeaderMap,
        response: &HeaderMap,
    ) -> Option<StorePlan> {
        let plan = rules::plan(status, request, response, self.ttl)?;
        let fits = plan.length.is_none_or(|length| length <= self.max_entry);
        (fits && (self.is_per_subject() || !rules::is_private(response))).then_some(plan)
    }

    fn is_per_subject(&self) -> bool {
        self.share == Some(CacheShare::PerSubject)
    }

    /// How long an answer stays fresh.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Who may be given a kept answer, where the route says so.
    pub fn share(&self) -> Option<CacheShare> {
        self.share
    }

    /// The largest body that is kept, in bytes.
    pub fn max_entry(&self) -> usize {
        self.max_entry
    }
}

/// Compiles `invalidates` or `tags`.
pub fn compile_tags(
    place: &str,
    written: &[String],
    names: &[Box<str>],
    faults: &mut Faults,
) -> Vec<Template> {
    let mut tags = Vec::with_capacity(written.len());
    for (index, text) in written.iter().enumerate() {
        match Template::compile(text, names) {
            Ok(template) => tags.push(template),
            Err(name) => faults.push(
                Fault::new(format!("{place}[{index}]"), format!("the route's path has no `{{{name}}}`"))
                    .hint("name a placeholder of `match.path`"),
            ),
        }
    }
    tags
}

/// Whether a field says who asks: by a token, by a session, or by the certificate that the gateway has verified.
fn is_credential(name: &HeaderName) -> bool {
    matches!(*name, header::AUTHORIZATION | header::COOKIE) || name.as_str().starts_with("x-client-cert-")
}

impl Lookup {
    /// Whether an answer that was asked for at `stamp` is still true.
    fn is_current(&self, clock: &TagClock, stamp: Stamp) -> bool {
        self.tags.iter().all(|slot| clock.is_unchanged(*slot, stamp))
    }
}

impl ResponseCache {
    /// The kept answer, if it is fresh, still true, and made for the same request headers.
    pub fn find(&self, lookup: &Lookup, request: &HeaderMap) -> Option<Arc<StoredResponse>> {
        let stored = self.get(&lookup.key)?;
        let usable = stored.expires > Instant::now()
            && stored.vary.iter().all(|(name, value)| {
                let mut values = request.get_all(name).iter();
                values.next() == value.as_ref() && values.next().is_none()
            })
            && lookup.is_current(&self.clock, stored.stamp);
        usable.then_some(stored)
    }

    /// Keeps an answer, unless a write has made it stale while it was under way.
    pub fn keep(&self, lookup: &Lookup, response: StoredResponse) {
        if lookup.is_current(&self.clock, lookup.stamp) {
            self.insert(Arc::clone(&lookup.key), StoredResponse { stamp: lookup.stamp, ..response });
        }
    }
}

#[cfg(test)]
mod tests;
