//! Bodies that nobody reads, and requests in a row: what is left of one request is never the beginning of another
//! (RFC 9112, 9.3.2).

use serde_json::json;

use super::{Family, NEXT};
use crate::client::{Client, request};
use crate::stage::with;

/// What stands in a body and must stay there.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";

async fn refusing() -> Family {
    let provider =
        json!({"issuer": "https://i.example", "audiences": ["a"], "jwks_url": "http://127.0.0.1:9/jwks"});
    let routes = json!([
        {"name": "token", "match": {"path": "/token"}, "service": "s", "auth": "required"},
        {"name": "kept", "match": {"path": "/kept"}, "service": "s", "auth": "none", "cache": {"ttl": "60s"}},
        {"name": "small", "match": {"path": "/small"}, "service": "s", "auth": "none", "max_body": "1B"},
        {"name": "read", "match": {"path": "/read", "methods": ["GET"]}, "service": "s", "auth": "none"},
        {"name": "next", "match": {"path": "/next"}, "service": "s", "auth": "none"},
    ]);
    Family::with(|settings| with(with(settings, "auth", json!({"providers": [provider]})), "routes", routes))
        .await
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_never_a_request() {
    let mut family = refusing().await;
    let large = HIDDEN.repeat(40_000);
    for (path, method, status) in [
        ("/none", "POST", 404),
        ("/none", "GET", 404),
        ("/token", "POST", 401),
        ("/token", "GET", 401),
        ("/small", "POST", 413),
        ("/read", "POST", 405),
        ("/x/..", "POST", 400),
        ("/none", "OPTIONS", 404),
        ("/none", "DELETE", 404),
    ] {
        for (size, body) in [("small", HIDDEN), ("large", large.as_str())] {
            let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            let head = format!("{method} {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
            for (framing, bytes) in [("length", request(method, path, "", body)), ("chunks", head + &chunks)]
            {
                let outcome = family.outcome(bytes.as_bytes()).await;
                let statuses = outcome.statuses();
                let is_alone = statuses == [status] && outcome.reached.is_empty();
                let is_followed = statuses == [status, 200]
                    && outcome.reached.len() == 1
                    && outcome.reached[0].line() == "GET /next HTTP/1.1";
                if !is_alone && !is_followed {
                    let name = format!("{method} {path}, a {size} body with {framing}");
                    family.note(
                        &name,
                        bytes.as_bytes(),
                        &format!("{status}, and at most the next"),
                        &outcome,
                    );
                }
            }
        }
    }
    family.end().await;
}

#[tokio::test]
async fn a_body_of_a_get_stays_with_it_also_when_the_answer_was_kept() {
    let mut family = refusing().await;
    for round in 0..3 {
        let bytes = request("GET", "/kept", "", HIDDEN);
        let outcome = family.outcome(bytes.as_bytes()).await;
        let is_hidden = outcome.reached.iter().any(|seen| seen.line().contains("hidden"));
        let is_sound = matches!(outcome.statuses()[..], [200] | [200, 200]) && !is_hidden;
        if !is_sound {
            family.note(&format!("round {round}"), bytes.as_bytes(), "200, and at most the next", &outcome);
        }
    }
    family.end().await;
}

#[tokio::test]
async fn methods_without_use_for_a_body_take_theirs_along() {
    let mut family = Family::new().await;
    for method in ["GET", "OPTIONS", "DELETE", "REPORT"] {
        let bytes = request(method, "/", "", HIDDEN);
        family.served(method, bytes, |seen| seen.body == HIDDEN.as_bytes()).await;
        let chunks = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
        let head = format!("{method} / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        let name = format!("{method} in chunks");
        family.served(&name, head + &chunks, |seen| seen.body == HIDDEN.as_bytes()).await;
    }
    family.end().await;
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_their_order() {
    let family = refusing().await;
    let mut bytes = String::new();
    for number in 0..20 {
        bytes += &match number % 4 {
            0 => format!("GET /next?{number} HTTP/1.1\r\nhost: a\r\n\r\n"),
            1 => format!("GET /none?{number} HTTP/1.1\r\nhost: a\r\n\r\n"),
            2 => request("POST", &format!("/next?{number}"), "", HIDDEN),
            _ => format!("GET /token?{number} HTTP/1.1\r\nhost: a\r\n\r\n"),
        };
    }
    let mut client = Client::connect(family.gateway.local_addrs().listen).await;
    client.send([bytes.as_bytes(), NEXT].concat()).await;
    for number in 0..20 {
        let status = [200, 404, 200, 401][number % 4];
        assert_eq!(client.answer("GET").await.status, status, "{number}");
    }
    assert_eq!(client.answer("GET").await.status, 200);
    assert!(client.is_closed().await);
    let lines: Vec<String> = family.origin.seen().iter().map(|seen| seen.line().to_owned()).collect();
    let expected = (0..20).step_by(2).map(|number| match number % 4 {
        0 => format!("GET /next?{number} HTTP/1.1"),
        _ => format!("POST /next?{number} HTTP/1.1"),
    });
    assert_eq!(lines, expected.chain(["GET /next HTTP/1.1".to_owned()]).collect::<Vec<_>>());
    family.end().await;
}

#[tokio::test]
async fn nothing_follows_a_request_that_ends_the_connection() {
    let mut family = Family::new().await;
    for (name, head) in [
        ("close", "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        ("close in a list", "GET / HTTP/1.1\r\nhost: a\r\nconnection: x-a, Close\r\n\r\n"),
        ("1.0", "GET / HTTP/1.0\r\nhost: a\r\n\r\n"),
        ("1.0 and close", "GET / HTTP/1.0\r\nhost: a\r\nconnection: close\r\n\r\n"),
    ] {
        let outcome = family.outcome(head.as_bytes()).await;
        if outcome.statuses() != [200] || outcome.reached.len() != 1 {
            family.note(name, head.as_bytes(), "one answer", &outcome);
        }
    }
    family.end().await;
}
