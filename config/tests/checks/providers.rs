//! Whose tokens are accepted, and by which keys.

use crate::{check_all, only_fault};

#[test]
fn providers() {
    let head = "kind: gateway\nauth: {providers: [{";
    for (body, path, words) in [
        ("issuer: '', audiences: [a], jwks_url: 'http://k/'", "issuer", "empty"),
        ("issuer: x, audiences: [a]", "issuer", "cannot be discovered"),
        ("issuer: 'http://x', audiences: []", "audiences", "at least one"),
        ("issuer: 'http://x', audiences: ['']", "audiences[0]", "empty"),
        ("issuer: 'http://x', audiences: [a], jwks_url: 'ftp://k'", "jwks_url", "begins with"),
        ("issuer: 'http://x', audiences: [a], jwks_url: 'http://u:secret@k'", "jwks_url", "no user name"),
        (
            "issuer: 'http://x', audiences: [a], discovery_url: 'lb://auth:1/'",
            "discovery_url",
            "without a port",
        ),
        (
            "issuer: 'http://x', audiences: [a], discovery_url: 'lb://auth/'",
            "discovery_url",
            "no service `auth`",
        ),
        ("issuer: 'http://x', audiences: [a], algorithms: []", "algorithms", "without an algorithm"),
        ("issuer: 'http://x', audiences: [a], algorithms: [HS256]", "algorithms[0]", "symmetric"),
        ("issuer: 'http://x', audiences: [a], algorithms: [None]", "algorithms[0]", "nobody signed"),
        ("issuer: 'http://x', audiences: [a], algorithms: [RS265]", "algorithms[0]", "did you mean `RS256`?"),
        ("issuer: 'http://x', audiences: [a], leeway: 8m", "leeway", "at most 5m"),
        ("issuer: 'http://x', audiences: [a], refresh: 500ms", "refresh", "at least 1s"),
        ("issuer: 'http://x', audiences: [a], refresh: 31d", "refresh", "at most 30day"),
        ("issuer: 'http://x', audiences: [a], refresh: 0s", "refresh", "at least 1s"),
        (
            "issuer: 'http://x', audiences: [a], claims_to_headers: {sub: Host}",
            "claims_to_headers.sub",
            "itself",
        ),
        (
            "issuer: 'http://x', audiences: [a], claims_to_headers: {sub: Cookie}",
            "claims_to_headers.sub",
            "cannot hold a claim",
        ),
        (
            "issuer: 'http://x', audiences: [a], claims_to_headers: {sub: X-User, email: X_User}",
            "claims_to_headers.sub",
            "another claim",
        ),
        (
            "issuer: 'http://x', audiences: [a], claims_to_headers: {sub: X-A, email: x-a}",
            "claims_to_headers.sub",
            "another claim",
        ),
        (
            "issuer: 'http://x', audiences: [a]}, {issuer: 'http://x', audiences: [a]",
            "../providers[1].issuer",
            "another provider",
        ),
    ] {
        let place = match path.strip_prefix("../") {
            Some(path) => format!("auth.{path}"),
            None => format!("auth.providers[0].{path}"),
        };
        check_all(&format!("{head}{body}}}]}}"), &[("", &place, words)]);
    }
    let none = "kind: gateway\nauth: {providers: []}";
    assert!(only_fault(none).contains("no token is ever accepted"));
    let realm = "kind: gateway\nauth: {realm: 'a\"b', providers: [{issuer: 'http://x', audiences: [a]}]}";
    assert!(only_fault(realm).starts_with("auth.realm: "));
}
