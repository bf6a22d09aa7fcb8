//! What is explained is what happens: for any routes and any request, the explanation names the route that the pipeline
//! picks, and says no in the same words.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use http::Request;
use portreeve_config::{GatewayConfig, HeaderMatch, MethodName, Presence, RouteConfig, SampleRequest};
use proptest::prelude::*;
use proptest::sample::select;

use crate::explain::{Explanation, Stage};
use crate::gateway::plane_of;
use crate::pipeline::Exchange;
use crate::plane::Pinned;
use crate::policy::headers::{Peer, Scheme};
use crate::snapshot::Snapshot;

fn route() -> impl Strategy<Value = RouteConfig> {
    let paths = select(vec!["/", "/a", "/a/b", "/a/*", "/*", "/{x}", "/{x}/b", "/a/{x}", "/a/{x}/*", "/b/"]);
    let hosts = select(vec![None, Some("shop.example"), Some("*.example"), Some("Other.test")]);
    let methods = select(vec![vec![], vec!["GET"], vec!["POST"], vec!["GET", "PUT"]]);
    let wanted = || {
        let value = select(vec![
            HeaderMatch::Exact("1".to_owned()),
            HeaderMatch::Present(Presence { present: true }),
            HeaderMatch::Present(Presence { present: false }),
        ]);
        proptest::collection::btree_map(select(vec!["x".to_owned(), "y".to_owned()]), value, 0..2)
    };
    (paths, hosts, methods, wanted(), wanted(), -1..2).prop_map(
        |(path, host, methods, headers, query, priority)| {
            let mut route = RouteConfig::new("", path, "s");
            route.matches.host = host.map(str::to_owned);
            route.matches.methods = methods.into_iter().map(|name| MethodName(name.to_owned())).collect();
            (route.matches.headers, route.matches.query, route.priority) = (headers, query, priority);
            route
        },
    )
}

fn sample() -> impl Strategy<Value = SampleRequest> {
    let hosts = select(vec!["shop.example", "SHOP.example:8080", "a.example", "a.b.example", "other.test"]);
    let paths = select(vec!["/", "/a", "/a/", "/a/b", "/%61/b", "/a/b/c", "/b/", "/c", "/a//b", "/a/.."]);
    let queries = select(vec!["", "?x=1", "?x", "?y=2&x=%31", "?x=+1"]);
    let methods = select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "TRACE"]);
    let headers = select(vec![None, Some(("X", "1")), Some(("x", "2")), Some(("y", "1"))]);
    (hosts, paths, queries, methods, headers).prop_map(|(host, path, query, method, header)| {
        let headers = header.into_iter();
        serde_json::from_value(serde_json::json!({
            "method": method,
            "url": format!("http://{host}{path}{query}"),
            "headers": headers.collect::<std::collections::BTreeMap<_, _>>(),
        }))
        .unwrap()
    })
}

/// The route that a live request gets, or the status it is refused with.
fn live(pinned: &Arc<Pinned>, sample: &SampleRequest) -> Result<String, u16> {
    let (host, rest) =
        sample.url["http://".len()..].split_at(sample.url["http://".len()..].find(['/', '*', '?']).unwrap());
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    let mut request = Request::builder().method(sample.method.as_str()).uri(rest).header("host", host);
    for (name, values) in &sample.headers {
        request = values.iter().fold(request, |request, value| request.header(name, value));
    }
    let mut head = request.body(()).unwrap().into_parts().0;
    let peer = Peer::new(Some(sample.client), Scheme::Http);
    let mut exchange = Exchange::begin(Arc::clone(pinned), &mut head, &peer);
    match exchange.refused.take() {
        Some(refusal) => Err(refusal.status().as_u16()),
        None => Ok(exchange.route().unwrap().name.to_string()),
    }
}

#[test]
fn a_request_with_a_body_does_not_ask_the_cache() {
    let mut route = RouteConfig::new("all", "/*", "s");
    route.cache = serde_json::from_value(serde_json::json!({"ttl": "60s"})).unwrap();
    let snapshot = Arc::new(Snapshot::empty(1).with_routes(&[route], None).unwrap());
    let stage = Stage::live(&plane_of(&GatewayConfig::default(), 1, Arc::default(), None), snapshot);
    for (name, value, asks) in [
        ("accept", "*/*", true),
        ("content-length", "0", true),
        ("content-length", "3", false),
        ("transfer-encoding", "chunked", false),
    ] {
        let sample = serde_json::json!({"url": "http://shop.example/a", "headers": {name: value}});
        let sample: SampleRequest = serde_json::from_value(sample).unwrap();
        let policies = stage.explain(&sample).unwrap().taken.unwrap().policies;
        assert_eq!(policies.cache.unwrap().is_asked, asks, "{name}: {value}");
    }
}

fn explained(explanation: &Explanation) -> Result<String, u16> {
    match (&explanation.refused, &explanation.taken) {
        (Some(refused), _) => Err(refused.status),
        (None, taken) => Ok(taken.as_ref().unwrap().route.clone()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_route_explained_is_the_route_taken(
        routes in proptest::collection::vec(route(), 0..8),
        samples in proptest::collection::vec(sample(), 8),
    ) {
        let mut routes = routes;
        for (number, route) in routes.iter_mut().enumerate() {
            route.name = format!("r{number}");
        }
        let snapshot = Arc::new(Snapshot::empty(1).with_routes(&routes, None).unwrap());
        let plane = plane_of(&GatewayConfig::default(), 1, Arc::default(), None);
        let stage = Stage::live(&plane, Arc::clone(&snapshot));
        let pinned = Arc::new(Pinned::new(Arc::new(plane), snapshot, 0));
        for sample in samples {
            let explanation = stage.explain(&sample).unwrap();
            // A head that is refused as it is read never comes to the pipeline.
            if explanation.refused.as_ref().is_some_and(|refused| refused.reason == "malformed") {
                continue;
            }
            prop_assert_eq!(live(&pinned, &sample), explained(&explanation), "{:?}\n{}", sample, explanation);
            let takers: Vec<&str> =
                explanation.tried.iter().filter(|tried| tried.takes).map(|tried| tried.route.as_str()).collect();
            let taken = explanation.taken.as_ref().map(|taken| taken.route.as_str());
            prop_assert_eq!(takers, taken.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(explanation.untried + explanation.tried.len(), routes.len());
            for tried in explanation.tried.iter().filter(|tried| !tried.takes) {
                prop_assert!(tried.conditions.iter().any(|condition| !condition.holds), "{:?}", tried);
            }
        }
    }
}
