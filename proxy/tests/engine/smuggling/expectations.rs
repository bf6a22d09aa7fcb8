//! `Expect`: only `100-continue` is known, and a body that was not asked for is never read as a request
//! (RFC 9110, 10.1.1).

use super::{Family, post};
use crate::client::Client;

#[tokio::test]
async fn only_one_expectation_is_known() {
    let mut family = Family::new().await;
    for value in [
        "200-ok",
        "100-continue, other",
        "other, 100-continue",
        "100-continue;q=1",
        "100",
        "\"100-continue\"",
        "100-continue=1",
    ] {
        let bytes = post(format!("expect: {value}\r\ncontent-length: 5\r\n"), "hello");
        let outcome = family.outcome(&bytes).await;
        let statuses = outcome.statuses();
        let is_first_alone = statuses == [417] && outcome.reached.is_empty();
        // Once the body was read the next request may be served.
        let is_next_served = statuses == [417, 200]
            && outcome.reached.len() == 1
            && outcome.reached[0].line() == "GET /next HTTP/1.1";
        if !is_first_alone && !is_next_served {
            family.note(value, &bytes, "417, and nothing of this request to the origin", &outcome);
        }
    }
    for (name, line) in [("plain", "expect: 100-continue\r\n"), ("in capitals", "Expect: 100-Continue\r\n")] {
        let bytes = post(format!("{line}content-length: 5\r\n"), "hello");
        family.served(name, bytes, |seen| seen.body == b"hello" && seen.field("expect").is_none()).await;
    }
    let old = "POST / HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello";
    family.served("from an old client", old, |seen| seen.body == b"hello").await;
    family.end().await;
}

#[tokio::test]
async fn a_client_that_waits_is_told_to_go_on() {
    let family = Family::new().await;
    let mut client = Client::connect(family.gateway.local_addrs().listen).await;
    client.send(post("expect: 100-continue\r\ncontent-length: 5\r\n", "")).await;
    assert_eq!(client.answer_or_end("POST").await.unwrap().status, 100);
    client.send("hello").await;
    assert_eq!(client.answer_or_end("POST").await.unwrap().status, 200);
    assert_eq!(family.origin.last().body, b"hello");
    family.end().await;
}

#[tokio::test]
async fn a_client_that_is_refused_before_its_body_is_not_told_to_go_on() {
    let routes = serde_json::json!([{"name": "one", "match": {"path": "/one"}, "service": "s"}]);
    let family = Family::with_routes(routes).await;
    for (path, length, status) in [("/none", 5, 404), ("/one", 1_u64 << 40, 413), ("/../one", 5, 400)] {
        let mut client = Client::connect(family.gateway.local_addrs().listen).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        );
        client.send(head).await;
        assert_eq!(client.answer_or_end("POST").await.unwrap().status, status, "{path}");
        // It may send its body now, or another request; the gateway must not guess.
        let _ =
            tokio::io::AsyncWriteExt::write_all(&mut client.stream, b"GET /one HTTP/1.1\r\nhost: a\r\n\r\n")
                .await;
        assert!(client.answer_or_end("GET").await.is_none(), "{path}");
    }
    assert_eq!(family.origin.count(), 0);
    family.end().await;
}
