//! Instances that die, lie or fall silent: what is repeated, what never is, and what the client is told.

use std::time::Duration;

use serde_json::json;

use crate::client::{Client, get, until};
use crate::origin::{Origin, Reply, answer, ok};
use crate::stage::{ask, before, config, everything, start, with};

#[tokio::test]
async fn a_get_survives_an_instance_that_was_killed() {
    let (left, right) = (Origin::saying("left").await, Origin::saying("right").await);
    let gateway = start(config(&[&left, &right], everything())).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for _ in 0..8 {
        assert_eq!(client.get("/").await.status, 200);
    }
    drop(left);
    for _ in 0..50 {
        let given = client.get("/").await;
        assert_eq!((given.status, given.text()), (200, "right"));
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_may_have_been_done_is_never_sent_twice() {
    let mute = || Origin::start(|_| Reply::Close(Vec::new()));
    let (left, right) = (mute().await, mute().await);
    let gateway = start(config(&[&left, &right], everything())).await;
    for (method, body) in [("POST", "pay"), ("POST", ""), ("PUT", "pay"), ("DELETE", "")] {
        let before = left.count() + right.count();
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        client.ask(method, "/", "", body).await.problem(502, "reset");
        assert_eq!(left.count() + right.count(), before + 1, "{method} {body:?}");
    }
    let before = left.count() + right.count();
    get(gateway.local_addrs().listen, "/").await.problem(502, "reset");
    assert_eq!(left.count() + right.count(), before + 3, "a GET is tried three times in all");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_died_in_the_pool_costs_nothing() {
    // It closes after each answer without having said so.
    let origin = Origin::start(|_| Reply::Close(ok("ok"))).await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(client.ask("POST", "/", "", "body").await.status, 200);
    }
    assert_eq!(origin.count(), 20);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_instance_that_comes_back_is_used_again() {
    let origin = Origin::saying("one").await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    assert_eq!(client.get("/").await.text(), "one");
    let address = origin.address;
    drop(origin);
    client.get("/").await.problem(502, "not_connected");
    let _again = Origin::start_at(address, |_| Reply::Keep(ok("two"))).await;
    assert_eq!(client.get("/").await.text(), "two", "the only instance is tried although it is set aside");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_refusal_by_an_instances_own_sidecar_is_repeated_for_safe_methods() {
    for status in ["502 Bad Gateway", "503 Service Unavailable"] {
        let refusing = Origin::start(move |_| {
            Reply::Keep(answer(status, "proxy-status: s; error=connection_refused\r\n", "sidecar"))
        })
        .await;
        let sound = Origin::saying("ok").await;
        let gateway = start(config(&[&refusing, &sound], everything())).await;
        let mut client = Client::connect(gateway.local_addrs().listen).await;
        for _ in 0..10 {
            assert_eq!(client.get("/").await.text(), "ok");
        }
        let mut statuses = Vec::new();
        for _ in 0..2 {
            statuses.push(client.ask("POST", "/", "", "x").await.status);
        }
        statuses.sort_unstable();
        assert_eq!(
            statuses,
            [200, status[..3].parse::<u16>().unwrap()],
            "a POST is passed on as it was answered"
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_services_own_error_is_passed_on_and_not_repeated() {
    let origin = Origin::start(|_| Reply::Keep(answer("503 Service Unavailable", "", "busy"))).await;
    let gateway = before(&origin).await;
    let given = get(gateway.local_addrs().listen, "/").await;
    assert_eq!((given.status, given.text(), origin.count()), (503, "busy", 1));
    gateway.shutdown().await;
}

#[tokio::test]
async fn each_failure_has_its_own_status_and_words() {
    let origin = Origin::start(|seen| match seen.line().split(' ').nth(1).unwrap() {
        "/silent" => Reply::Silence,
        "/mute" => Reply::Close(Vec::new()),
        "/garbage" => Reply::Close(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        "/switch" => Reply::Keep(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nraw".to_vec(),
        ),
        "/two-lengths" => {
            Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec())
        }
        "/large-head" => Reply::Close(answer("200 OK", &"x-large: 1\r\n".repeat(100_000), "")),
        _ => Reply::Keep(ok("ok")),
    })
    .await;
    let routes = json!([
        {"name": "all", "match": {"path": "/*"}, "service": "s", "timeout": "300ms", "retry": {"attempts": 1}},
        {"name": "dead", "match": {"path": "/dead"}, "service": "dead", "retry": {"attempts": 1}},
        {"name": "ghost", "match": {"path": "/ghost"}, "service": "ghost"},
    ]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut settings = config(&[&origin], routes);
    settings["services"]["dead"] = json!({"endpoints": [nobody.to_string()]});
    let gateway = start(with(settings, "control_plane", json!({"url": format!("http://{nobody}")}))).await;
    for (path, status, reason, error) in [
        ("/silent", 504, "timed_out", "http_response_timeout"),
        ("/mute", 502, "reset", "connection_terminated"),
        ("/garbage", 502, "broken", "http_protocol_error"),
        ("/switch", 502, "broken", "http_protocol_error"),
        ("/two-lengths", 502, "broken", "http_protocol_error"),
        ("/large-head", 502, "broken", "http_protocol_error"),
        ("/dead", 502, "not_connected", "connection_refused"),
        ("/ghost", 503, "no_instance", "destination_unavailable"),
    ] {
        let given = get(gateway.local_addrs().listen, path).await;
        let problem = given.problem(status, reason);
        assert_eq!(given.field("proxy-status"), Some(format!("gateway; error={error}").as_str()), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains('`'), "it names the service: {problem}");
        assert_eq!(given.field("retry-after").is_some(), status == 503, "{path}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_is_slow_is_not_the_services_fault() {
    let origin = Origin::saying("ok").await;
    let routes = json!([{"name": "all", "match": {"path": "/*"}, "service": "s", "timeout": "300ms"}]);
    let gateway = start(config(&[&origin], routes)).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    client.answer("POST").await.problem(408, "slow_body");
    assert!(client.is_closed().await, "the rest of the body would be read as a request");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let origin = Origin::start(|_| Reply::Silence).await;
    let gateway = before(&origin).await;
    let mut client = Client::connect(gateway.local_addrs().listen).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the origin has the request", || origin.count() == 1).await;
    drop(client);
    until("the origin's connection is closed", || origin.open() == 0).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn idle_connections_to_instances_are_closed_in_time() {
    let origin = Origin::saying("ok").await;
    let limits = json!({"upstream_idle": "200ms"});
    let gateway = start(with(config(&[&origin], everything()), "limits", limits)).await;
    assert_eq!(get(gateway.local_addrs().listen, "/").await.status, 200);
    until("the idle connection is closed", || origin.open() == 0).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(ask(&gateway, "POST", "/", "").await.status, 200);
    gateway.shutdown().await;
}
