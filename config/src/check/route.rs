//! One route: every part on its own, and the parts against each other.

use std::collections::BTreeSet;
use std::time::Duration;

use super::path::{self, Template};
use super::{Asking, address, headers, names, process};
use crate::{
    AuthRule, Balance, Fault, Faults, HeaderMatch, MethodName, RouteCache, RouteConfig, RouteMatch, suggest,
};

const DAY: Duration = Duration::from_secs(86_400);
/// Protocols that carry further HTTP requests, which no route, token or limit would see.
const OTHER_HTTP: [&str; 4] = ["h2", "h2c", "http", "tls"];
const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(super) fn faults(route: &RouteConfig, services: Option<&BTreeSet<String>>, asking: Asking) -> Faults {
    let mut faults = Faults::default();
    let template = Template::parse(&route.matches.path);
    faults.add("name", names::route_name(&route.name));
    faults.add("match", matches(&route.matches));
    faults.add("match.path", template.as_ref().err().cloned());
    faults.add("service", service(&route.service, services));
    let template = template.as_ref().ok();
    if let Some(rewrite) = &route.rewrite {
        faults.add("rewrite", path::rewrite(rewrite, template));
    }
    faults.add("request_headers", headers::changes(&route.request_headers));
    faults.add("response_headers", headers::changes(&route.response_headers));
    if let Some(kept) = &route.cache {
        let may_ask =
            route.auth != Some(AuthRule::None) && (route.auth.is_some() || asking == Asking::Tokens);
        faults.add("cache", cache(kept, route, template, may_ask));
    }
    if let Balance::ConsistentHash(field) = &route.balance {
        faults.add("balance.consistent_hash", headers::name(field));
    }
    faults.add("invalidates", tags(&route.invalidates, template));
    faults.add("upgrade", upgrade(&route.upgrade, &route.matches.methods));
    if route.grpc_web && !takes(&route.matches.methods, "POST") {
        let fault = Fault::new("grpc_web", "gRPC-Web calls are sent by POST, which this route does not take");
        faults.push(fault.hint("take `grpc_web` away, or give POST a route of its own"));
    }
    faults.add("timeout", process::longer_than_nothing(route.timeout, DAY));
    if !(1..=10).contains(&route.retry.attempts) {
        let problem = format!("{} attempts: it is 1 (never repeat) to 10", route.retry.attempts);
        faults.push(Fault::new("retry.attempts", problem));
    }
    faults
}

fn matches(matches: &RouteMatch) -> Faults {
    let mut faults = Faults::default();
    faults.add("host", matches.host.as_deref().and_then(host));
    faults.add("methods", methods(&matches.methods));
    let mut seen = BTreeSet::new();
    for (field, wanted) in &matches.headers {
        let place = format!("headers.{field}");
        faults.add(&place, headers::name(field));
        if let HeaderMatch::Exact(text) = wanted {
            faults.add(&place, headers::value(text));
        }
        if !seen.insert(field.to_ascii_lowercase()) {
            let problem = format!("`{field}` is there twice: upper and lower case are the same name");
            faults.push(Fault::new(place, problem));
        }
    }
    if matches.query.contains_key("") {
        faults.push(Fault::new("query", "a query parameter has a name"));
    }
    faults
}

fn host(host: &str) -> Option<Fault> {
    if host.contains(':') && !host.starts_with('[') {
        return Some(
            Fault::new("", "a host here has no port: the port of a request is not compared")
                .hint("leave the port out"),
        );
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if address::is_host(name) || v6.is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()) {
        return None;
    }
    let fault = Fault::new("", format!("`{host}` is not a host name"));
    Some(fault.hint("write `shop.example`, or `*.example` for every name below it"))
}

fn methods(methods: &[MethodName]) -> Faults {
    let mut faults = Faults::default();
    let mut seen = BTreeSet::new();
    for (index, MethodName(method)) in methods.iter().enumerate() {
        let place = format!("[{index}]");
        if !headers::is_token(method) {
            faults.push(
                Fault::new(place, format!("`{method}` is not a method")).hint("write `GET`, `POST`, …"),
            );
        } else if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let upper = method.to_ascii_uppercase();
            faults.push(
                Fault::new(place, "methods are written in upper case").hint(format!("write `{upper}`")),
            );
        } else if !seen.insert(method) {
            faults.push(Fault::new(place, format!("`{method}` is there twice")));
        }
    }
    faults
}

fn takes(methods: &[MethodName], method: &str) -> bool {
    methods.is_empty() || methods.iter().any(|one| one.0 == method)
}

/// Protocols to switch to (RFC 9110, 7.8), without a version.
fn upgrade(protocols: &[String], methods: &[MethodName]) -> Faults {
    let mut faults = Faults::default();
    for (index, protocol) in protocols.iter().enumerate() {
        let place = format!("[{index}]");
        let lower = protocol.to_ascii_lowercase();
        if !headers::is_token(protocol) {
            let fault = Fault::new(place, format!("`{protocol}` is not the name of a protocol"));
            faults.push(fault.hint("write `websocket`"));
        } else if OTHER_HTTP.contains(&lower.as_str()) {
            let fault = Fault::new(
                place,
                format!("`{protocol}` would lead requests past everything that is checked here"),
            );
            faults.push(fault.hint("leave it out: HTTP/2 is spoken without an upgrade"));
        } else if *protocol != lower {
            faults.push(
                Fault::new(place, "protocols are written in lower case").hint(format!("write `{lower}`")),
            );
        } else if protocols[..index].contains(protocol) {
            faults.push(Fault::new(place, format!("`{protocol}` is there twice")));
        }
    }
    if !protocols.is_empty() && !takes(methods, "GET") {
        let fault = Fault::new("", "a wish to switch comes with GET, which this route does not take");
        faults.push(fault.hint("take `upgrade` away, or let the route take GET"));
    }
    faults
}

/// A service's name, and whether there is such a service where that is known.
pub(super) fn service(name: &str, services: Option<&BTreeSet<String>>) -> Option<Fault> {
    if let Some(fault) = names::service_name(name) {
        return Some(fault);
    }
    let services = services.filter(|services| !services.contains(name))?;
    let fault = Fault::new("", format!("there is no service `{name}`"));
    Some(match suggest::closest(name, services.iter().map(String::as_str)) {
        Some(close) => fault.hint(suggest::did_you_mean(close)),
        None if services.is_empty() => fault.hint("no service is declared yet"),
        None => fault.hint("declare it under `services`, or name one that is there"),
    })
}

fn cache(cache: &RouteCache, route: &RouteConfig, template: Option<&Template<'_>>, may_ask: bool) -> Faults {
    let mut faults = Faults::default();
    if !takes(&route.matches.methods, "GET") {
        let fault = Fault::new("", "only answers to GET are kept, and this route does not take GET");
        faults.push(fault.hint("take `cache` away, or give GET a route of its own"));
    }
    faults.add("ttl", process::longer_than_nothing(cache.ttl, YEAR));
    if cache.share.is_none() && may_ask {
        let fault =
            Fault::new("share", "this route wants a token, so it must say who may be given a kept answer");
        faults.push(
            fault.hint("`share: per_subject`, or `share: everyone` when the answer is the same for all"),
        );
    }
    faults.add("tags", tags(&cache.tags, template));
    faults.add("max_entry", process::more_than_nothing(cache.max_entry.get()));
    faults
}

fn tags(tags: &[String], template: Option<&Template<'_>>) -> Faults {
    let mut faults = Faults::default();
    for (index, tag) in tags.iter().enumerate() {
        let place = format!("[{index}]");
        if !(1..=256).contains(&tag.len()) || !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
            let fault = Fault::new(place, "a tag is 1 to 256 printable characters without space");
            faults.push(fault.hint("such as `products` or `order:{id}`"));
        } else {
            faults.add(&place, path::placeholders(tag, template).err());
        }
    }
    faults
}
