//! What a gateway's own settings make of a request's origin: proxies that are believed, and slashes that are merged.

use serde_json::{Value, json};

use crate::origin::Origin;
use crate::stage::{ask, before, config, everything, start, with};

#[tokio::test]
async fn a_trusted_proxy_names_the_client_for_service_and_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let origin = Origin::saying("ok").await;
    let settings = with(config(&[&origin], everything()), "trusted_proxies", json!(["127.0.0.0/8"]));
    let gateway = start(with(settings, "access_log", json!({"file": path}))).await;
    let fields = "x-forwarded-for: 6.6.6.6, 192.0.2.1\r\nx-forwarded-proto: https\r\nx-request-id: abc\r\nvia: 1.1 front\r\n";
    let given = ask(&gateway, "GET", "/", fields).await;
    let seen = origin.last();
    assert_eq!(seen.field("x-forwarded-for"), Some("6.6.6.6, 192.0.2.1, 127.0.0.1"));
    assert_eq!((seen.field("x-forwarded-proto"), seen.field("x-request-id")), (Some("https"), Some("abc")));
    let element = "for=6.6.6.6, for=192.0.2.1, for=127.0.0.1;host=shop.example;proto=http";
    assert_eq!(seen.field("forwarded"), Some(element));
    assert!(seen.head.contains("1.1 front") && seen.head.contains("1.1 gateway"), "{}", seen.head);
    assert_eq!((given.field("x-request-id"), given.field("via")), (Some("abc"), Some("1.1 gateway")));
    assert!(given.field("date").unwrap().ends_with(" GMT"));
    assert_eq!(ask(&gateway, "GET", "/..", "").await.field("x-request-id").unwrap().len(), 32);
    gateway.shutdown().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |status: u16| lines.iter().find(|line| line["status"] == status).unwrap();
    assert_eq!((&line(200)["client"], &line(200)["request_id"]), (&json!("192.0.2.1"), &json!("abc")));
    assert_eq!((&line(400)["client"], &line(400)["at_fault"]), (&json!("127.0.0.1"), &json!("client")));
    assert_eq!(line(400)["request_id"], Value::Null, "it is the trace's");
}

#[tokio::test]
async fn slashes_in_a_row_are_refused_or_merged() {
    let origin = Origin::saying("ok").await;
    let gateway = before(&origin).await;
    assert_eq!(ask(&gateway, "GET", "//a//b", "").await.status, 400);
    gateway.shutdown().await;
    let gateway = start(with(config(&[&origin], everything()), "duplicate_slashes", json!("merge"))).await;
    assert_eq!(ask(&gateway, "GET", "//a///b?c=//", "").await.status, 200);
    assert_eq!(origin.last().line(), "GET /a/b?c=// HTTP/1.1");
    gateway.shutdown().await;
}
