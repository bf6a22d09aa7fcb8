//! Tokens of nodes: each speaks for its own services, over the API and over the stream.

use serde_json::{Value, json};

use crate::support::{Node, Plane};
use crate::{get, guarded, secret, send, token};

fn hello(node: &str, application: &str) -> Value {
    json!({"type": "hello", "node": node, "kind": "sidecar", "config": {"application": application, "profile": "default"}})
}

fn registration(service: &str) -> Value {
    json!({"type": "register", "service": service, "id": format!("{service}-1"), "address": "127.0.0.1:4001",
        "status": "up", "lease_ms": 3000})
}

async fn open(plane: &Plane, name: &str, hello: Value) -> Result<Node, crate::support::Answer> {
    Node::open_with(plane.running.address(), Some(&secret(name)), hello).await
}

#[tokio::test]
async fn a_node_writes_instances_of_its_own_services_only() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let body = || json!({"address": "127.0.0.1:4001", "lease_ms": 60_000});
    let own = "/v1/services/orders/instances/o-1";
    assert_eq!(send(&plane, "node", "PUT", own, body()).await.status, 200);
    assert_eq!(send(&plane, "node", "PUT", &format!("{own}/lease"), Value::Null).await.status, 204);
    let down = json!({"status": "down"});
    assert_eq!(send(&plane, "node", "PUT", &format!("{own}/status"), down.clone()).await.status, 200);
    let other = "/v1/services/payments/instances/p-1";
    assert_eq!(send(&plane, "operator", "PUT", other, body()).await.status, 200);
    for (method, path) in [("PUT", ""), ("DELETE", ""), ("PUT", "/lease"), ("PUT", "/status")] {
        for service in [
            "payments",
            "Orders",
            "ORDERS",
            "orders%20",
            "%20orders",
            "orders%00",
            "orders%2F",
            "order",
            "orderss",
        ] {
            let path = format!("/v1/services/{service}/instances/p-1{path}");
            let status = send(&plane, "node", method, &path, down.clone()).await.status;
            assert_eq!(status, 403, "{method} {path}");
        }
        let path = format!("{own}{path}");
        assert_eq!(send(&plane, "gateway", method, &path, down.clone()).await.status, 403, "{method} {path}");
    }
    // A body cannot say another service than the path.
    let body = json!({"service": "payments", "id": "p-1", "address": "127.0.0.1:4001"});
    assert_eq!(send(&plane, "node", "PUT", own, body).await.status, 422);
    assert!(get(&plane, "node", other).await.text.contains("\"status\":\"up\""));
    assert_eq!(send(&plane, "node", "DELETE", own, Value::Null).await.status, 200);
}

#[tokio::test]
async fn each_message_of_a_stream_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let body = json!({"address": "127.0.0.1:4009", "lease_ms": 60_000});
    send(&plane, "operator", "PUT", "/v1/services/payments/instances/payments-1", body).await;
    let mut node = open(&plane, "node", hello("n", "orders")).await.unwrap();
    node.say_raw(&registration("payments").to_string());
    assert_refused(&mut node, "`node` does not speak for `payments`").await;
    node.say_raw(&json!({"type": "deregister", "service": "payments", "id": "payments-1"}).to_string());
    assert_refused(&mut node, "`node` does not speak for `payments`").await;
    node.say_raw(&registration("ORDERS").to_string());
    assert_refused(&mut node, "does not speak for `ORDERS`").await;
    node.say_raw(&registration("orders").to_string());
    node.outcome().await.unwrap();
    let listed = get(&plane, "reader", "/v1/instances").await.text;
    assert!(listed.contains("\"orders-1\"") && listed.contains("127.0.0.1:4009"), "{listed}");
    node.say_raw(&json!({"type": "deregister", "service": "orders", "id": "orders-1"}).to_string());
    node.outcome().await.unwrap();
    let mut gateway =
        open(&plane, "gateway", json!({"type": "hello", "node": "g", "kind": "gateway"})).await.unwrap();
    gateway.say_raw(&registration("orders").to_string());
    assert_refused(&mut gateway, "`gateway` does not speak for `orders`").await;
}

async fn assert_refused(node: &mut Node, words: &str) {
    let faults = node.outcome().await.unwrap_err();
    assert!(faults.starts_with("service: ") && faults.contains(words), "{faults}");
}

#[tokio::test]
async fn a_stream_shows_no_others_configuration_and_takes_no_other_token_s_node_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = guarded(folder.path());
    config.tokens.push(token(folder.path(), "other", portreeve_config::TokenRole::Node, Some(&["payments"])));
    let plane = Plane::with(config).await;
    let refused = open(&plane, "other", hello("n", "orders")).await.err().unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(
        refused.text.contains("configuration of `orders` is not for the token `other`"),
        "{}",
        refused.text
    );
    for role in ["reader", "operator"] {
        assert_eq!(open(&plane, role, hello("n", "orders")).await.err().unwrap().status, 403, "{role}");
    }
    let _node = open(&plane, "node", hello("n", "orders")).await.unwrap();
    let refused = open(&plane, "other", hello("n", "payments")).await.err().unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(refused.text.contains("is connected with another token"), "{}", refused.text);
    // Its own token may come back under the name at once.
    open(&plane, "node", hello("n", "orders")).await.unwrap();
}
