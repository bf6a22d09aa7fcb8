//! What each operation asks of its caller, and whether the audit log has it: found by the path that a request matched.
//! A path without a rule is nobody's.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use http::Method;

use super::Context;
use crate::access::Need;

/// When the audit log has an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It changes nothing.
    Never,
    /// It comes too often to be told of, unless somebody may not do it.
    Denied,
    Always,
}

/// What holds for one method of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) need: Need,
    pub(super) noted: Noted,
    /// What the audit log calls it.
    pub(super) operation: Arc<str>,
}

/// Paths that are served, and the rule of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    pub(super) router: Router<Context>,
    pub(super) rules: Rules,
}

/// The rules of all paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules(HashMap<String, Vec<(Method, Rule)>>);

impl Served {
    /// Serves one method of one path: there is no other way to do so.
    pub(super) fn add<H, T>(mut self, method: &Method, path: &str, rule: Rule, handler: H) -> Self
    where
        H: Handler<T, Context>,
        T: 'static,
    {
        // Whatever is none of these is one that no table has.
        let filter = match method.as_str() {
            "GET" => MethodFilter::GET,
            "PUT" => MethodFilter::PUT,
            "POST" => MethodFilter::POST,
            "PATCH" => MethodFilter::PATCH,
            _ => MethodFilter::DELETE,
        };
        self.router = self.router.route(path, on(filter, handler));
        self.rules.0.entry(path.to_owned()).or_default().push((method.clone(), rule));
        self
    }

    /// As [`Served::add`] for something to look at.
    pub(super) fn get<H, T>(self, path: &str, need: Need, handler: H) -> Self
    where
        H: Handler<T, Context>,
        T: 'static,
    {
        self.add(&Method::GET, path, Rule { need, noted: Noted::Never, operation: path.into() }, handler)
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        for (path, rules) in other.rules.0 {
            self.rules.0.entry(path).or_default().extend(rules);
        }
        self
    }

    /// Puts a layer around all of them.
    pub(super) fn around(self, layer: impl FnOnce(Router<Context>) -> Router<Context>) -> Self {
        Self { router: layer(self.router), rules: self.rules }
    }
}

impl Rules {
    /// The rule for a method of the path that was matched; `Err` holds the methods that it has, as in `Allow`.
    pub(super) fn of(&self, path: &str, method: &Method) -> Result<&Rule, String> {
        let rules = self.0.get(path).map(Vec::as_slice).unwrap_or_default();
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        rules.iter().find(|(method, _)| method == asked).map(|(_, rule)| rule).ok_or_else(|| {
            let mut methods: Vec<_> = rules.iter().map(|(method, _)| method.as_str()).collect();
            if methods.contains(&"GET") {
                methods.push("HEAD");
            }
            methods.join(",")
        })
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Method, &Rule)> {
        let rules = self.0.iter().flat_map(|(path, rules)| rules.iter().map(move |rule| (path, rule)));
        rules.map(|(path, (method, rule))| (path.as_str(), method, rule))
    }
}
