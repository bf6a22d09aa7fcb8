//! What a route takes there at most, also where that cannot be said exactly: whoever is left out leaves a gap of this
//! size, and nothing else may be led into it.

use std::time::SystemTime;

use super::definition::{Args, Definition, Factory};
use super::order::Place;
use super::pattern::Pattern;
use super::predicates::{Conditions, hosts, instant};

/// The places of every request that a route could get, and perhaps of more.
pub(super) fn reach(definition: &Definition, number: usize, now: SystemTime) -> Vec<Place> {
    if !definition.enabled || definition.predicates.iter().any(|predicate| is_over(predicate, now)) {
        return Vec::new();
    }
    let first = |name: &str| {
        let known = |factory: &&Factory| factory.name == name && !matches!(factory.args, Args::Unset(_));
        definition.predicates.iter().find(known)
    };
    let methods = first("Method").map(|factory| factory.list()).unwrap_or_default();
    let methods = methods.iter().map(|method| method.to_ascii_uppercase()).collect();
    let conditions = Conditions { methods, ..Conditions::default() };
    let patterns = first("Path").map(paths).filter(|paths| !paths.is_empty());
    let patterns = patterns.unwrap_or_else(|| vec![Pattern::everything()]);
    let hosts: Option<Vec<String>> = first("Host")
        .and_then(|factory| {
            factory.list().into_iter().map(|host| hosts(host).ok()).collect::<Option<Vec<_>>>()
        })
        .map(|hosts| hosts.concat());
    let hosts: Vec<Option<String>> = match hosts {
        Some(hosts) if !hosts.is_empty() => hosts.into_iter().map(Some).collect(),
        _ => vec![None],
    };
    let place = |host: &Option<String>, pattern: &Pattern| Place {
        route: number,
        host: host.clone(),
        pattern: pattern.clone(),
        conditions: conditions.clone(),
    };
    hosts.iter().flat_map(|host| patterns.iter().map(|pattern| place(host, pattern))).collect()
}

/// With a final slash too: whether one fits depends on the version.
fn paths(factory: &Factory) -> Vec<Pattern> {
    let written = factory.list().into_iter().filter(|text| !matches!(*text, "true" | "false"));
    let patterns = written.map(Pattern::around);
    patterns.flat_map(|pattern| [Some(pattern.clone()), pattern.with_slash()].into_iter().flatten()).collect()
}

/// Whether the time of a route has passed: it takes nothing any more.
fn is_over(predicate: &Factory, now: SystemTime) -> bool {
    let end = match predicate.name.as_str() {
        "Before" => predicate.arg(0, "datetime"),
        "Between" => predicate.arg(1, "datetime2"),
        _ => None,
    };
    end.and_then(instant).is_some_and(|end| now >= end)
}
