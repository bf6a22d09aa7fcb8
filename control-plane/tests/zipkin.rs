//! Zipkin's API and the page over real sockets: status codes, texts and headers as its reporters know them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tempfile::TempDir;

use support::{Answer, Plane};

async fn plane() -> (Plane, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Plane::start(folder.path()).await, folder)
}

async fn post(plane: &Plane, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut request = plane.request("POST", "/api/v2/spans");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    plane.send(request.body(body.into()).unwrap()).await
}

fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

fn spans(trace: &str) -> Value {
    json!([
        {"traceId": trace, "id": "1", "kind": "SERVER", "name": "GET /Orders", "timestamp": now() - 1_000, "duration": 500,
         "localEndpoint": {"serviceName": "Gateway"}},
        {"traceId": trace, "id": "2", "parentId": "1", "kind": "CLIENT", "timestamp": now() - 900, "duration": 300,
         "localEndpoint": {"serviceName": "gateway"}, "remoteEndpoint": {"serviceName": "orders"}, "tags": {"error": "503"}},
    ])
}

fn zipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn spans_come_back_as_traces_names_and_links() {
    let (plane, _folder) = plane().await;
    let sent = post(&plane, &[], spans("abc").to_string()).await;
    assert_eq!((sent.status, sent.text.as_str()), (202, ""));
    for prefix in ["/api/v2", "/zipkin/api/v2"] {
        let get = async |path: &str| plane.get(&format!("{prefix}{path}")).await;
        assert_eq!(get("/services").await.json(), json!(["gateway"]));
        assert_eq!(get("/spans?serviceName=GATEWAY").await.json(), json!(["get /orders"]));
        assert_eq!(get("/remoteServices?serviceName=gateway").await.json(), json!(["orders"]));
        assert_eq!(
            get("/traces?serviceName=gateway&annotationQuery=error").await.json()[0]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        assert_eq!(get("/trace/%20abc").await.json().as_array().unwrap().len(), 2);
        let end = now() / 1000 + 1;
        let links = get(&format!("/dependencies?endTs={end}")).await.json();
        assert_eq!(links, json!([{"parent": "gateway", "child": "orders", "callCount": 1, "errorCount": 1}]));
    }
}

#[tokio::test]
async fn what_reporters_send_is_taken_or_refused_in_zipkins_words() {
    let (plane, _folder) = plane().await;
    let json_v2 = ("content-type", "application/json; charset=utf-8");
    let gzip = ("content-encoding", "gzip");
    assert_eq!(post(&plane, &[json_v2], "[]").await.status, 202);
    assert_eq!(post(&plane, &[], "").await.status, 202);
    assert_eq!(post(&plane, &[json_v2, gzip], zipped(&spans("a1").to_string())).await.status, 202);
    assert_eq!(plane.get("/api/v2/trace/a1").await.json().as_array().unwrap().len(), 2);
    let bomb = zipped(&" ".repeat(11 * 1024 * 1024));
    assert_eq!(post(&plane, &[gzip], bomb).await.status, 413);
    assert_eq!(post(&plane, &[], vec![b' '; 10 * 1024 * 1024 + 1]).await.status, 413);
    let proto = ("content-type", "application/x-protobuf");
    // trace_id (8 bytes), id (8 bytes) and the name `Get`.
    let span =
        [&[0x0a, 8, 0, 0, 0, 0, 0, 0, 0, 0xb1][..], &[0x1a, 8, 0, 0, 0, 0, 0, 0, 0, 2], &[0x2a, 3], b"Get"]
            .concat();
    let list = [&[0x0a, span.len() as u8][..], &span].concat();
    assert_eq!(post(&plane, &[proto], list).await.status, 202);
    assert_eq!(plane.get("/api/v2/trace/b1").await.json()[0]["name"], "get");
    for (headers, body, text) in [
        (&[gzip][..], "not gzip", "Cannot gunzip spans"),
        (&[], "{}", "Expected a JSON_V2 encoded list\n"),
        (&[proto], "[]", "Expected a PROTO3 encoded list\n"),
        (&[], "[{\"binaryAnnotations\":[]}]", "Expected a JSON_V2 encoded list, but received: JSON_V1\n"),
        (&[], "[{\"traceId\":\"a\"}]", "Missing : id reading List<Span> from json"),
        (
            &[],
            "[{\"traceId\":\"A\",\"id\":\"1\"}]",
            "A should be lower-hex encoded with no prefix reading List<Span> from json",
        ),
        (&[], "[{", "Malformed reading List<Span> from json"),
        (&[proto], "\n\u{7f}x", "Malformed reading List<Span> from proto3"),
    ] {
        let refused = post(&plane, headers, body).await;
        assert_eq!((refused.status, refused.text.as_str()), (400, text), "{body:?}");
    }
    let nested = format!("[{}", "[".repeat(100_000));
    assert_eq!(post(&plane, &[], nested).await.status, 400);
}

#[tokio::test]
async fn questions_without_an_answer_say_why() {
    let (plane, _folder) = plane().await;
    for (path, status, text) in [
        ("/trace/abc", 404, "0000000000000abc not found"),
        ("/trace/xyz", 400, "xyz should be lower-hex encoded with no prefix"),
        ("/traces?limit=0", 400, "limit <= 0"),
        ("/traces?endTs=x", 400, "endTs is not a number"),
        ("/spans", 400, "Required parameter 'serviceName' is not present"),
        ("/dependencies", 400, "Required parameter 'endTs' is not present"),
        ("/traceMany?traceIds=", 400, "traceIds parameter is empty"),
        ("/traceMany?traceIds=a", 400, "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace"),
        ("/traceMany?traceIds=a,0a", 400, "redundant traceId: 000000000000000a"),
        ("/traceMany?traceIds=a,b", 200, "[]"),
        ("/traces", 200, "[]"),
        ("/services", 200, "[]"),
        ("/spans?serviceName=", 200, "[]"),
        ("/autocompleteKeys", 200, "[]"),
        ("/dependencies?endTs=9223372036854775807&lookback=9223372036854775807", 200, "[]"),
    ] {
        let answer = plane.get(&format!("/api/v2{path}")).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{path}");
    }
}

#[tokio::test]
async fn names_may_be_cached_once_there_are_many() {
    let (plane, _folder) = plane().await;
    for (count, cached) in [(3, false), (4, true)] {
        let span = |n: i32| json!({"traceId": "a", "id": n.to_string(), "localEndpoint": {"serviceName": format!("s{n}")}});
        post(&plane, &[], Value::from((1..=count).map(span).collect::<Vec<_>>()).to_string()).await;
        let services = plane.get("/api/v2/services").await;
        assert_eq!(services.headers.contains_key("cache-control"), cached);
    }
}

#[tokio::test]
async fn the_page_is_served_with_a_strict_policy() {
    let (plane, _folder) = plane().await;
    for path in ["/", "/zipkin"] {
        let moved = plane.get(path).await;
        assert_eq!((moved.status, moved.headers["location"].as_bytes()), (302, &b"/zipkin/"[..]));
    }
    for path in ["/zipkin/", "/zipkin/traces/abc", "/zipkin/traces.js", "/zipkin/traces.css"] {
        let page = plane.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
}
