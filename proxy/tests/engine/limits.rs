//! Clients that hold on to what they were given: each limit ends them, and nobody else.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Client, get, until};
use crate::origin::{Origin, Reply, ok};
use crate::stage::{config, everything, metric, start, with};

#[tokio::test]
async fn a_head_that_does_not_come_in_time_ends_the_connection() {
    let origin = Origin::saying("ok").await;
    let limits = json!({"header_timeout": "200ms", "idle_timeout": "30s"});
    let gateway = start(with(config(&[&origin], everything()), "limits", limits)).await;
    let silent = Client::connect(gateway.local_addrs().listen).await;
    let mut slow = Client::connect(gateway.local_addrs().listen).await;
    slow.send("GET / HTTP/1.1\r\nhost:").await;
    let mut second = Client::connect(gateway.local_addrs().listen).await;
    assert_eq!(second.get("/").await.status, 200);
    second.send("GET / HT").await;
    let began = Instant::now();
    assert!({ silent }.is_closed().await, "nobody asked for anything");
    for mut client in [slow, second] {
        assert_eq!(client.answer("GET").await.status, 408);
        assert!(client.is_closed().await);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "the idle timeout had to do it");
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let origin = Origin::start(|seen| match seen.line().contains("/slow") {
        true => Reply::Silence,
        false => Reply::Keep(ok("ok")),
    })
    .await;
    let limits = json!({"header_timeout": "200ms", "idle_timeout": "200ms"});
    let routes = json!([{"name": "all", "match": {"path": "/*"}, "service": "s", "timeout": "1500ms"}]);
    let gateway = start(with(config(&[&origin], routes), "limits", limits)).await;
    let mut idle = Client::connect(gateway.local_addrs().listen).await;
    assert_eq!(idle.get("/").await.status, 200);
    let mut busy = Client::connect(gateway.local_addrs().listen).await;
    busy.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(idle.is_closed().await);
    busy.answer("GET").await.problem(504, "timed_out");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let origin = Origin::start(|_| Reply::Keep(ok(vec![b'x'; 64 << 20]))).await;
    let limits = json!({"min_rate": "1KiB", "rate_window": "300ms"});
    let gateway = start(with(config(&[&origin], everything()), "limits", limits)).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the answer is under way", || origin.count() == 1).await;
    until("the origin is let go", || origin.open() == 0).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_turned_away() {
    let origin = Origin::saying("ok").await;
    let settings = with(config(&[&origin], everything()), "limits", json!({"connections": 3}));
    let gateway = start(with(settings, "workers", json!(1))).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        assert_eq!(client.get("/").await.status, 200);
        held.push(client);
    }
    assert!(Client::connect(gateway.local_addrs().listen).await.is_closed().await);
    let admin = gateway.local_addrs().admin;
    assert_eq!(metric(admin, "portreeve_connections_refused_total", &[]).await, 1.0);
    assert_eq!(metric(admin, "portreeve_connections", &[]).await, 3.0);
    drop(held);
    let mut status = 0;
    while status != 200 {
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        status = client.answer_or_end("GET").await.map_or(0, |given| given.status);
    }
    assert_eq!(get(gateway.local_addrs().listen, "/").await.status, 200);
    gateway.shutdown().await;
}
