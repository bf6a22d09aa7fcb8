//! Routes that a look-up never came to: which of them resemble the request most, and why each was not tried. Whether a
//! route would fit is asked of a router that holds nothing else.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::policy::routing::{Conditions, Entry, Match, PathPattern, RequestView, Router};
use crate::snapshot::Snapshot;

use super::Untried;

/// How many are told of.
const MOST: usize = 20;

/// The routes that resemble a request most among those that were not `tried`, and how many there are in all.
pub(super) fn untried(
    snapshot: &Snapshot,
    tried: &BTreeSet<usize>,
    request: &RequestView<'_>,
) -> (usize, Vec<Untried>) {
    let mut others: Vec<(Likeness, usize, &Conditions)> = Vec::new();
    snapshot.router.visit(|conditions, number| {
        if !tried.contains(number) {
            others.push((likeness(conditions, request), *number, conditions));
        }
    });
    let count = others.len();
    if count > MOST {
        others.select_nth_unstable_by_key(MOST, |(likeness, number, _)| (*likeness, *number));
        others.truncate(MOST);
    }
    others.sort_by_key(|(likeness, number, _)| (*likeness, *number));
    let told = others.into_iter().map(|(_, number, conditions)| Untried {
        route: snapshot.routes[number].name.to_string(),
        host: conditions.host.as_deref().map(str::to_owned),
        path: conditions.path.to_string(),
        because: reason(conditions, request),
    });
    (count, told.collect())
}

/// Whether the host may be the right one, and how much of the path's begin is; the most alike first.
type Likeness = Reverse<(bool, usize)>;

fn likeness(conditions: &Conditions, request: &RequestView<'_>) -> Likeness {
    let host = conditions.host.as_deref().is_none_or(|host| {
        request.host == host || host.strip_prefix("*.").is_some_and(|parent| request.host.ends_with(parent))
    });
    let path = conditions.path.to_string();
    let same = path.bytes().zip(request.path.bytes()).take_while(|(one, other)| one == other);
    Reverse((host, same.count()))
}

fn reason(conditions: &Conditions, request: &RequestView<'_>) -> String {
    let Ok(everywhere) = PathPattern::parse("/*") else { return String::new() };
    let host_fits = takes(Conditions::of(conditions.host.clone(), everywhere), request);
    let path_fits = takes(Conditions::of(None, conditions.path.clone()), request);
    match (host_fits, path_fits) {
        (true, true) => "a more specific route took the request first",
        (false, true) => "its host does not fit",
        (true, false) => "its path does not fit",
        (false, false) => "neither its host nor its path fits",
    }
    .to_owned()
}

fn takes(conditions: Conditions, request: &RequestView<'_>) -> bool {
    let router = Router::new([Entry { conditions, target: () }]);
    matches!(router.find(request), Match::Found(..))
}
