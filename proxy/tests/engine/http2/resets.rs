//! Streams that end as soon as they begin, by the client (rapid reset, CVE-2023-44487) or by a fault of its that makes
//! the gateway end them (MadeYouReset, CVE-2025-8671): what was begun for them is bounded, and the connection ended.

use serde_json::json;

use super::wire::{
    ACK, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, HEADERS, Over, PING, PRIORITY, RST_STREAM,
    WINDOW_UPDATE, Wire, block, frame, request, whole,
};
use super::{gateway, gateway_with, origin};
use crate::client::{get, until};

/// Streams that each attack begins.
const STREAMS: u32 = 10_000;
/// What may have been begun of them before the connection was ended: those that may be open at a time, and those
/// that may be reset, several times over.
const BEGUN: usize = 1_000;

/// Begins streams by `begin` and ends each by `fault`.
async fn is_ended(name: &str, begin: impl Fn(u32) -> Vec<u8>, fault: impl Fn(u32) -> Vec<u8>) {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    let round = |round: usize| {
        let first = u32::try_from(round).unwrap() * 20;
        (first..first + 10)
            .flat_map(|number| {
                let stream = 2 * number + 1;
                [begin(stream), fault(stream)].concat()
            })
            .collect()
    };
    let rounds = usize::try_from(STREAMS).unwrap() / 10;
    let was_ended = wire.flood(rounds, round).await;
    assert_eq!(get(gateway.local_addrs().listen, "/other").await.status, 200, "{name}");
    let over = wire.end().await;
    let is_plain = matches!(over, Over::Silently | Over::With(ENHANCE_YOUR_CALM | 1..=6));
    assert!(is_plain, "{name}: {over:?}; ended while streams were begun: {was_ended}");
    assert!(origin.count() < BEGUN, "{name}: {} requests went on", origin.count());
    // What was begun for the dead connection ends with it.
    until("the origin is let go", || origin.open() <= 3).await;
    gateway.shutdown().await;
}

/// A request that the origin never answers.
fn silent(stream: u32) -> Vec<u8> {
    whole(stream, "GET", "/silent")
}

/// One with a body to come.
fn open(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", "/silent"))
}

#[tokio::test]
async fn by_the_client() {
    is_ended("rapid reset", silent, |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).await;
    is_ended(
        "of what is answered",
        |stream| whole(stream, "GET", "/"),
        |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
    )
    .await;
    is_ended("with a body to come", open, |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).await;
}

/// Whether the gateway has read everything, and goes on.
async fn answers(wire: &mut Wire) -> bool {
    wire.send(frame(PING, 0, 0, b"all read")).await;
    while let Some(received) = wire.next().await {
        if (received.kind, received.flags) == (PING, ACK) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn by_the_client_few_at_a_time_after_some_data() {
    let origin = origin().await;
    let gateway = gateway_with(&origin, json!({"http2": {"idle_frames": 200}})).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    let mut begun = 0;
    while begun < 1_000 && answers(&mut wire).await {
        let streams = (begun..begun + 10).map(|number| {
            let stream = 2 * number + 1;
            let data = frame(DATA, END_STREAM, stream, b"x");
            [open(stream), data, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        });
        wire.send(streams.collect::<Vec<_>>().concat()).await;
        begun += 10;
    }
    assert!((200..=300).contains(&begun), "{begun} streams were reset");
    assert_eq!(get(gateway.local_addrs().listen, "/other").await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn no_more_than_are_answered_are_no_flood() {
    let origin = origin().await;
    let gateway = gateway_with(&origin, json!({"http2": {"idle_frames": 200}})).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    // Updates of windows are another account.
    wire.keep_windows_shut();
    for number in 0..400 {
        let stream = 4 * number + 1;
        wire.send([silent(stream), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()).await;
        wire.send(whole(stream + 2, "GET", "/")).await;
        assert_eq!(wire.end_of(stream + 2).await, End::Answer(200, b"ok".to_vec()));
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn by_a_window_of_nothing() {
    is_ended("zero", silent, |stream| frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes())).await;
}

#[tokio::test]
async fn by_a_window_beyond_all() {
    is_ended("overflow", silent, |stream| frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()))
        .await;
}

#[tokio::test]
async fn by_data_behind_the_end() {
    is_ended("data", silent, |stream| frame(DATA, 0, stream, b"x")).await;
}

#[tokio::test]
async fn by_a_head_behind_the_end() {
    is_ended("head", silent, |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", "/")))
        .await;
}

#[tokio::test]
async fn by_a_priority_on_itself() {
    is_ended("priority", silent, |stream| {
        frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[7]].concat())
    })
    .await;
}

#[tokio::test]
async fn by_a_length_that_is_wrong() {
    let begin = |stream| {
        let head = [request("POST", "/silent"), block(&[("content-length", "1")])].concat();
        frame(HEADERS, END_HEADERS, stream, &head)
    };
    is_ended("length", begin, |stream| frame(DATA, END_STREAM, stream, b"two")).await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_the_others_answered() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send((0..200).flat_map(|number| whole(2 * number + 1, "GET", "/silent")).collect::<Vec<u8>>()).await;
    let end = wire.end_of(399).await;
    // REFUSED_STREAM, so that the client knows it can ask again.
    assert!(matches!(end, End::Reset(7 | 1) | End::GoAway(_) | End::Closed), "{end:?}");
    assert!(origin.count() <= 128, "{} requests went on", origin.count());
    gateway.shutdown().await;
}
