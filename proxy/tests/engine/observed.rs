//! What a gateway tells of its work: counters that add up, log lines without secrets, spans that hang together.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Client, get, until};
use crate::origin::{Origin, Reply, answer, ok};
use crate::stage::{ask, before, config, everything, metric, scrape, start, with};

#[tokio::test]
async fn counters_add_up() {
    let origin = Origin::start(|seen| match seen.line().contains("/fault") {
        true => Reply::Keep(answer("500 Internal Server Error", "", "")),
        false => Reply::Keep(ok("ok")),
    })
    .await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for _ in 0..7 {
        client.get("/").await;
    }
    for _ in 0..3 {
        client.get("/fault").await;
    }
    client.get("/a//b").await;
    let admin = gateway.local_addrs().admin;
    let requests = "portreeve_requests_total";
    assert_eq!(metric(admin, requests, &["route=\"all\"", "service=\"s\"", "status=\"2xx\""]).await, 7.0);
    assert_eq!(metric(admin, requests, &["route=\"all\"", "status=\"5xx\""]).await, 3.0);
    assert_eq!(metric(admin, requests, &["route=\"(none)\"", "status=\"4xx\""]).await, 1.0);
    assert_eq!(metric(admin, "portreeve_request_duration_seconds_count", &[]).await, 11.0);
    assert_eq!(metric(admin, "portreeve_request_duration_seconds_bucket", &["le=\"+Inf\""]).await, 11.0);
    let text = scrape(admin).await;
    assert!(text.text().ends_with("# EOF\n") && text.field("content-type").unwrap().contains("openmetrics"));
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_admin_listener_knows_its_three_paths() {
    let origin = Origin::saying("ok").await;
    let gateway = before(&origin).await;
    let admin = gateway.local_addrs().admin;
    assert_eq!(get(admin, "/livez").await.text(), "ok\n");
    assert_eq!(get(admin, "/readyz").await.text(), "ready\n");
    assert_eq!(get(admin, "/products").await.status, 404);
    assert_eq!(Client::connect(admin).await.ask("POST", "/livez", "", "").await.status, 405);
    get(gateway.local_addrs().listen, "/metrics").await;
    assert_eq!(origin.count(), 1, "what is the admin's on one listener is anyone's path on the other");
    gateway.shutdown().await;

    let gateway = start(config(&[&origin], json!([]))).await;
    assert_eq!(get(gateway.local_addrs().admin, "/readyz").await.status, 503);
    gateway.shutdown().await;
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[tokio::test]
async fn log_lines_are_json_and_hold_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let origin = Origin::start(|seen| match seen.line().contains("/cut") {
        true => Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na".to_vec()),
        false => Reply::Keep(ok("hello")),
    })
    .await;
    let gateway = start(with(config(&[&origin], everything()), "access_log", json!({"file": path}))).await;
    let fields = "authorization: Bearer s3cret\r\ncookie: s3cret\r\nuser-agent: \"evil\\\r\n";
    ask(&gateway, "GET", "/a%22b/%E2%80%AE?token=s3cret", fields).await;
    get(gateway.local_addrs().listen, "/cut").await;
    ask(&gateway, "GET", "/..", "").await;
    gateway.shutdown().await;

    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("s3cret") && text.is_ascii(), "{text}");
    let lines = lines(&path);
    assert_eq!(lines.len(), 3, "all is written when the gateway has stopped");
    let line = |status: u16, reason: &Value| {
        lines.iter().find(|line| line["status"] == status && line["reason"] == *reason).expect(&text)
    };
    let good = line(200, &Value::Null);
    assert_eq!((&good["path"], &good["bytes"]), (&json!("/a%22b/%E2%80%AE"), &json!(5)));
    assert_eq!(
        (&good["route"], &good["service"], &good["host"]),
        (&json!("all"), &json!("s"), &json!("shop.example"))
    );
    assert_eq!(good["endpoint"], origin.address.to_string());
    assert_eq!(good["trace_id"].as_str().unwrap().len(), 32);
    line(200, &json!("answer_broke_off"));
    line(400, &json!("path"));
}

/// All spans a collector was sent.
fn spans(collector: &Origin) -> Vec<Value> {
    let batches = collector.seen();
    batches.iter().flat_map(|seen| serde_json::from_slice::<Vec<Value>>(&seen.body).unwrap()).collect()
}

#[tokio::test]
async fn spans_hang_together_in_the_callers_own_form() {
    let collector = Origin::start(|_| Reply::Keep(answer("202 Accepted", "", ""))).await;
    let origin = Origin::saying("ok").await;
    let endpoint = format!("http://{}/api/v2/spans", collector.address);
    let tracing = json!({"zipkin": {"endpoint": endpoint}});
    let gateway = start(with(config(&[&origin], everything()), "tracing", tracing)).await;
    let (trace, caller) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    for fields in [
        format!("traceparent: 00-{trace}-{caller}-01\r\ntracestate: a=b\r\n"),
        format!("b3: {trace}-{caller}-1\r\n"),
        format!("x-b3-traceid: {trace}\r\nx-b3-spanid: {caller}\r\nx-b3-sampled: 1\r\n"),
    ] {
        let before = spans(&collector).len();
        assert_eq!(ask(&gateway, "GET", "/", &fields).await.status, 200);
        until("both spans are there", || spans(&collector).len() == before + 2).await;
        let spans = spans(&collector).split_off(before);
        let of = |kind: &str| spans.iter().find(|span| span["kind"] == kind).unwrap();
        let (server, client) = (of("SERVER"), of("CLIENT"));
        assert_eq!((&server["traceId"], &client["traceId"]), (&json!(trace), &json!(trace)));
        assert_eq!((&server["parentId"], &client["parentId"]), (&json!(caller), &server["id"]));
        assert_eq!(client["remoteEndpoint"]["serviceName"], "s");

        let (seen, sent) = (origin.last(), client["id"].as_str().unwrap());
        let own = server["id"].as_str().unwrap();
        let forms = [
            ("traceparent", format!("00-{trace}-{sent}-01")),
            ("b3", format!("{trace}-{sent}-1-{own}")),
            ("x-b3-spanid", sent.to_owned()),
        ];
        for (name, value) in forms {
            let expected = fields.contains(&format!("{name}:")).then_some(value.as_str());
            assert_eq!(seen.field(name), expected, "{fields}: {name}");
        }
        assert_eq!(seen.field("tracestate").is_some(), fields.starts_with("traceparent"));
    }
    let before = spans(&collector).len();
    ask(&gateway, "GET", "/", "b3: 0\r\n").await;
    assert_eq!(
        origin.last().field("b3").map(|b3| b3.as_bytes()[50]),
        Some(b'0'),
        "the decision is passed on"
    );
    let begun = get(gateway.local_addrs().listen, "/../x").await;
    let problem = begun.problem(400, "path");
    gateway.shutdown().await;
    let last = spans(&collector).split_off(before);
    assert_eq!(
        last.len(),
        1,
        "what the caller does not record is not recorded; the rest is sent before the end"
    );
    assert_eq!((&last[0]["traceId"], &last[0]["tags"]["error"]), (&problem["trace_id"], &json!("path")));
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Open for both, so that opening it for writing does not wait for a reader.
    let pipe = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let origin = Origin::saying("ok").await;
    let gateway = start(with(config(&[&origin], everything()), "access_log", json!({"file": path}))).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for _ in 0..500 {
        assert_eq!(client.get(&format!("/{}", "x".repeat(200))).await.status, 200);
    }
    let began = std::time::Instant::now();
    gateway.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(pipe);
}
