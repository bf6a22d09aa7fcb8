//! How connections of HTTP/2 end in good order: GOAWAY first, and every stream that was begun has its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;

use super::wire::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, Wire, block, frame, request, whole,
};
use super::{gateway_with, origin};
use crate::client::{limited, until};
use crate::origin::{Origin, Reply, ok};

/// What a client sees until its connection ends.
#[derive(Debug, Default, PartialEq)]
struct Course {
    /// Codes of GOAWAY, in order.
    codes: Vec<u32>,
    /// The last stream that will be served, as the last GOAWAY says.
    last: u32,
    /// Streams that ended with an answer, and what it said.
    answers: Vec<(u32, Vec<u8>)>,
}

/// Reads to the end. `at_goaway` runs at the first GOAWAY; pings are answered when `answers_pings`.
async fn course(wire: &mut Wire, answers_pings: bool, mut at_goaway: impl FnMut()) -> Course {
    let mut course = Course::default();
    let mut body = Vec::new();
    while let Some(received) = wire.next().await {
        match received.kind {
            GOAWAY => {
                let word = |at: usize| u32::from_be_bytes(received.payload[at..at + 4].try_into().unwrap());
                if course.codes.is_empty() {
                    at_goaway();
                }
                (course.last, _) = (word(0), course.codes.push(word(4)));
            }
            PING if answers_pings && received.flags & ACK == 0 => {
                wire.send(frame(PING, ACK, 0, &received.payload)).await;
            }
            DATA => body.extend_from_slice(&received.payload),
            _ => {}
        }
        if matches!(received.kind, HEADERS | DATA) && received.flags & END_STREAM != 0 {
            course.answers.push((received.stream, std::mem::take(&mut body)));
        }
    }
    course
}

async fn held_origin(go: &Arc<Notify>) -> Origin {
    let held = Arc::clone(go);
    Origin::start(move |_| Reply::Held(Arc::clone(&held), ok("finished"))).await
}

#[tokio::test]
async fn a_drain_says_goaway_and_finishes_what_has_begun() {
    let go = Arc::new(Notify::new());
    let origin = held_origin(&go).await;
    let gateway = gateway_with(&origin, json!({})).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(whole(1, "GET", "/held")).await;
    until("the request is in flight", || origin.count() == 1).await;
    let stopping = tokio::spawn(gateway.shutdown());
    let seen = limited(course(&mut wire, true, || go.notify_one())).await;
    assert!(!seen.codes.is_empty() && seen.codes.iter().all(|code| *code == 0), "{seen:?}");
    assert_eq!((seen.last, seen.answers), (1, vec![(1, b"finished".to_vec())]));
    limited(stopping).await.unwrap();
}

#[tokio::test]
async fn an_old_connection_is_ended_in_good_order() {
    let go = Arc::new(Notify::new());
    let origin = held_origin(&go).await;
    let limits = json!({"connection_age": "500ms", "rate_window": "200ms", "header_timeout": "200ms"});
    let gateway = gateway_with(&origin, limits).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(whole(1, "GET", "/held")).await;
    let seen = limited(course(&mut wire, true, || go.notify_one())).await;
    assert!(!seen.codes.is_empty() && seen.codes.iter().all(|code| *code == 0), "{seen:?}");
    assert_eq!(seen.answers, [(1, b"finished".to_vec())]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_connection_ends_in_good_order_after_its_last_request() {
    let origin = origin().await;
    let gateway = gateway_with(&origin, json!({"requests_per_connection": 3})).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    for stream in [1, 3, 5] {
        wire.send(whole(stream, "GET", "/")).await;
    }
    let seen = limited(course(&mut wire, true, || ())).await;
    assert!(!seen.codes.is_empty() && seen.codes.iter().all(|code| *code == 0), "{seen:?}");
    assert_eq!((seen.last, seen.answers.len()), (5, 3));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_does_not_hear_goaway_is_let_go() {
    let origin = origin().await;
    let limits = json!({"idle_timeout": "500ms", "rate_window": "200ms", "header_timeout": "500ms"});
    let gateway = gateway_with(&origin, limits).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(whole(1, "GET", "/")).await;
    let began = Instant::now();
    // It says nothing more, not even to a PING.
    let seen = limited(course(&mut wire, false, || ())).await;
    assert_eq!((seen.codes.first(), seen.answers.len()), (Some(&0), 1), "{seen:?}");
    assert!(began.elapsed() >= Duration::from_millis(400), "it was not idle yet");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_refusal_waits_for_a_small_body_on_its_way() {
    let origin = origin().await;
    let mut settings = crate::stage::config(&[&origin], json!([]));
    settings["routes"] = json!([{"name": "one", "match": {"path": "/one"}, "service": "s"}]);
    let gateway = crate::stage::start(settings).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    // The body comes a little later than the head.
    let head = [request("POST", "/nowhere"), block(&[("content-length", "4")])].concat();
    wire.send(frame(HEADERS, END_HEADERS, 1, &head)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    wire.send([frame(DATA, END_STREAM, 1, b"late"), frame(PING, 0, 0, b"all done")].concat()).await;
    until_end_of(&mut wire, 1).await;
    // One that does not come, and one of unknown length, are given up, as no fault of anybody's.
    for (stream, head) in [(3, head), (5, request("POST", "/nowhere"))] {
        wire.send(frame(HEADERS, END_HEADERS, stream, &head)).await;
        until_end_of(&mut wire, stream).await;
        let reset = loop {
            let received = wire.next().await.expect("the connection ended");
            if received.kind == RST_STREAM {
                break received;
            }
        };
        assert_eq!((reset.stream, reset.payload), (stream, vec![0; 4]));
    }
    gateway.shutdown().await;
}

async fn until_end_of(wire: &mut Wire, stream: u32) {
    while let Some(received) = wire.next().await {
        assert_ne!(received.kind, RST_STREAM);
        if received.stream == stream && received.flags & END_STREAM != 0 {
            return;
        }
    }
    panic!("the connection ended without an answer");
}
