//! Every version of HTTP in front with every one behind: bodies, trailers, and what is sent piece by piece.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::BodyExt;

use crate::client::limited;
use crate::foreign::{AnyBody, Caller, Foreign, PAIRS, Pen, Speaks, nothing, read, take, whole, written};

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("x-sum".parse().unwrap(), "four".parse().unwrap())])
}

fn post(body: AnyBody) -> Request<AnyBody> {
    let request = Request::post("/echo").header("te", "trailers").header("trailer", "x-sum");
    request.body(body).unwrap()
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways() {
    let body: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    for (front, behind) in PAIRS {
        let origin = Foreign::echo(behind).await;
        let gateway = origin.gateway().await;
        let mut caller = Caller::connect(front, gateway.local_addrs().listen).await;
        for round in 0..3 {
            let (pieces, sent) = written();
            let sending = body.clone();
            tokio::spawn(async move {
                for piece in sending.chunks(100_001 + round) {
                    pieces.write(piece.to_vec()).await;
                }
                pieces.end_with(trailers()).await;
            });
            let response = caller.send(post(sent)).await;
            assert_eq!(response.status(), 200, "{front:?} {behind:?}");
            let version = format!("{:?}", expected(behind));
            assert_eq!(response.headers()["x-version"], version.as_str());
            assert_eq!(response.version(), expected(front));
            let (bytes, after) = read(response.into_body()).await;
            assert!(bytes == body, "{front:?} {behind:?}: {} bytes", bytes.len());
            let sum = after.as_ref().and_then(|after| after.get("x-sum"));
            assert_eq!(sum.map(|sum| sum.as_bytes()), Some(&b"four"[..]), "{front:?} {behind:?}");
        }
        gateway.shutdown().await;
    }
}

fn expected(speaks: Speaks) -> Version {
    match speaks {
        Speaks::Http1 => Version::HTTP_11,
        Speaks::Http2 => Version::HTTP_2,
    }
}

#[tokio::test]
async fn lengths_and_absent_bodies_are_kept() {
    for (front, behind) in PAIRS {
        let origin = Foreign::start(behind, |request| async move {
            let body = match request.method() == Method::HEAD {
                true => nothing(),
                false => whole(vec![b'x'; 300_000]),
            };
            let response = match request.uri().path() {
                "/204" => return Response::builder().status(204).body(nothing()).unwrap(),
                "/304" => {
                    return Response::builder().status(304).header("etag", "\"a\"").body(nothing()).unwrap();
                }
                _ => Response::builder().header("content-length", 300_000),
            };
            response.body(body).unwrap()
        })
        .await;
        let gateway = origin.gateway().await;
        let mut caller = Caller::connect(front, gateway.local_addrs().listen).await;
        for (method, path, status, length) in [
            (Method::GET, "/", 200, 300_000),
            (Method::HEAD, "/", 200, 0),
            (Method::GET, "/204", 204, 0),
            (Method::GET, "/304", 304, 0),
            (Method::DELETE, "/", 200, 300_000),
        ] {
            let request = Request::builder().method(&method).uri(path).body(nothing()).unwrap();
            let response = caller.send(request).await;
            assert_eq!(response.status(), status, "{front:?} {behind:?} {method} {path}");
            if path == "/" {
                assert_eq!(response.headers()["content-length"], "300000", "{front:?} {behind:?} {method}");
            }
            assert_eq!(
                read(response.into_body()).await.0.len(),
                length,
                "{front:?} {behind:?} {method} {path}"
            );
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn both_directions_are_open_at_one_time() {
    for (front, behind) in PAIRS {
        let origin = Foreign::echo(behind).await;
        let gateway = origin.gateway().await;
        let mut caller = Caller::connect(front, gateway.local_addrs().listen).await;
        let (pieces, sent) = written();
        pieces.write("0").await;
        let mut answer = caller.send(post(sent)).await.into_body();
        assert_eq!(take(&mut answer, 1).await, b"0");
        for number in 1..50 {
            let line = format!("{number}\n");
            pieces.write(line.clone()).await;
            assert_eq!(take(&mut answer, line.len()).await, line.as_bytes(), "{front:?} {behind:?}");
        }
        drop(pieces);
        assert_eq!(read(answer).await.0, b"");
        gateway.shutdown().await;
    }
}

/// An origin whose one answer consists of what is sent to it by the test.
async fn events(speaks: Speaks) -> (Foreign, Pen) {
    let (events, body) = written();
    let body = Arc::new(Mutex::new(Some(body)));
    let origin = Foreign::start(speaks, move |_| {
        let body = body.lock().unwrap().take().expect("asked twice");
        async move { Response::builder().header("content-type", "text/event-stream").body(body).unwrap() }
    })
    .await;
    (origin, events)
}

#[tokio::test]
async fn server_sent_events_are_passed_on_one_by_one() {
    for (front, behind) in PAIRS {
        let (origin, events) = events(behind).await;
        let gateway = origin.gateway().await;
        let mut caller = Caller::connect(front, gateway.local_addrs().listen).await;
        let response = caller.get("/events").await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        for number in 0..25 {
            let event = format!("id: {number}\ndata: {}\n\n", "x".repeat(number * 40));
            events.write(event.clone()).await;
            // The next is sent only when this one has come.
            assert_eq!(take(&mut body, event.len()).await, event.as_bytes(), "{front:?} {behind:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(events);
        assert_eq!(read(body).await.0, b"");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_stream_behind() {
    for (front, behind) in PAIRS {
        let (origin, events) = events(behind).await;
        let gateway = origin.gateway().await;
        let mut caller = Caller::connect(front, gateway.local_addrs().listen).await;
        let mut body = caller.get("/events").await.into_body();
        events.write("one").await;
        assert_eq!(take(&mut body, 3).await, b"one");
        drop((body, caller));
        events.closed().await;
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_whole_one() {
    for (front, behind) in PAIRS {
        let (origin, events) = events(behind).await;
        let gateway = origin.gateway().await;
        let mut caller = Caller::connect(front, gateway.local_addrs().listen).await;
        let response = caller.get("/").await;
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        events.write("some").await;
        assert_eq!(take(&mut body, 4).await, b"some");
        events.break_off().await;
        let end = limited(body.frame()).await;
        assert!(end.is_some_and(|end| end.is_err()), "{front:?} {behind:?}: it looked whole");
        gateway.shutdown().await;
    }
}
