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

#[tokio::test]
async fn a_payment_is_its_users_own_and_every_answer_names_its_port() {
    let demo = Demo::start().await;
    let (alice, bob) = (demo.user("alice").await, demo.user("bob").await);
    let port = |service: &str| demo.apps(service)[0].rsplit(':').next().unwrap().to_owned();
    let lamp = product(&alice, 12.5, 10).await;
    let made = alice.post("/order", json!({"product_ids": [lamp]})).await;
    assert_eq!(made.header("server-port"), port("orders"));
    let order = made.expect(201);

    let path = format!("/payments/{}", id(&order["payment_ids"][0]));
    let answer = alice.get(&path).await;
    let payment = answer.expect(200);
    assert_eq!((&payment["order_id"], &payment["amount"]), (&order["order_id"], &json!(12.5)), "{payment}");
    assert_eq!(answer.header("server-port"), port("payments"));
    bob.get(&path).await.expect_problem(404);
    demo.gateway().get(&path).await.expect_problem(401);

    let message = json!({"channel": "mail", "message": "Your lamp is on its way."});
    let sent = alice.post("/notifications/send", message.clone()).await;
    assert!(sent.status.is_success(), "{sent:?}");
    assert_eq!(sent.header("server-port"), port("notifications"));
    let refused = alice.post("/notifications/send", json!({"channel": "smoke"})).await;
    refused.expect_problem(422);
    assert_eq!(refused.header("server-port"), port("notifications"));
    demo.gateway().post("/notifications/send", message).await.expect_problem(401);
    demo.stop().await;
}
