//! Bodies far larger than any buffer, read slowly: who sends has to wait, and the gateway holds next to nothing.

use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use portreeve_proxy::Gateway;
use serde_json::json;

use crate::client::limited;
use crate::foreign::{Caller, Foreign, Speaks, nothing, whole};
use crate::stage::start;

const MIB: u64 = 1 << 20;
const LARGE: u64 = 256 * MIB;
/// What one pairing costs beside the first is time more than insight.
const SMALLER: u64 = 64 * MIB;
/// After this much every buffer has been used once.
const WARM: u64 = 16 * MIB;
/// What memory may grow by, all of the test's own included.
const GROWTH: u64 = 8 * MIB;
static PIECE: [u8; 16 * 1024] = [b'x'; 16 * 1024];

/// Memory is that of a process, so that the measurement needs one of its own.
#[test]
fn large_bodies_pass_in_little_memory() {
    let own = std::env::current_exe().unwrap();
    let name = "flow::large_bodies_pass_in_little_memory_of_their_own_process";
    let output = Command::new(own).args(["--ignored", "--exact", name]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "another test starts it in a process of its own"]
async fn large_bodies_pass_in_little_memory_of_their_own_process() {
    for (front, behind, size) in [
        (Speaks::Http1, Speaks::Http1, LARGE),
        (Speaks::Http1, Speaks::Http2, SMALLER),
        (Speaks::Http2, Speaks::Http1, SMALLER),
        (Speaks::Http2, Speaks::Http2, SMALLER),
    ] {
        download(front, behind, size).await;
        upload(front, behind, size).await;
    }
}

async fn download(front: Speaks, behind: Speaks, size: u64) {
    let origin =
        Foreign::start(behind, move |_| async move { Response::new(Endless(size).boxed_unsync()) }).await;
    let gateway = patient(&origin).await;
    let mut caller = Caller::connect(front, gateway.local_addrs().listen).await;
    let body = caller.send(Request::get("/").body(nothing()).unwrap()).await.into_body();
    assert_eq!(read_slowly(body).await, size, "{front:?} {behind:?}");
    gateway.shutdown().await;
}

async fn upload(front: Speaks, behind: Speaks, size: u64) {
    let origin = Foreign::start(behind, |request| async {
        let count = read_slowly(request.into_body()).await;
        Response::new(whole(count.to_string()))
    })
    .await;
    let gateway = patient(&origin).await;
    let mut caller = Caller::connect(front, gateway.local_addrs().listen).await;
    let sending = caller.send(Request::post("/").body(Endless(size).boxed_unsync()).unwrap());
    let answer = sending.await.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(answer, size.to_string(), "{front:?} {behind:?}");
    gateway.shutdown().await;
}

async fn patient(origin: &Foreign) -> Gateway {
    let mut settings = origin.config();
    settings["routes"][0]["max_body"] = json!("1GiB");
    settings["routes"][0]["timeout"] = json!("60s");
    start(settings).await
}

/// Reads to the end with pauses, while memory stays as it was when everything was in motion. Gives the length.
async fn read_slowly(mut body: Incoming) -> u64 {
    let (mut count, mut next_pause, mut before) = (0, WARM, None);
    while let Some(frame) = limited(body.frame()).await {
        count += frame.unwrap().data_ref().map_or(0, Bytes::len) as u64;
        if count >= next_pause {
            next_pause += WARM;
            let before = *before.get_or_insert_with(resident);
            // Long enough to fill whatever takes it.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let grown = resident().saturating_sub(before);
            assert!(grown <= GROWTH, "{} MiB more after {} MiB", grown / MIB, count / MIB);
        }
    }
    count
}

/// The bytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A body of so many bytes that takes no memory.
struct Endless(u64);

impl Body for Endless {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        self.0 -= PIECE.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE)))))
    }
}
