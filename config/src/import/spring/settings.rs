//! What stands in the file beside routes, and has no equivalent, or one elsewhere.

use super::source::{Source, text_of};
use crate::import::{Effect, Report};
use crate::tree::Node;

/// Settings below the gateway's prefix: the name, and what to do instead.
const OF_GATEWAY: [(&str, &str); 11] = [
    (
        "globalcors",
        "answers to preflights are not made here: let the services answer them, or a proxy in front",
    ),
    ("httpclient.connect-timeout", "write it under `limits.connect_timeout`"),
    (
        "httpclient.pool",
        "connections to instances are kept for `limits.upstream_idle`, and are not limited in number",
    ),
    ("httpclient.ssl", "write it for each service: `services.NAME.tls`"),
    ("httpclient.proxy", "instances are connected to without a proxy"),
    (
        "discovery.locator.enabled",
        "write a route for each service: `match: {path: /name/*}`, `rewrite: {strip_segments: 1}`",
    ),
    (
        "trusted-proxies",
        "it is an expression there: write networks under `trusted_proxies`, such as `10.0.0.0/8`",
    ),
    ("x-forwarded", "`X-Forwarded-*` and `Forwarded` are always sent"),
    ("filter", "filters are configured at their routes"),
    ("loadbalancer", "a service without instances is answered with 503"),
    ("metrics", "see `/metrics` of the admin listener"),
];

/// The same for the rest of the file.
const OF_FILE: [(&str, &str); 6] = [
    ("spring.security", "tokens are checked by `auth`: write the issuer and its audiences there"),
    ("server.ssl", "write a listener with `tls`"),
    (
        "eureka.client.service-url",
        "start `portreeve control-plane --spring`, and let instances register there",
    ),
    ("spring.cloud.loadbalancer", "instances take turns; `balance` picks them by a header field"),
    (
        "resilience4j",
        "failing instances are set aside by themselves; `timeout` and `retry` stand at the routes",
    ),
    ("management.server.port", "`admin` says where metrics and readiness are"),
];

/// The documents that apply always, and of the others what they apply to.
pub(super) fn without_profiles(documents: Vec<Node>) -> (Vec<Node>, Vec<Node>) {
    let (mut always, mut profiles) = (Vec::new(), Vec::new());
    for document in documents {
        let source = Source::new(vec![document], "");
        let names = ["spring.config.activate.on-profile", "spring.profiles"];
        let found = names
            .into_iter()
            .flat_map(|name| source.find(name))
            .find(|node| text_of(node).is_some())
            .cloned();
        match found {
            Some(node) => profiles.push(node),
            None => always.extend(source.documents),
        }
    }
    (always, profiles)
}

/// Tells of what is there.
pub(super) fn report(source: &Source<'_>, prefix: &str, report: &mut Report) {
    let below = OF_GATEWAY.into_iter().map(|(name, instead)| (format!("{prefix}.{name}"), instead));
    let beside = OF_FILE.into_iter().map(|(name, instead)| (name.to_owned(), instead));
    for (name, instead) in below.chain(beside) {
        let found = source.find(&name);
        let Some(node) = found.first().filter(|node| text_of(node) != Some("false")) else { continue };
        let span = node.entries().first().map_or(node.span.clone(), |entry| entry.key_span.clone());
        let what = "this setting has no equivalent here";
        report.note(source.line(&span), &name, Effect::Missing, what, instead);
    }
    for document in &source.documents {
        indexed(document, &mut |key, span| {
            let what = format!("`{key}`: items of lists by number are not read");
            let instead = "write the list as a list, and import again";
            report.note(source.line(&span), "spring.cloud.gateway", Effect::Missing, &what, instead);
        });
    }
}

/// Names such as `routes[0].id`, which nothing else here would see.
fn indexed(node: &Node, see: &mut impl FnMut(&str, std::ops::Range<usize>)) {
    for entry in node.entries() {
        if entry.key.contains("routes[")
            || entry.key.contains("filters[")
            || entry.key.contains("predicates[")
        {
            see(&entry.key, entry.key_span.clone());
        }
        indexed(&entry.node, see);
    }
}
