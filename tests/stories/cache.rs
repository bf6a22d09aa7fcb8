//! Story 5: answers from the gateway's memory, dropped by a write, never given to another user.

use serde_json::json;

use crate::client::id;
use crate::demo::Demo;

#[tokio::test]
async fn kept_answers_are_fresh_and_private() {
    let demo = Demo::start().await;
    let alice = demo.user("alice").await;
    let lamp =
        alice.post("/products", json!({"name": "Lamp", "price": 2, "stock": 9})).await.expect(201)["id"]
            .clone();
    let order = alice.post("/order", json!({"product_ids": [lamp]})).await.expect(201);
    let path = format!("/order/{}", id(&order["order_id"]));

    let first = alice.get(&path).await;
    assert_eq!(first.expect(200)["total"].as_f64(), Some(2.0));
    assert_eq!((first.header("cache-status"), first.header("age")), ("gateway; fwd=uri-miss; stored", ""));
    let second = alice.get(&path).await;
    assert!(second.header("cache-status").starts_with("gateway; hit; ttl="), "{:?}", second.headers);
    assert!(second.header("age").parse::<u64>().unwrap() <= 60);
    assert_eq!(second.body, first.body);

    let bob = demo.user("bob").await;
    let other = bob.get(&path).await;
    other.expect_problem(404);
    assert!(!other.header("cache-status").contains("hit"));

    alice.put(&path, json!({"product_id": lamp})).await.expect(200);
    let changed = alice.get(&path).await;
    assert_eq!(changed.expect(200)["total"].as_f64(), Some(4.0));
    assert!(!changed.header("cache-status").contains("hit"), "the PUT dropped it");
    assert!(alice.get(&path).await.header("cache-status").contains("hit"));

    alice.get("/products").await.expect(200);
    let listed = alice.get("/products").await;
    assert!(listed.header("cache-status").contains("hit"));
    assert_eq!(listed.json().as_array().unwrap().len(), 1);
    alice.post("/products", json!({"name": "Rug", "price": 3, "stock": 1})).await.expect(201);
    assert_eq!(bob.get("/products").await.expect(200).as_array().unwrap().len(), 2, "the next GET shows it");
    demo.stop().await;
}
