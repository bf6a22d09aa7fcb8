//! Story 4: an order reserves, pays and notifies through the sidecars; whatever fails, nothing is half done.

use serde_json::{Value, json};

use crate::client::{Client, id};
use crate::demo::{Demo, eventually};

async fn product(client: &Client, price: f64, stock: u32) -> Value {
    client.post("/products", json!({"name": "Lamp", "price": price, "stock": stock})).await.expect(201)["id"]
        .clone()
}

async fn stock(client: &Client, product: &Value) -> u64 {
    client.get(&format!("/products/{product}")).await.expect(200)["stock"].as_u64().unwrap()
}

#[tokio::test]
async fn an_order_is_paid_changed_read_and_told() {
    let demo = Demo::start().await;
    let alice = demo.user("alice").await;
    let (lamp, rug) = (product(&alice, 12.5, 10).await, product(&alice, 30.0, 5).await);
    for (create, read) in [("/order", "/order"), ("/orders", "/orders")] {
        let before = stock(&alice, &lamp).await;
        let made = alice.post(create, json!({"product_ids": [lamp, rug]})).await;
        let order = made.expect(201);
        assert_eq!((&order["user_id"], &order["total"]), (&json!("alice"), &json!(42.5)), "{order}");
        let path = format!("{read}/{}", id(&order["order_id"]));
        assert_eq!(stock(&alice, &lamp).await, before - 1);
        let changed = alice.put(&path, json!({"product_id": lamp})).await.expect(200);
        assert_eq!(changed["total"].as_f64(), Some(55.0), "{changed}");
        assert_eq!(changed["product_ids"], json!([lamp, rug, lamp]));
        assert_eq!(alice.get(&path).await.expect(200), changed);
        let bob = demo.user("bob").await;
        bob.get(&path).await.expect_problem(404);
    }
    let mail = Client::new(&demo.apps("notifications")[0]);
    eventually("notifications", async || {
        mail.get("/notifications").await.json().as_array().is_some_and(|list| list.len() >= 2)
    })
    .await;
    demo.stop().await;
}

#[tokio::test]
async fn what_fails_leaves_nothing_behind() {
    let demo = Demo::start().await;
    let alice = demo.user("alice").await;
    let (cheap, dear) = (product(&alice, 1.0, 3).await, product(&alice, 50_000.0, 3).await);
    alice.post("/order", json!({"product_ids": [cheap, 9999]})).await.expect_problem(422);
    assert_eq!(stock(&alice, &cheap).await, 3);
    alice.post("/order", json!({"product_ids": [cheap, dear]})).await.expect_problem(402);
    eventually("the stock is given back", async || stock(&alice, &cheap).await == 3).await;
    let broke = demo.user("broke").await;
    broke.post("/order", json!({"product_ids": [cheap]})).await.expect_problem(402);
    eventually("the stock is given back", async || stock(&alice, &cheap).await == 3).await;
    alice.post("/order", json!({"product_ids": [cheap, cheap, cheap, cheap]})).await.expect_problem(409);
    assert_eq!(stock(&alice, &cheap).await, 3);

    for pid in demo.processes(&["sidecar", "products"]) {
        crate::demo::send_signal(pid, "KILL");
    }
    let began = std::time::Instant::now();
    alice.post("/order", json!({"product_ids": [cheap]})).await.expect_problem(503);
    assert!(began.elapsed().as_secs() < 10, "within its deadline: {:?}", began.elapsed());
    demo.stop().await;
}
