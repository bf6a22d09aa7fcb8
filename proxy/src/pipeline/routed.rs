//! What the router is asked of a request, and what its answer means.

use http::request;

use crate::plane::Pinned;
use crate::policy::routing::{Captures, Match, RequestView};
use crate::rejection::Rejection;
use crate::target::Target;

/// The route that takes a request, and what its path captured.
///
/// # Errors
/// [`Rejection::MethodNotAllowed`] and [`Rejection::NoRoute`].
pub(super) fn find_route(
    pinned: &Pinned,
    target: &Target,
    head: &request::Parts,
) -> Result<(usize, Captures), Rejection> {
    match pinned.snapshot.router.find(&view_of(target, head)) {
        Match::Found(number, captures) => Ok((*number, captures)),
        Match::MethodNotAllowed(methods) => Err(Rejection::MethodNotAllowed(methods)),
        Match::NotFound => Err(Rejection::NoRoute),
    }
}

/// What the router sees of a request.
pub(super) fn view_of<'a>(target: &'a Target, head: &'a request::Parts) -> RequestView<'a> {
    RequestView {
        host: target.host(),
        path: target.path(),
        query: target.query(),
        method: &head.method,
        headers: &head.headers,
    }
}
