//! All routes together: names apart, the order they had, and whether each passes the checks.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use super::outcome::{Outcome, Said};
use crate::import::Effect;
use crate::{AuthRule, RouteConfig, check};

/// Gives every route a name of its own, made from its id.
pub(super) fn name_apart(outcomes: &mut [Outcome]) {
    let mut taken = BTreeSet::new();
    for outcome in outcomes {
        let letter = |letter: char| {
            if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' }
        };
        let base: String = outcome.id.chars().map(letter).take(100).collect();
        for (route, _) in &mut outcome.routes {
            let mut names =
                std::iter::once(base.clone()).chain((2..).map(|number| format!("{base}-{number}")));
            let name = names.find(|name| taken.insert(name.clone())).unwrap_or_default();
            route["name"] = json!(name);
        }
    }
}

/// Leaves out what would take requests of a route that comes first there: of one that is here, because it is more
/// specific, and of one that is left out, because that one is gone (unless gaps are wanted). Where `priority` can keep the order it does.
pub(super) fn keep_order(outcomes: &mut [Outcome], with_gaps: bool) {
    for later in 0..outcomes.len() {
        let (before, rest) = outcomes.split_at_mut(later);
        let Some(own) = rest.first_mut() else { return };
        if own.is_left_out() {
            continue;
        }
        let (gone, there): (Vec<_>, Vec<_>) = before.iter().partition(|other| other.is_left_out());
        let taken = there.into_iter().find_map(|other| own.takes_from(other));
        let gap = gone.into_iter().find_map(|other| own.takes_from(other));
        own.refusals.extend(taken.map(|refused| Said::refusal(refused, &own.span)));
        match gap {
            Some((what, instead)) if with_gaps => {
                own.notes.push(Said::note((Effect::Differs, what, instead), &own.span));
            }
            gap => own.refusals.extend(gap.map(|refused| Said::refusal(refused, &own.span))),
        }
    }
    let live: Vec<(usize, usize)> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| !outcome.is_left_out())
        .flat_map(|(at, outcome)| (0..outcome.routes.len()).map(move |number| (at, number)))
        .collect();
    for (position, (at, number)) in live.iter().enumerate() {
        let place = outcomes[*at].routes[*number].1.clone();
        let behind = live[position + 1..].iter().filter(|(other, route)| {
            let other = &outcomes[*other].routes[*route].1;
            other.route != place.route && other.is_beside(&place)
        });
        let priority = behind.count();
        if priority > 0 {
            outcomes[*at].routes[*number].0["priority"] = json!(priority);
        }
    }
}

/// The last word has the check that every file meets: what it would refuse is left out, in its words.
pub(super) fn leave_faulty_out(outcomes: &mut [Outcome]) {
    for outcome in outcomes.iter_mut().filter(|outcome| !outcome.is_left_out()) {
        let refused = outcome.routes.iter().find_map(|(route, _)| {
            let fault = match RouteConfig::deserialize(route) {
                // Without `auth`, which nothing here imports, every route is open.
                Ok(config) => {
                    let open = RouteConfig { auth: Some(AuthRule::None), ..config };
                    check::route(&open, None).into_iter().next()?.to_string()
                }
                Err(error) => error.to_string(),
            };
            Some((fault, "change it there, or write the route by hand".to_owned()))
        });
        outcome.refusals.extend(refused.map(|refused| Said::refusal(refused, &outcome.span)));
    }
}
