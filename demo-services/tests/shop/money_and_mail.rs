//! Payments and notifications: once for each key, and only to whom they belong.

use std::net::SocketAddr;

use portreeve_demo_services::ShopService::{Notifications, Payments};
use serde_json::{Value, json};

use crate::client::{Answer, alone, get, send_as, send_json};

async fn pay(at: SocketAddr, user: &str, amount: Value, key: &str) -> Answer {
    let body = json!({ "order_id": "o", "user_id": user, "amount": amount, "idempotency_key": key });
    send_json(at, "POST /payments", body).await
}

async fn cancel(at: SocketAddr, key: &str) -> Value {
    send_json(at, "POST /payments/cancel", json!({ "idempotency_key": key })).await.ok(200).body["status"]
        .clone()
}

#[tokio::test]
async fn money_is_taken_once_for_each_key_and_given_back_once() {
    let folder = tempfile::tempdir().unwrap();
    let payments = alone(Payments, folder.path()).await;
    let at = payments.address();
    let paid = pay(at, "alice", json!(12.5), "k").await.ok(201);
    assert_eq!((&paid.body["status"], &paid.body["amount"]), (&json!("paid"), &json!(12.5)));
    assert_eq!(paid.body["currency"], "EUR");
    assert_eq!(pay(at, "alice", json!(12.5), "k").await.ok(201).body, paid.body);
    pay(at, "alice", json!(13), "k").await.problem(422);
    let path = format!("/payments/{}", paid.body["payment_id"].as_str().unwrap());
    assert_eq!(paid.headers["location"], path.as_str());
    assert_eq!(get(at, &path).await.ok(200).body, paid.body);
    send_as(at, "alice", &format!("GET {path}"), json!({})).await.ok(200);
    send_as(at, "mallory", &format!("GET {path}"), json!({})).await.problem(404);
    send_as(at, "mallory", &format!("POST {path}/refund"), json!({})).await.problem(404);
    for _ in 0..2 {
        let refunded = send_json(at, &format!("POST {path}/refund"), json!({})).await.ok(200);
        assert_eq!(refunded.body["status"], "refunded");
    }
    pay(at, "alice", json!(12.5), "k").await.problem(409);
    get(at, "/payments/none").await.problem(404);
    payments.shutdown().await;
}

#[tokio::test]
async fn refusals_and_cancelled_keys_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let payments = alone(Payments, folder.path()).await;
    let at = payments.address();
    pay(at, "broke", json!(1), "a").await.problem(402);
    pay(at, "broke", json!(1), "a").await.problem(402);
    pay(at, "alice", json!(10_000), "b").await.ok(201);
    pay(at, "alice", json!(10_000.01), "c").await.problem(402);
    assert_eq!(cancel(at, "a").await, "refused");
    assert_eq!(cancel(at, "b").await, "refunded");
    assert_eq!(cancel(at, "b").await, "refunded");
    assert_eq!(cancel(at, "early").await, "cancelled");
    pay(at, "alice", json!(1), "early").await.problem(409);
    let faults = send_json(at, "POST /payments", json!({ "amount": 0.001, "card": 1 })).await.problem(422);
    assert_eq!(faults.pointers(), ["#/order_id", "#/user_id", "#/amount", "#/idempotency_key", "#/card"]);
    payments.shutdown().await;
}

#[tokio::test]
async fn a_notification_is_kept_once_for_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let notifications = alone(Notifications, folder.path()).await;
    let at = notifications.address();
    let send = "POST /notifications/send";
    let letter = json!({ "user_id": "alice", "channel": "mail", "message": "hello", "idempotency_key": "k" });
    let first = send_json(at, send, letter.clone()).await.ok(202).body;
    assert_eq!(first["status"], "sent");
    assert_eq!(send_json(at, send, letter.clone()).await.ok(202).body, first);
    send_as(at, "bob", send, json!({ "channel": "sms", "message": "hi" })).await.ok(202);
    send_as(at, "bob", send, letter).await.problem(403);
    let mine = send_as(at, "alice", "GET /notifications", json!({})).await.ok(200).body;
    assert_eq!(mine.as_array().unwrap().len(), 1);
    assert_eq!(mine[0]["message"], "hello");
    assert_eq!(get(at, "/notifications").await.ok(200).body.as_array().unwrap().len(), 2);
    let bad = json!({ "channel": "fax", "message": "" });
    assert_eq!(send_json(at, send, bad).await.problem(422).pointers(), ["#/channel", "#/message"]);
    notifications.shutdown().await;
}
