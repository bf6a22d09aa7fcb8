//! Order: there the first route that fits takes a request, here the most specific one. Routes whose requests would go
//! elsewhere by that are found here.

use serde_json::{Map, Value, json};

use super::pattern::Pattern;
use super::predicates::Conditions;

/// One path of a route at one host, as it will stand in the file.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The route it belongs to, in the order in which routes are tried there.
    pub(super) route: usize,
    pub(super) host: Option<String>,
    pub(super) pattern: Pattern,
    pub(super) conditions: Conditions,
}

impl Place {
    /// Host, path and methods, as a route's `match` says them.
    pub(super) fn written(&self) -> Map<String, Value> {
        let mut matches = Map::new();
        if let Some(host) = &self.host {
            matches.insert("host".to_owned(), json!(host));
        }
        matches.insert("path".to_owned(), json!(self.pattern.written()));
        if !self.conditions.methods.is_empty() {
            matches.insert("methods".to_owned(), json!(self.conditions.methods));
        }
        matches
    }

    /// Whether both can fit one request. Fields and parameters do not tell routes apart: a request may have several values
    /// of one.
    pub(super) fn meets(&self, other: &Self) -> bool {
        hosts_meet(self.host.as_deref(), other.host.as_deref())
            && self.pattern.overlaps(&other.pattern)
            && methods_meet(&self.conditions.methods, &other.conditions.methods)
    }

    /// Whether a request that fits both would meet this one first here, whatever their other conditions.
    pub(super) fn comes_before(&self, other: &Self) -> bool {
        let rank = |host: &Option<String>| match host {
            Some(host) if host.starts_with("*.") => 1,
            Some(_) => 2,
            None => 0,
        };
        match rank(&self.host).cmp(&rank(&other.host)) {
            std::cmp::Ordering::Equal => self.pattern.comes_before(&other.pattern),
            order => order.is_gt(),
        }
    }

    /// Whether `priority` decides between the two.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.host == other.host && self.pattern.is_same(&other.pattern)
    }
}

fn hosts_meet(one: Option<&str>, other: Option<&str>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    let below = |host: &str, pattern: &str| {
        let parent = pattern.strip_prefix("*.");
        parent.is_some_and(|parent| host.split_once('.').is_some_and(|(_, rest)| rest == parent))
    };
    one == other || below(one, other) || below(other, one)
}

fn methods_meet(one: &[String], other: &[String]) -> bool {
    one.is_empty() || other.is_empty() || one.iter().any(|method| other.contains(method))
}
