//! One reading of host and path, by examples and by whatever a client may write.

#![allow(clippy::unwrap_used)]

use http::Request;
use portreeve_config::{DuplicateSlashes, PathParameters, RouteConfig};
use proptest::prelude::*;

use super::*;
use crate::policy::path::Reading;
use crate::policy::routing::{self, Entry, Match, RequestView, Router};

fn read(target: &str, hosts: &[&str]) -> Result<(String, String), Rejection> {
    let mut request = Request::builder().uri(target);
    for host in hosts {
        request = request.header("host", *host);
    }
    let target = Target::read(&request.body(()).unwrap().into_parts().0, Reading::default())?;
    Ok((target.host().to_owned(), target.path().to_owned()))
}

#[test]
fn hosts_have_one_reading() {
    for (target, hosts, expected) in [
        ("/p", vec!["Shop.Example:8080"], Some("shop.example")),
        ("/p", vec!["shop.example"], Some("shop.example")),
        ("/p", vec!["[::1]:80"], Some("[::1]")),
        ("http://Products/p", vec!["products"], Some("products")),
        ("http://Products:80/p", vec!["products"], Some("products")),
        ("http://Products/p", vec!["other"], None),
        ("/p", vec![], None),
        ("/p", vec!["a", "a"], None),
        ("http://products/p", vec!["a", "b"], None),
        ("/p", vec![""], None),
        ("/p", vec!["a:b"], None),
        ("/p", vec!["a:99999"], None),
        ("/p", vec!["user@a"], None),
        ("/p", vec!["a,b"], None),
        ("/p", vec!["a b"], None),
        ("/p", vec!["[::1"], None),
        ("/p", vec!["[::zz]"], None),
        ("/p", vec!["a[b]"], None),
        ("/p", vec!["a:+80"], None),
        ("/p", vec!["a:"], None),
        ("/p", vec!["Shop.Example.:80"], Some("shop.example")),
        ("/p", vec!["."], None),
        ("http://user@products/p", vec!["a"], None),
        ("ftp://products/p", vec!["a"], None),
    ] {
        let read = read(target, &hosts);
        assert_eq!(read.as_ref().ok().map(|(host, _)| host.as_str()), expected, "{target} {hosts:?}");
    }
}

#[test]
fn the_canonical_path_is_what_is_forwarded() {
    let request = Request::builder().uri("/%70roducts?a=%2f").header("host", "a").body(()).unwrap();
    let target = Target::read(&request.into_parts().0, Reading::default()).unwrap();
    assert_eq!(target.path(), "/products");
    assert_eq!(target.with_path(None).unwrap(), "/products?a=%2f");
    assert_eq!(target.with_path(Some("/x")).unwrap(), "/x?a=%2f");
}

fn read_http2(target: &str, hosts: &[&str]) -> Option<String> {
    let mut request = Request::builder().version(Version::HTTP_2).uri(target);
    for host in hosts {
        request = request.header("host", *host);
    }
    let head = request.body(()).unwrap().into_parts().0;
    Target::read(&head, Reading::default()).ok().map(|target| target.host().to_owned())
}

#[test]
fn http2_names_its_host_in_one_way_or_in_two_that_agree() {
    for (target, hosts, expected) in [
        ("https://Shop.example/p", &[][..], Some("shop.example")),
        ("https://shop.example/p", &["Shop.Example"], Some("shop.example")),
        ("https://shop.example:1/p", &["shop.example:1"], Some("shop.example")),
        ("/p", &["shop.example"], Some("shop.example")),
        ("https://shop.example/p", &["other.example"], None),
        ("https://shop.example/p", &["shop.example", "shop.example"], None),
        ("https://user@shop.example/p", &[], None),
        ("/p", &[], None),
    ] {
        assert_eq!(read_http2(target, hosts).as_deref(), expected, "{target} {hosts:?}");
    }
}

#[test]
fn slashes_in_a_row_are_forwarded_as_one_where_they_are_merged() {
    let head = Request::builder().uri("//a///b?c=//d").header("host", "a").body(()).unwrap().into_parts().0;
    assert!(matches!(Target::read(&head, Reading::default()), Err(Rejection::Path(_))));
    let target =
        Target::read(&head, Reading { slashes: DuplicateSlashes::Merge, ..Reading::default() }).unwrap();
    assert_eq!(target.path(), "/a/b");
    assert_eq!(target.with_path(None).unwrap(), "/a/b?c=//d");
}

fn router() -> Router<usize> {
    let paths = ["/a", "/a/*", "/a/{x}", "/a/{x}/b", "/.a/*", "/%2e/*", "/b/*", "/"];
    let entry = |(target, path): (usize, &&str)| {
        let config = RouteConfig::new("r", *path, "s");
        routing::compile(&config).ok().map(|conditions| Entry { conditions, target })
    };
    Router::new(paths.iter().enumerate().filter_map(entry))
}

fn found(router: &Router<usize>, target: &Target) -> Option<usize> {
    let view = RequestView {
        host: target.host(),
        path: target.path(),
        query: target.query(),
        method: &Method::GET,
        headers: &http::HeaderMap::new(),
    };
    match router.find(&view) {
        Match::Found(number, _) => Some(*number),
        _ => None,
    }
}

/// Paths of the pieces that matter, in many spellings.
fn paths() -> impl Strategy<Value = String> {
    let pieces = vec![
        "/", "//", "a", "b", ".", "..", "%2e", "%2E", "%2f", "%5c", "\\", ";", "%61", "%41", "%7e", "~",
        "%25", "%252e", "%zz", "%", "\u{e9}", "%c3%a9", "%00", ";x", "*", "{x}",
    ];
    proptest::collection::vec(proptest::sample::select(pieces), 0..10)
        .prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn readings() -> impl Strategy<Value = Reading> {
    let slashes = prop_oneof![Just(DuplicateSlashes::Refuse), Just(DuplicateSlashes::Merge)];
    let parameters = prop_oneof![Just(PathParameters::Refuse), Just(PathParameters::Keep)];
    (slashes, parameters).prop_map(|(slashes, parameters)| Reading { slashes, parameters })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_path_has_one_reading_and_is_its_own(path in paths(), reading in readings()) {
        if let Ok(canonical) = path::canonical(&path, reading) {
            for slashes in [DuplicateSlashes::Refuse, DuplicateSlashes::Merge] {
                let again = path::canonical(&canonical, Reading { slashes, ..reading });
                prop_assert_eq!(again.as_deref(), Ok(&*canonical));
            }
            let closed = format!("{}/", canonical.to_ascii_lowercase());
            for hidden in ["//", "/./", "/../", "/.;", "/..;", "%2e", "%2f", "%5c", "\\", "%00", "%41", "%61", "%7e"] {
                let is_end = hidden == "//" && canonical.ends_with('/') && closed.matches("//").count() == 1;
                prop_assert!(is_end || !closed.contains(hidden), "{} in {}", hidden, canonical);
            }
        }
    }

    #[test]
    fn what_is_forwarded_is_routed_as_what_came(path in paths(), reading in readings()) {
        let Ok(uri) = http::Uri::try_from(path.as_str()) else { return Ok(()) };
        let head = |uri| Request::builder().uri(uri).header("host", "a").body(()).unwrap().into_parts().0;
        if let Ok(target) = Target::read(&head(uri), reading) {
            let forwarded = http::Uri::from(target.with_path(None).unwrap());
            let again = Target::read(&head(forwarded), Reading { slashes: DuplicateSlashes::Refuse, ..reading }).unwrap();
            prop_assert_eq!((again.path(), again.query()), (target.path(), target.query()));
            let router = router();
            prop_assert_eq!(found(&router, &again), found(&router, &target));
        }
    }
}
