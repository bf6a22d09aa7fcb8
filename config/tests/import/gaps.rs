//! What becomes of later routes when an earlier one is left out.

use portreeve_config::{Document, RouteConfig, load_document};

use crate::imported;
use crate::single::two;

/// The routes that are in force, as `name path service`.
fn standing(imported: &portreeve_config::import::Imported) -> Vec<String> {
    let Document::Gateway(config) = load_document("gateway.yaml", &imported.yaml).unwrap() else { panic!() };
    let one = |route: &RouteConfig| format!("{} {} {}", route.name, route.matches.path, route.service);
    config.routes.iter().map(one).collect()
}

#[test]
fn a_gap_is_guarded_so_that_later_routes_stay() {
    for gap in
        ["Path=/a/**', 'Weight=g,1", "Path=/a/**', 'RemoteAddr=10.0.0.0/8", "Path=/a/**', 'Cookie=a, b"]
    {
        let found = two(&format!("predicates: ['{gap}']"), "predicates: ['Path=/**']");
        assert_eq!(standing(&found), ["a-left-out /a/* left-out", "b /* b-1"], "{gap}");
        assert_eq!((found.report.left_out, found.report.guarded), (1, 1), "{}", found.report);
        assert!(found.report.to_string().contains("are closed"), "{}", found.report);
        assert!(found.yaml.contains("left-out: {endpoints: [\"127.0.0.1:1\"]}"), "{}", found.yaml);
    }
    // What cannot be said of a path is guarded with more, and as it is for methods and hosts.
    for (gap, guard) in [
        ("predicates: ['Path=/a/{id:[0-9]+}/x']", "a-left-out /a/{segment2}/x left-out"),
        ("predicates: ['Path=/a/**/b']", "a-left-out /a/* left-out"),
        ("predicates: ['Path=/c,/a/b*']", "a-left-out /c left-out"),
        ("uri: 'forward:/x', predicates: ['Path=/a']", "a-left-out /a left-out"),
        ("predicates: ['Path=/a/**', 'Method=GET', 'Version=1']", "a-left-out /a/* left-out"),
    ] {
        let found = two(gap, "predicates: ['Path=/**']");
        let names = standing(&found);
        assert!(
            names.contains(&guard.to_owned()) && names.contains(&"b /* b-1".to_owned()),
            "{gap}: {names:?}"
        );
    }
    // A guard that would have to be everywhere keeps all out; one that nobody needs is none.
    assert!(standing(&two("predicates: ['Cookie=a, b']", "predicates: ['Path=/**']")).is_empty());
    assert_eq!(
        standing(&two("predicates: ['Path=/a', 'Cookie=a, b']", "predicates: ['Path=/b']")),
        ["b /b b-1"]
    );
    // What never takes a request leaves no gap.
    for never in [
        "enabled: false, predicates: ['Path=/**']",
        "predicates: ['Path=/**', 'Before=2020-05-01T08:00:00Z']",
    ] {
        assert_eq!(standing(&two(never, "predicates: ['Path=/b']")), ["b /b b-1"], "{never}");
    }
}

#[test]
fn a_guard_takes_nothing_of_what_comes_before_it() {
    let text = "spring.cloud.gateway.server.webflux.routes: ['one=http://a:1,Path=/a/**', 'two=http://b:1,Path=/a/b,Weight=g', 'three=http://c:1,Path=/**']";
    let found = imported(text);
    assert_eq!(standing(&found), ["one /a/* a-1"], "{}", found.report);
}
