//! The catalogue and its stock, with one instance and with two.

use std::net::SocketAddr;

use portreeve_demo_services::ShopService::Products;
use serde_json::{Value, json};

use crate::client::{Answer, alone, get, send, send_json};

pub(crate) async fn add(address: SocketAddr, price: f64, stock: i64) -> i64 {
    let product = json!({ "name": "lamp", "price": price, "stock": stock });
    send_json(address, "POST /products", product).await.ok(201).body["id"].as_i64().unwrap()
}

pub(crate) async fn stock(address: SocketAddr, id: i64) -> i64 {
    get(address, &format!("/products/{id}")).await.ok(200).body["stock"].as_i64().unwrap()
}

async fn reserve(address: SocketAddr, key: &str, items: &[(i64, i64)]) -> Answer {
    let item = |(id, quantity): &(i64, i64)| json!({ "product_id": id, "quantity": quantity });
    let items: Vec<Value> = items.iter().map(item).collect();
    let body = json!({ "reservation_id": key, "order_id": "order", "items": items });
    send_json(address, "POST /reservations", body).await
}

async fn release(address: SocketAddr, key: &str) {
    send(address, &format!("DELETE /reservations/{key}"), &[], "").await.ok(204);
}

#[tokio::test]
async fn products_are_added_listed_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let products = alone(Products, folder.path()).await;
    assert_eq!(get(products.address(), "/products").await.ok(200).body, json!([]));
    let lamp = json!({ "name": "Lamp, \"große\" 灯", "price": 12.50, "stock": 3 });
    let created = send_json(products.address(), "POST /products", lamp).await.ok(201);
    let expected = json!({ "id": 1, "name": "Lamp, \"große\" 灯", "price": 12.5, "stock": 3 });
    assert_eq!(created.body, expected);
    assert_eq!(created.headers["location"], "/products/1");
    assert_eq!(created.headers["server-port"], products.address().port().to_string());
    assert_eq!(get(products.address(), "/products/1").await.ok(200).body, expected);
    assert_eq!(get(products.address(), "/products").await.ok(200).body, json!([expected]));
    for missing in
        ["/products/2", "/products/-1", "/products/x", "/products/99999999999999999999", "/products/%FF"]
    {
        get(products.address(), missing).await.problem(404);
    }
    products.shutdown().await;
}

#[tokio::test]
async fn bad_products_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let products = alone(Products, folder.path()).await;
    let at = products.address();
    let cases = [
        (json!({}), vec!["#/name", "#/price", "#/stock"]),
        (json!({ "name": "", "price": -1, "stock": 1.5 }), vec!["#/name", "#/price", "#/stock"]),
        (json!({ "name": "a\nb", "price": 1.005, "stock": -1 }), vec!["#/name", "#/price", "#/stock"]),
        (json!({ "name": "a", "price": "1", "stock": "1" }), vec!["#/price", "#/stock"]),
        (json!({ "name": "a", "price": 1e300, "stock": 1e300 }), vec!["#/price", "#/stock"]),
        (json!({ "name": "a", "price": 1, "stock": 1, "id": 7, "a/b": 1 }), vec!["#/id", "#/a~1b"]),
    ];
    for (body, pointers) in cases {
        let answer = send_json(at, "POST /products", body.clone()).await.problem(422);
        assert_eq!(answer.pointers(), pointers, "{body}");
    }
    let json = [("content-type", "application/json")];
    for text in ["", "{", "{\"name\":", "nonsense", "\u{0}", "{} {}", &"[".repeat(10_000)] {
        send(at, "POST /products", &json, text.to_owned()).await.problem(400);
    }
    send(at, "POST /products", &json, vec![0xFF, 0xFE]).await.problem(400);
    send(at, "POST /products", &json, " ".repeat(65 * 1024)).await.problem(413);
    send(at, "POST /products", &[], "{}").await.problem(415);
    let refused = send(at, "PATCH /products", &json, "{}").await.problem(405);
    assert_eq!(refused.headers["allow"], "GET,HEAD,POST");
    assert_eq!(get(at, "/products").await.ok(200).body, json!([]));
    products.shutdown().await;
}

#[tokio::test]
async fn a_reservation_takes_all_or_nothing_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let products = alone(Products, folder.path()).await;
    let at = products.address();
    let (lamp, chair) = (add(at, 12.5, 3).await, add(at, 40.0, 1).await);
    let held = reserve(at, "a", &[(lamp, 2), (chair, 1)]).await.ok(201);
    assert_eq!(held.body["total"], 65);
    assert_eq!(reserve(at, "a", &[(chair, 1), (lamp, 2)]).await.ok(201).body, held.body);
    assert_eq!((stock(at, lamp).await, stock(at, chair).await), (1, 0));
    reserve(at, "a", &[(lamp, 1)]).await.problem(409);
    let short = reserve(at, "b", &[(lamp, 1), (chair, 1)]).await.problem(409);
    assert_eq!(short.body["out_of_stock"], json!([chair]));
    let unknown = reserve(at, "c", &[(lamp, 1), (77, 1), (78, 1)]).await.problem(422);
    assert_eq!(unknown.body["unknown_products"], json!([77, 78]));
    assert_eq!((stock(at, lamp).await, stock(at, chair).await), (1, 0));
    release(at, "a").await;
    release(at, "a").await;
    assert_eq!((stock(at, lamp).await, stock(at, chair).await), (3, 1));
    reserve(at, "a", &[(lamp, 2), (chair, 1)]).await.problem(409);
    products.shutdown().await;
}

#[tokio::test]
async fn a_reservation_that_arrives_after_its_release_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let products = alone(Products, folder.path()).await;
    let lamp = add(products.address(), 1.0, 1).await;
    release(products.address(), "late").await;
    reserve(products.address(), "late", &[(lamp, 1)]).await.problem(409);
    assert_eq!(stock(products.address(), lamp).await, 1);
    products.shutdown().await;
}

#[tokio::test]
async fn two_instances_share_the_catalogue_and_never_oversell() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = tokio::join!(alone(Products, folder.path()), alone(Products, folder.path()));
    let addresses = [one.address(), two.address()];
    let lamp = add(addresses[0], 1.0, 150).await;
    assert_eq!(stock(addresses[1], lamp).await, 150);
    let orders: Vec<_> = (0..200)
        .map(|number| {
            let at = addresses[number % 2];
            tokio::spawn(
                async move { reserve(at, &format!("r{number}"), &[(lamp, 1)]).await.status.as_u16() },
            )
        })
        .collect();
    let (mut held, mut short) = (0, 0);
    for order in orders {
        match order.await.unwrap() {
            201 => held += 1,
            409 => short += 1,
            other => panic!("a reservation was answered {other}"),
        }
    }
    assert_eq!((held, short), (150, 50));
    assert_eq!([stock(addresses[0], lamp).await, stock(addresses[1], lamp).await], [0, 0]);
    one.shutdown().await;
    two.shutdown().await;
}
