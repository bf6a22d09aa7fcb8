//! Users of the listeners that stand in for other servers, limited to some services.

use std::net::SocketAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use portreeve_config::{
    BasicUser, ConfigServerConfig, ConfigSource, ControlPlaneConfig, EurekaConfig, FolderSource, Secret,
};
use serde_json::{Value, json};

use crate::support::{Answer, Plane, config, send_to};

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

pub(crate) fn instance(application: &str, vip: &str) -> Value {
    json!({"instance": {"instanceId": "o-1", "app": application, "hostName": "n1", "ipAddr": "127.0.0.1",
        "vipAddress": vip, "secureVipAddress": vip, "port": {"$": 9001, "@enabled": "true"},
        "dataCenterInfo": {"name": "MyOwn"}, "leaseInfo": {"durationInSecs": 60}}})
}

pub(crate) async fn send_basic(
    address: SocketAddr,
    authorization: &str,
    (method, path): (&str, &str),
    body: Value,
) -> Answer {
    let request = http::Request::builder().method(method).uri(path).header("host", address.to_string());
    let request = request.header("authorization", authorization).header("content-type", "application/json");
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    send_to(address, request.body(body).unwrap()).await.unwrap()
}

fn user(folder: &Path, name: &str, services: Option<&[&str]>) -> BasicUser {
    let file = folder.join(format!("{name}.password"));
    std::fs::write(&file, format!("{name}-password")).unwrap();
    let services = services.map(|services| services.iter().map(|service| (*service).to_owned()).collect());
    BasicUser { name: name.to_owned(), password_hash: None, password_file: Some(file), services }
}

#[tokio::test]
async fn a_user_of_eureka_writes_its_own_services_under_any_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let users = vec![user(folder.path(), "all", None), user(folder.path(), "one", Some(&["my-orders"]))];
    let eureka = EurekaConfig { listen: "127.0.0.1:0".to_owned(), users, ..EurekaConfig::default() };
    let plane =
        Plane::with(ControlPlaneConfig { eureka: Some(eureka), ..config(&folder.path().join("data")) }).await;
    let address = plane.running.eureka_address().unwrap();
    let (all, one) = (basic("all", "all-password"), basic("one", "one-password"));
    let post = async |user: &str, application: &str, vip: &str| {
        let path = format!("/eureka/apps/{}", application.replace(' ', "%20"));
        send_basic(address, user, ("POST", &path), instance(application, vip)).await.status
    };
    assert_eq!(post(&all, "PAYMENTS", "payments").await, 204);
    for (application, vip, status) in [
        ("MY-ORDERS", "my-orders", 204),
        ("my-orders", "MY-ORDERS,my-orders:8080", 204),
        ("PAYMENTS", "payments", 403),
        ("payments", "my-orders", 403),
        ("PAYMENTS ", "my-orders", 403),
        ("my-orders2", "my-orders", 403),
        ("MY-ORDERS", "payments", 403),
        ("MY-ORDERS", "my-orders,PAYMENTS", 403),
        ("MY-ORDERS", "my-orders, payments", 403),
    ] {
        assert_eq!(post(&one, application, vip).await, status, "{application} {vip}");
    }
    for (method, path) in [
        ("PUT", "/eureka/apps/PAYMENTS/o-1"),
        ("DELETE", "/eureka/apps/payments/o-1"),
        ("PUT", "/eureka/v2/apps/Payments/o-1/status?value=DOWN"),
        ("DELETE", "/eureka/apps/PAYMENTS/o-1/status?value=UP"),
        ("PUT", "//eureka//apps//%50AYMENTS/o-1/metadata?a=b"),
    ] {
        assert_eq!(
            send_basic(address, &one, (method, path), Value::Null).await.status,
            403,
            "{method} {path}"
        );
    }
    let batch = json!({"replicationList": [
        {"appName": "PAYMENTS", "id": "o-1", "action": "Cancel"},
        {"appName": "payments", "id": "o-1", "action": "StatusUpdate", "status": "DOWN"},
        {"appName": "PAYMENTS", "id": "o-2", "action": "Register", "instanceInfo": instance("PAYMENTS", "payments")["instance"]},
        {"appName": "MY-ORDERS", "id": "o-1", "action": "Heartbeat"}]});
    let answer = send_basic(address, &one, ("POST", "/eureka/peerreplication/batch/"), batch).await.json();
    let statuses: Vec<_> = answer["responseList"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["statusCode"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [403, 403, 403, 200]);
    let listed = send_basic(address, &one, ("GET", "/eureka/vips/payments"), Value::Null).await.text;
    assert_eq!(listed.matches("<instanceId>").count(), 1, "{listed}");
    assert!(listed.contains("<status>UP</status>"), "{listed}");
}

#[tokio::test]
async fn a_user_of_the_config_server_reads_its_own_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let users = vec![user(folder.path(), "all", None), user(folder.path(), "one", Some(&["orders"]))];
    let mut server = ConfigServerConfig { listen: "127.0.0.1:0".to_owned(), users, ..Default::default() };
    server.encryption.key = Some(Secret::new("a key"));
    let files = folder.path().join("files");
    std::fs::create_dir_all(files.join("payments")).unwrap();
    std::fs::write(files.join("payments/application.yml"), "theirs: 1\n").unwrap();
    server.sources = vec![
        ConfigSource::BuiltIn,
        ConfigSource::Folder(FolderSource { path: files, search_paths: Vec::new() }),
    ];
    let plane = Plane::with(ControlPlaneConfig {
        config_server: Some(server),
        ..config(&folder.path().join("data"))
    })
    .await;
    for service in ["orders", "payments", "orders-admin"] {
        plane.put(&format!("/v1/config/{service}/default"), json!({"a": service})).await;
    }
    let address = plane.running.config_server_address().unwrap();
    let (all, one) = (basic("all", "all-password"), basic("one", "one-password"));
    for (method, path, status) in [
        ("GET", "/orders/default", 200),
        ("GET", "/orders-default.yml", 200),
        ("GET", "/actuator/health", 200),
        ("GET", "/orders/other", 200),
        ("GET", "/orders/admin", 403),
        ("GET", "/orders/other,admin", 403),
        ("GET", "/orders-admin.yml", 403),
        ("GET", "/orders-admin/default", 403),
        ("GET", "/orders/default/payments", 403),
        ("GET", "/orders/default/payments(_)x", 403),
        ("GET", "/payments/default", 403),
        ("GET", "/payments-default.yml", 403),
        ("GET", "/orders,payments/default", 403),
        ("GET", "/Orders/default", 403),
        ("GET", "/%70ayments/default", 403),
        ("GET", "/orders/default/main/payments.yml", 403),
        ("POST", "/decrypt", 403),
        ("POST", "/monitor", 403),
    ] {
        assert_eq!(
            send_basic(address, &one, (method, path), Value::Null).await.status,
            status,
            "{method} {path}"
        );
        let free = send_basic(address, &all, (method, path), Value::Null).await.status;
        assert_ne!(free, 403, "{method} {path}");
    }
}
