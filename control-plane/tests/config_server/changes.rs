//! What happens when configuration changes: sidecars are told at once, Spring applications by their own endpoint.

use std::time::{Duration, Instant};

use portreeve_config::wire::ControlMessage;
use portreeve_config::{BasicCredentials, ConfigSource, Secret};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::support::{LIMIT, Node};
use super::{Server, folder_source};

/// Waits until a sidecar was told that `key` is `value`.
pub(super) async fn told(sidecar: &mut Node, key: &str, value: Option<&str>) {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < LIMIT, "`{key}` did not become {value:?}");
        let Some(message) = sidecar.next_raw().await else { panic!("the stream ended") };
        let config = match message {
            ControlMessage::Snapshot(snapshot) => snapshot.config,
            ControlMessage::Change(change) => {
                let config = change.events.into_iter().find_map(|event| match event {
                    portreeve_config::wire::Event::Config(config) => Some(config),
                    _ => None,
                });
                let Some(config) = config else { continue };
                config
            }
            _ => continue,
        };
        if config.get(key).map(String::as_str) == value {
            return;
        }
    }
}

#[tokio::test]
async fn a_changed_file_reaches_sidecars_and_a_broken_one_does_not() {
    let server = Server::of_files(&[("pay.yml", "a: 1\nb: ${a}")]).await;
    let mut sidecar = server.plane.sidecar("one", "pay", "dev").await;
    told(&mut sidecar, "b", Some("1")).await;
    server.write("pay-dev.yml", "a: 2");
    told(&mut sidecar, "b", Some("2")).await;
    server.write("pay-dev.yml", "a: [");
    // What comes next tells that the broken file changed nothing.
    server.write("application.yml", "c: 3");
    told(&mut sidecar, "c", Some("3")).await;
    assert_eq!(server.get("/pay/dev").await.status, 500);
    server.plane.put("/v1/services/some", json!({})).await;
    std::fs::remove_file(server.folder.path().join("files/pay-dev.yml")).unwrap();
    told(&mut sidecar, "b", Some("1")).await;
    assert_eq!(server.get("/pay/dev").await.status, 200);
}

/// A Spring application that counts how often it was told to refresh.
async fn application() -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]").await;
            let _ = sender.send(String::from_utf8_lossy(&head[..length]).into_owned());
        }
    });
    (port, heads)
}

async fn next(heads: &mut mpsc::UnboundedReceiver<String>) -> String {
    tokio::time::timeout(LIMIT, heads.recv()).await.expect("nobody told the application").unwrap()
}

#[tokio::test]
async fn spring_applications_are_told_of_files_layers_and_webhooks() {
    let server = Server::with(|config, folder| {
        config.sources = vec![ConfigSource::BuiltIn, folder_source(folder)];
        let password = Secret::new("refresh");
        config.refresh.credentials = Some(BasicCredentials {
            username: "admin".to_owned(),
            password: Some(password),
            password_file: None,
        });
        config.monitor_secret = Some(Secret::new("hook"));
    });
    let server = server.await;
    let (pay_port, mut pay) = application().await;
    let (users_port, mut users) = application().await;
    for (service, port, context) in [("pay", pay_port, "/manage"), ("users", users_port, "")] {
        let metadata = json!({"management.port": port.to_string(), "management.context-path": context});
        let body = json!({"address": "127.0.0.1:9", "lease_ms": 60_000, "metadata": metadata});
        let path = format!("/v1/services/{service}/instances/one");
        assert_eq!(server.plane.put(&path, body).await.status, 200);
    }
    server.write("pay-dev.yml", "a: 1");
    let head = next(&mut pay).await;
    assert!(head.starts_with("POST /manage/actuator/refresh HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: basic ywrtaw46cmvmcmvzaa==\r\n"), "{head}");
    server.plane.put("/v1/config/application/default", json!({"a": "b"})).await;
    assert!(next(&mut users).await.starts_with("POST /actuator/refresh "));
    next(&mut pay).await;
    let hook =
        [("x-gitlab-event", "Push Hook"), ("x-gitlab-token", "hook"), ("content-type", "application/json")];
    let body = r#"{"commits": [{"modified": ["users-prod.yml"]}]}"#;
    let answer = server.send("POST", "/monitor", &hook, body).await;
    assert_eq!((answer.status, answer.json()), (200, json!(["users", "users-prod"])));
    assert!(next(&mut users).await.starts_with("POST /actuator/refresh "));
    assert_eq!(server.send("POST", "/monitor", &hook[..1], body).await.status, 401);
    // Nobody was told of what was not meant for them.
    assert!(tokio::time::timeout(Duration::from_millis(200), pay.recv()).await.is_err());
}

#[tokio::test]
async fn a_webhook_with_a_name_that_no_file_can_have_is_answered() {
    let server = Server::with(|_, _| {}).await;
    let body = json!({"path": ["a-".repeat(500_000), "pay-dev.yml"]}).to_string();
    let answer = server.send("POST", "/monitor", &[], &body).await;
    assert_eq!((answer.status, answer.json()), (200, json!(["pay", "pay-dev"])));
}

#[tokio::test]
async fn an_application_that_does_not_answer_holds_nobody_up() {
    let server = Server::with(|config, _| config.refresh.concurrency = 2).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, mut told) = application().await;
    for (id, port) in [("silent", silent.local_addr().unwrap().port()), ("zlast", port)] {
        let body = json!({"address": "127.0.0.1:9", "lease_ms": 60_000, "metadata": {"management.port": port.to_string()}});
        server.plane.put(&format!("/v1/services/pay/instances/{id}"), body).await;
    }
    server.plane.put("/v1/config/pay/default", json!({"a": "b"})).await;
    next(&mut told).await;
    assert_eq!(server.get("/pay/default").await.status, 200);
}
