//! A request that is never sent goes through the verbs as far as the configuration alone decides: no token is verified,
//! nothing is taken from the cache, and no instance's turn is used up. What it meets is the code that live requests
//! meet.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, request};

use super::routed::view_of;
use super::{Exchange, dress, fits, key_of, route_of};
use crate::policy::cache::RequestRule;
use crate::policy::routing::{Captures, Witness};
use crate::rejection::Rejection;
use crate::snapshot::Route;

/// What became of a rehearsed request.
pub struct Rehearsed {
    /// Why it would not be let in.
    pub refusal: Option<Rejection>,
    /// Where it would go if it were; `None` where no route takes it.
    pub onward: Option<Onward>,
}

/// Where a request would go.
pub struct Onward {
    /// The route, as a position in the snapshot.
    pub route: usize,
    /// What its path captured.
    pub captures: Captures,
    /// The canonical path that they are parts of.
    pub path: String,
    /// What an instance would be asked for.
    pub target: PathAndQuery,
    /// Whether the cache would be asked, where the route has one.
    pub asks_cache: bool,
    /// What the instance would be picked by, where the route does not go by turns.
    pub key: Option<HeaderValue>,
}

impl Exchange {
    /// Goes on from **begin** to **outbound**; `head` becomes that for an instance. A route that wants a token is taken
    /// as if the token that is sent, or one that is not there, were good: the refusal says what is missing.
    pub fn rehearse(
        &mut self,
        head: &mut request::Parts,
        body_length: Option<u64>,
        witness: &mut impl Witness<usize>,
    ) -> Rehearsed {
        let mut refusal = self.refused.take();
        if matches!(refusal, None | Some(Rejection::NoRoute | Rejection::MethodNotAllowed(_))) {
            // Once more what **begin** has asked, with somebody who looks on.
            let view = view_of(&self.target, head);
            self.pinned.snapshot.router.find_before(&view, witness);
        }
        let pinned = Arc::clone(&self.pinned);
        let (Some(route), Some((number, captures))) = (route_of(&self.route, &pinned), self.route.clone())
        else {
            return Rehearsed { refusal, onward: None };
        };
        if let Some(auth) = pinned.snapshot.auth.as_ref().filter(|_| route.needs_token) {
            refusal = refusal.or(auth.shows_token(&head.headers).err().map(Rejection::Auth));
            self.identity = Some(Arc::new(auth.stand_in()));
        }
        refusal = refusal.or(fits(route, body_length).err());
        let asks_cache = self.would_ask_cache(route, head, body_length != Some(0));
        dress(&self.target, self.identity.as_deref(), route, &mut head.headers);
        self.attempts.key = key_of(route, &head.headers);
        self.translate_request(&mut head.headers);
        self.trace.child().inject(&mut head.headers);
        match self.outbound(head) {
            Ok(target) => {
                let (path, key) = (self.target.path().to_owned(), self.attempts.key.clone());
                let onward = Onward { route: number, captures, path, target, asks_cache, key };
                Rehearsed { refusal, onward: Some(onward) }
            }
            Err(rejection) => Rehearsed { refusal: refusal.or(Some(rejection)), onward: None },
        }
    }

    fn would_ask_cache(&self, route: &Route, head: &request::Parts, has_body: bool) -> bool {
        let covers = |rule: &crate::policy::cache::CacheRule| {
            rule.covers(&head.headers, self.identity.is_some())
                && RequestRule::of(&head.method, &head.headers, has_body).bypass.is_none()
        };
        route.cache.as_ref().is_some_and(covers)
    }
}

#[cfg(test)]
mod tests;
