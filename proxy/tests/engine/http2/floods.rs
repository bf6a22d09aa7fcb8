//! Frames that cost their sender nothing, in numbers (CVE-2019-9511 to 9518, CVE-2024-27316, CVE-2026-49975): the
//! connection is ended, and nobody else notices.

use super::wire::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, Over, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, frame, literal, request, setting, string,
};
use super::{gateway, origin};
use crate::client::get;

/// Frames sent at a time.
const AT_ONCE: usize = 200;
/// How many such rounds are sent at most.
const ROUNDS: usize = 500;

/// Floods a gateway; the connection must end, and the others be served. `begin` comes once before.
async fn is_ended(name: &str, begin: Vec<u8>, mut one: impl FnMut(usize) -> Vec<u8>) {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(begin).await;
    let flood =
        wire.flood(ROUNDS, |round| (0..AT_ONCE).flat_map(|number| one(round * AT_ONCE + number)).collect());
    let others = async {
        let mut served = 0;
        loop {
            assert_eq!(get(gateway.local_addrs().listen, "/other").await.status, 200, "{name}");
            served += 1;
            if served > 20 {
                break;
            }
        }
    };
    let (was_ended, ()) = tokio::join!(flood, others);
    let over = wire.end().await;
    let is_plain = matches!(over, Over::Silently | Over::With(ENHANCE_YOUR_CALM | 1 | 5 | 6));
    assert!(is_plain, "{name}: {over:?}; ended while frames were sent: {was_ended}");
    assert_eq!(get(gateway.local_addrs().listen, "/after").await.status, 200, "{name}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn pings_without_end() {
    is_ended("pings", Vec::new(), |_| frame(PING, 0, 0, b"12345678")).await;
}

#[tokio::test]
async fn settings_without_end() {
    is_ended("settings", Vec::new(), |_| frame(SETTINGS, 0, 0, &setting(4, 65_535))).await;
    is_ended("empty settings", Vec::new(), |_| frame(SETTINGS, 0, 0, &[])).await;
    is_ended("acknowledgements", Vec::new(), |_| frame(SETTINGS, ACK, 0, &[])).await;
}

#[tokio::test]
async fn priorities_without_end() {
    is_ended("priorities", Vec::new(), |number| {
        frame(PRIORITY, 0, 2 * u32::try_from(number).unwrap() + 1, &[0, 0, 0, 0, 7])
    })
    .await;
}

#[tokio::test]
async fn window_updates_without_end() {
    let one = 1_u32.to_be_bytes();
    is_ended("of the connection", Vec::new(), |_| frame(WINDOW_UPDATE, 0, 0, &one)).await;
    let open = frame(HEADERS, END_HEADERS, 1, &request("POST", "/silent"));
    is_ended("of a stream", open, |_| frame(WINDOW_UPDATE, 0, 1, &one)).await;
}

#[tokio::test]
async fn resets_of_what_is_over_without_end() {
    let open = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("GET", "/"));
    is_ended("resets", open, |_| frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await;
}

#[tokio::test]
async fn frames_that_nobody_knows_without_end() {
    is_ended("unknown", Vec::new(), |_| frame(0xfa, 0, 0, b"x")).await;
}

#[tokio::test]
async fn empty_data_without_end() {
    let open = frame(HEADERS, END_HEADERS, 1, &request("POST", "/silent"));
    is_ended("empty data", open.clone(), |_| frame(DATA, 0, 1, &[])).await;
    // Nothing but padding.
    is_ended("padding", open, |_| frame(DATA, 8, 1, &[3, 0, 0, 0])).await;
}

#[tokio::test]
async fn continuations_without_end() {
    let open = frame(HEADERS, END_STREAM, 1, &request("GET", "/"));
    is_ended("empty", open.clone(), |_| frame(CONTINUATION, 0, 1, &[])).await;
    let field = literal("x-a", "x".repeat(1000));
    is_ended("with fields", open, |_| frame(CONTINUATION, 0, 1, &field)).await;
}

#[tokio::test]
async fn trailers_without_end() {
    is_ended("heads of one stream", Vec::new(), |_| {
        frame(HEADERS, END_HEADERS, 1, &request("POST", "/silent"))
    })
    .await;
}

#[tokio::test]
async fn a_head_that_unfolds_is_refused_before_it_does() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    // One field of 4,000 bytes goes into the table; a byte each names it 16,000 times: 64 MB.
    let stored = [vec![0x40], string(b"x-a"), string(&[b'x'; 3_900])].concat();
    let mut is_over = false;
    for stream in (1..2_000).step_by(2) {
        let bomb = [request("GET", "/"), stored.clone(), vec![0xbe; 12_000]].concat();
        if !wire.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)).await {
            is_over = true;
            break;
        }
    }
    assert_eq!(get(gateway.local_addrs().listen, "/other").await.status, 200);
    drop(wire);
    let bombs = origin.seen().iter().filter(|seen| !seen.line().contains("/other")).count();
    assert_eq!(bombs, 0, "a head of 48 MB went on; ended early: {is_over}");
    gateway.shutdown().await;
}
