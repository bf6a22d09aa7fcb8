//! All routes together: names apart, the order they had, and whether each passes the checks.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::order::Place;
use super::outcome::{Outcome, Said};
use crate::import::Effect;
use crate::{AuthRule, RouteConfig, check};

/// Gives every route a name of its own, made from its id; a guard one that says what it is.
pub(super) fn name_apart(outcomes: &mut [Outcome]) {
    let mut taken = BTreeSet::new();
    for outcome in outcomes {
        let letter = |letter: char| {
            if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' }
        };
        let base: String = outcome.id.chars().map(letter).take(100).collect();
        let all = outcome.routes.iter_mut().map(|route| (route, base.clone()));
        let guards = outcome.guards.iter_mut().map(|route| (route, format!("{base}-left-out")));
        for ((route, _), base) in all.chain(guards) {
            let mut names =
                std::iter::once(base.clone()).chain((2..).map(|number| format!("{base}-{number}")));
            let name = names.find(|name| taken.insert(name.clone())).unwrap_or_default();
            route["name"] = json!(name);
        }
    }
}

/// Leaves out what would take requests of a route that comes first there: of one that is here, because it is more
/// specific, and of one that is left out, because that one is gone (unless gaps are wanted). A route that is left out gets a
/// guard where that lets later ones stay. Where `priority` can keep the order it does.
pub(super) fn keep_order(outcomes: &mut [Outcome], with_gaps: bool) {
    let has_guards = !with_gaps && outcomes.iter().all(|outcome| outcome.service != NOWHERE.0);
    for later in 0..outcomes.len() {
        let (before, rest) = outcomes.split_at_mut(later);
        let Some(own) = rest.first_mut() else { return };
        if !own.is_left_out() {
            compare(own, before, with_gaps);
        }
        if own.is_left_out() && has_guards {
            own.guards = guards_of(own, before);
        }
    }
    leave_needless_guards_out(outcomes);
    rank(outcomes);
}

/// Leaves a route out that would take requests of one before it.
fn compare(own: &mut Outcome, before: &[Outcome], with_gaps: bool) {
    let (gone, there): (Vec<_>, Vec<_>) = before.iter().partition(|other| other.is_left_out());
    let taken = there.into_iter().find_map(|other| own.takes_from(other));
    let gap = gone.into_iter().find_map(|other| own.takes_from(other));
    own.refusals.extend(taken.map(|refused| Said::refusal(refused, &own.span)));
    match gap {
        Some((what, instead)) if with_gaps => {
            own.notes.push(Said::note((Effect::Differs, what, instead), &own.span));
        }
        gap => {
            own.is_behind_a_gap = gap.is_some() && !own.is_left_out();
            own.refusals.extend(gap.map(|refused| Said::refusal(refused, &own.span)));
        }
    }
}

/// The service that guards lead to: nothing listens there, nor can anybody but an administrator.
pub(super) const NOWHERE: (&str, &str) = ("left-out", "127.0.0.1:1");
/// Guards of one route.
const MOST: usize = 64;

/// Routes that take what a left-out one took, and lead nowhere; none where they could not say all of it, or would take
/// requests of a route before it.
fn guards_of(outcome: &Outcome, before: &[Outcome]) -> Vec<(Value, Place)> {
    let live = || before.iter().filter(|other| !other.is_left_out()).flat_map(|other| &other.routes);
    let takes = |place: &Place| live().any(|(_, other)| place.meets(other) && place.comes_before(other));
    if outcome.reach.len() > MOST || outcome.reach.iter().any(takes) {
        return Vec::new();
    }
    let guard = |place: &Place| {
        let route = json!({"name": "", "match": place.written(), "service": NOWHERE.0});
        let is_sound =
            fault(&json!({"name": "guard", "match": place.written(), "service": NOWHERE.0})).is_none();
        is_sound.then(|| (route, place.clone()))
    };
    outcome.reach.iter().map(guard).collect::<Option<_>>().unwrap_or_default()
}

/// A guard that no later route needs only hides that nothing is there.
fn leave_needless_guards_out(outcomes: &mut [Outcome]) {
    for at in 0..outcomes.len() {
        let later = outcomes[at + 1..].iter().filter(|later| !later.is_left_out());
        if !later.into_iter().any(|later| later.meets_gap(&outcomes[at])) {
            outcomes[at].guards.clear();
        }
    }
}

/// Among routes of one place the earlier ones get a higher priority.
fn rank(outcomes: &mut [Outcome]) {
    let standing = |outcomes: &[Outcome]| -> Vec<(usize, usize)> {
        let all = outcomes.iter().enumerate();
        all.flat_map(|(at, outcome)| (0..outcome.standing().len()).map(move |number| (at, number))).collect()
    };
    let live = standing(outcomes);
    for (position, (at, number)) in live.iter().enumerate() {
        let place = outcomes[*at].standing()[*number].1.clone();
        let behind = live[position + 1..].iter().filter(|(other, route)| {
            let other = &outcomes[*other].standing()[*route].1;
            other.route != place.route && other.is_beside(&place)
        });
        let priority = behind.count();
        if priority > 0 {
            outcomes[*at].standing_mut()[*number].0["priority"] = json!(priority);
        }
    }
}

/// What every file meets has the last word: what the check would refuse is left out, in its words.
pub(super) fn leave_faulty_out(outcomes: &mut [Outcome]) {
    for outcome in outcomes.iter_mut().filter(|outcome| !outcome.is_left_out()) {
        let refused = outcome.routes.iter().find_map(|(route, _)| {
            Some((fault(route)?, "change it there, or write the route by hand".to_owned()))
        });
        outcome.refusals.extend(refused.map(|refused| Said::refusal(refused, &outcome.span)));
    }
}

fn fault(route: &Value) -> Option<String> {
    match RouteConfig::deserialize(route) {
        // Without `auth`, which nothing here imports, every route is open.
        Ok(config) => {
            let open = RouteConfig { auth: Some(AuthRule::None), ..config };
            Some(check::route(&open, None).into_iter().next()?.to_string())
        }
        Err(error) => Some(error.to_string()),
    }
}
