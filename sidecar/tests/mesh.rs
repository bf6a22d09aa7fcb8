//! A sidecar among others: services by name, configuration handed over, and life without the control plane.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stage::{App, Plane, Running, beside, eventually, fetch, written};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn services_are_called_by_name_and_in_turn() {
    let plane = Plane::start().await;
    let (first, second, caller) =
        (App::start("first").await, App::start("second").await, App::start("orders").await);
    let one = Running::start(beside(&first, "products", Some(&plane)), None).await;
    let two = Running::start(beside(&second, "products", Some(&plane)), None).await;
    let orders = Running::start(beside(&caller, "orders", Some(&plane)), None).await;
    let outbound = orders.outbound;
    both_answer(outbound).await;

    let mut answers = Vec::new();
    for host in ["products", "products:8080", "PRODUCTS", "products"] {
        let (status, name) = fetch(outbound, "/products/1?a=b", Some(host)).await;
        assert_eq!(status, 200, "{host}");
        answers.push(name);
    }
    assert_ne!(answers[0], answers[1]);
    assert_eq!((&answers[0], &answers[1]), (&answers[2], &answers[3]), "strictly in turn");

    // As a client sends it that was given `http_proxy`.
    let absolute = raw(outbound, "GET http://products/products HTTP/1.1\r\nhost: products\r\n").await;
    assert!(absolute.starts_with("HTTP/1.1 200"), "{absolute}");
    let unknown = raw(outbound, "GET / HTTP/1.1\r\nhost: nobody\r\n").await;
    assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("application/problem+json"), "{unknown}");

    // One leaves: the other answers alone, without a single failure on the way.
    let stopping = tokio::spawn(one.stopped());
    while !stopping.is_finished() {
        assert_eq!(fetch(outbound, "/", Some("products")).await.0, 200);
    }
    assert_eq!(stopping.await.unwrap(), 0);
    assert_eq!(fetch(outbound, "/", Some("products")).await, (200, "second".to_owned()));
    assert_eq!(two.stopped().await, 0);
    assert_eq!(orders.stopped().await, 0);
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_after_the_callers_timeout() {
    let plane = Plane::start().await;
    let app = App::start("orders").await;
    // Connections wait in its queue: it is there, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut products = beside(&app, "products", Some(&plane));
    products["app"] = json!(silent.local_addr().unwrap().to_string());
    let products = Running::start(products, None).await;
    let mut orders = beside(&app, "orders", Some(&plane));
    orders["timeout"] = json!("300ms");
    let orders = Running::start(orders, None).await;
    let began = Instant::now();
    let status = eventually(|| async {
        let (status, _) = fetch(orders.outbound, "/", Some("products")).await;
        (status != 404 && status != 503).then_some(status)
    });
    assert_eq!(status.await, 504);
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}, as without a word of it", began.elapsed());
    assert_eq!(orders.stopped().await, 0);
    assert_eq!(products.stopped().await, 0);
}

async fn both_answer(outbound: std::net::SocketAddr) {
    let mut seen = std::collections::BTreeSet::new();
    let limit = Instant::now() + stage::LIMIT;
    while seen.len() < 2 {
        assert!(Instant::now() < limit, "not both instances are known");
        let (status, name) = fetch(outbound, "/", Some("products")).await;
        if status == 200 {
            seen.insert(name);
        }
    }
}

async fn raw(address: std::net::SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_command_gets_its_configuration_and_where_its_sidecar_is() {
    let plane = Plane::start().await;
    plane.configure("application", json!({"currency": "EUR", "path": "/evil", "shop.name": "one"})).await;
    plane.configure("orders", json!({"low-stock": "5", "shop.name": "two", "a[0]": "list"})).await;
    let app = App::start("orders").await;
    let folder = tempfile::tempdir().unwrap();
    let found = folder.path().join("environment");
    let mut config = beside(&app, "orders", Some(&plane));
    config["state_dir"] = json!(folder.path().join("state"));
    config["instance"] = json!("orders-1");
    let script = format!("env > {0}.new; mv {0}.new {0}; exec sleep 600", found.display());
    let running = Running::start(config, Some(&script)).await;

    let text = written(&found).await;
    let has = |line: String| assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
    let file = folder.path().join("state/orders-1.config.json");
    has("CURRENCY=EUR".to_owned());
    has("LOWSTOCK=5".to_owned());
    has("SHOP_NAME=two".to_owned());
    has(format!("PATH={}", std::env::var("PATH").unwrap()));
    has(format!("PORTREEVE_OUTBOUND=http://{}", running.outbound));
    has(format!("PORTREEVE_CONFIG_FILE={}", file.display()));
    has(format!("PORTREEVE_ZIPKIN={}/api/v2/spans", plane.url()));
    has("PORTREEVE_SERVICE=orders".to_owned());
    has("PORTREEVE_INSTANCE=orders-1".to_owned());
    assert_eq!(read(&file)["a[0]"], "list", "what is no variable is in the file");

    plane.configure("orders", json!({"low-stock": "7"})).await;
    let began = Instant::now();
    eventually(|| async { (read(&file)["low-stock"] == "7").then_some(()) }).await;
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    assert_eq!(read(&file)["shop.name"], "one", "the layer below shows again");
    assert_eq!(running.stopped().await, 128 + 15);
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_restart_without_the_control_plane_uses_the_last_state() {
    let mut plane = Plane::start().await;
    plane.configure("orders", json!({"low-stock": "5"})).await;
    let (products, caller) = (App::start("products").await, App::start("orders").await);
    let one = Running::start(beside(&products, "products", Some(&plane)), None).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = beside(&caller, "orders", Some(&plane));
    config["state_dir"] = json!(folder.path());
    let orders = Running::start(config.clone(), None).await;
    plane.registered("products", 1).await;
    eventually(|| async { (fetch(orders.outbound, "/", Some("products")).await.0 == 200).then_some(()) })
        .await;
    assert_eq!(orders.stopped().await, 0);

    plane.stop().await;
    let found = folder.path().join("environment");
    let script = format!("echo $LOWSTOCK > {}; exec sleep 600", found.display());
    let orders = Running::start(config, Some(&script)).await;
    assert_eq!(fetch(orders.outbound, "/", Some("products")).await, (200, "products".to_owned()));
    assert_eq!(written(&found).await, "5\n");

    plane.restart().await;
    let began = Instant::now();
    plane.registered("orders", 1).await;
    plane.registered("products", 1).await;
    assert!(began.elapsed() < Duration::from_millis(1500), "it took {:?}", began.elapsed());
    assert_eq!(orders.stopped().await, 128 + 15);
    assert_eq!(one.stopped().await, 0);
}

#[tokio::test]
async fn a_stop_without_the_control_plane_waits_for_nobody() {
    let mut plane = Plane::start().await;
    let app = App::start("orders").await;
    let running = Running::start(beside(&app, "orders", Some(&plane)), None).await;
    plane.registered("orders", 1).await;
    plane.stop().await;
    let began = Instant::now();
    assert_eq!(running.stopped().await, 0);
    assert!(began.elapsed() < Duration::from_secs(4), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn without_a_control_plane_the_service_is_reached_all_the_same() {
    let app = App::start("orders").await;
    let running = Running::start(beside(&app, "orders", None), None).await;
    eventually(|| async { (fetch(running.admin, "/readyz", None).await.0 == 200).then_some(()) }).await;
    assert_eq!(fetch(running.inbound, "/any/path", Some("whatever")).await, (200, "orders".to_owned()));
    assert_eq!(fetch(running.outbound, "/", Some("orders")).await.0, 404);
    assert_eq!(running.stopped().await, 0);
}

#[tokio::test]
async fn a_damaged_state_is_set_aside() {
    let plane = Plane::start().await;
    let app = App::start("orders").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders-1.snapshot.json"), "{\"format\":1,").unwrap();
    let mut config = beside(&app, "orders", Some(&plane));
    config["state_dir"] = json!(folder.path());
    config["instance"] = json!("orders-1");
    let running = Running::start(config, None).await;
    plane.registered("orders", 1).await;
    assert!(folder.path().join("orders-1.snapshot.json.damaged").exists());
    assert_eq!(running.stopped().await, 0);
    assert!(folder.path().join("orders-1.snapshot.json").exists(), "the new state is kept");
}
