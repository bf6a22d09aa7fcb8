//! Paths against a protected prefix: no spelling of `/admin` gets by its route, and what is forwarded is what was
//! judged.

use serde_json::json;

use super::Family;
use crate::stage::with;

/// Everything is open but `/admin`, which wants a token that nobody has.
async fn guarded() -> Family {
    let provider =
        json!({"issuer": "https://i.example", "audiences": ["a"], "jwks_url": "http://127.0.0.1:9/jwks"});
    let routes = json!([
        {"name": "admin", "match": {"path": "/admin/*"}, "service": "s", "auth": "required"},
        {"name": "all", "match": {"path": "/*"}, "service": "s", "auth": "none"},
    ]);
    Family::with(|settings| with(with(settings, "auth", json!({"providers": [provider]})), "routes", routes))
        .await
}

const REFUSED: &[(&str, &[u8])] = &[
    ("dots", b"/x/../admin"),
    ("dots at the end", b"/admin/x/.."),
    ("a dot", b"/./admin"),
    ("a dot at the end", b"/x/."),
    ("encoded dots", b"/x/%2e%2e/admin"),
    ("encoded dots in capitals", b"/x/%2E%2E/admin"),
    ("half encoded dots", b"/x/.%2e/admin"),
    ("an encoded slash", b"/x/..%2fadmin"),
    ("an encoded slash before", b"/%2fadmin"),
    ("an encoded slash inside", b"/x%2F..%2Fadmin"),
    ("a backslash", b"/x\\..\\admin"),
    ("a backslash before", b"/\\admin"),
    ("an encoded backslash", b"/x%5c..%5cadmin"),
    ("an encoded backslash in capitals", b"/%5Cadmin"),
    ("two slashes", b"//admin"),
    ("two slashes inside", b"/x//admin"),
    ("three slashes", b"///admin"),
    ("an encoded zero byte", b"/admin%00"),
    ("an encoded zero byte inside", b"/x%00/admin"),
    ("an encoded line end", b"/x%0d%0aadmin"),
    ("an encoded tab", b"/admin%09"),
    ("an encoded delete", b"/admin%7f"),
    ("dots with a parameter", b"/x/..;/admin"),
    ("dots with a value", b"/x/..;a=b/admin"),
    ("a dot with a parameter", b"/.;/admin"),
    ("a parameter", b"/admin;x/users"),
    ("an empty parameter", b"/admin;/users"),
    ("a parameter before", b"/;x/admin"),
    ("a parameter and encoded letters", b"/%61dmin;jsessionid=1"),
    ("half an encoding", b"/admin%2"),
    ("half an encoding at the end", b"/admin%"),
    ("no digits", b"/%zzadmin"),
    ("an encoding of another kind", b"/%u002e%u002e/admin"),
    ("a fragment", b"/public#/../admin"),
    ("a fragment to cut off", b"/admin#.css"),
];

#[tokio::test]
async fn no_spelling_gets_by_a_protected_prefix() {
    let mut family = guarded().await;
    for (name, path) in REFUSED {
        let bytes = [b"GET ".as_slice(), path, b" HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
        family.refused(name, bytes).await;
    }
    for (name, path) in [
        ("plain", "/admin"),
        ("below", "/admin/x"),
        ("a slash behind", "/admin/"),
        ("encoded letters", "/%61dmin"),
        ("encoded letters in capitals", "/%61%64%6D%69%6E/x"),
        ("absolute", "http://a/admin"),
        ("absolute and encoded", "http://a/%61dmin"),
        ("a query", "/admin?/../public"),
    ] {
        let bytes = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        let outcome = family.outcome(bytes.as_bytes()).await;
        if !(outcome.statuses() == [401, 200] && outcome.reached.len() == 1) {
            family.note(name, bytes.as_bytes(), "401, and the next one served", &outcome);
        }
    }
    family.end().await;
}

#[tokio::test]
async fn what_is_odd_but_plain_arrives_as_it_was_judged() {
    let mut family = guarded().await;
    for (name, path, forwarded) in [
        ("encoded twice", "/x/%252e%252e/admin", "/x/%252e%252e/admin"),
        ("an encoded slash, encoded again", "/x%252fadmin", "/x%252fadmin"),
        ("capitals", "/ADMIN", "/ADMIN"),
        ("a longer word", "/administrator", "/administrator"),
        ("dots in a word", "/a..b/...", "/a..b/..."),
        ("an encoded question mark", "/x%3fadmin", "/x%3Fadmin"),
        ("an encoded number sign", "/x%23admin", "/x%23admin"),
        ("dots in the query", "/x?a=/../admin", "/x?a=/../admin"),
    ] {
        let bytes = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        family.served(name, bytes, |seen| seen.line() == format!("GET {forwarded} HTTP/1.1")).await;
    }
    for (name, path) in [
        ("a long encoding of a dot", "/x/%c0%ae%c0%ae/admin"),
        ("a long encoding of a slash", "/x%c0%afadmin"),
        ("half a letter", "/x%c3"),
        ("an encoded surrogate", "/x%ed%a0%80"),
    ] {
        let line =
            format!("GET {} HTTP/1.1", path.replace("%c", "%C").replace("%a", "%A").replace("e%", "E%"));
        let bytes = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        family.either(name, bytes, |seen| seen.line().eq_ignore_ascii_case(&line)).await;
    }
    family.end().await;
}

#[tokio::test]
async fn slashes_are_merged_only_where_that_is_asked_for() {
    let mut family = {
        let routes = json!([
            {"name": "admin", "match": {"path": "/admin/*", "methods": ["PUT"]}, "service": "s"},
            {"name": "rest", "match": {"path": "/x/*"}, "service": "s"},
        ]);
        Family::with(|settings| with(with(settings, "duplicate_slashes", json!("merge")), "routes", routes))
            .await
    };
    for path in ["//admin", "/admin//", "///admin//x"] {
        let bytes = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let outcome = family.outcome(bytes.as_bytes()).await;
        if outcome.statuses() != [405] || !outcome.reached.is_empty() {
            family.note(path, bytes.as_bytes(), "405, as of `/admin`", &outcome);
        }
    }
    let bytes = "GET //x///y HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let outcome = family.outcome(bytes.as_bytes()).await;
    if outcome.reached.first().map(crate::origin::Seen::line) != Some("GET /x/y HTTP/1.1") {
        family.note("merged", bytes.as_bytes(), "the path that was judged", &outcome);
    }
    family.end().await;
}
