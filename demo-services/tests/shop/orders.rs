//! Orders over the real neighbours, with everything that can be said no to on the way.

use std::path::Path;
use std::time::{Duration, Instant};

use portreeve_demo_services::{RunningService, Settings, ShopService, start};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Answer, alone, get, send, send_as, send_json, settings, until};
use crate::outbound::{FakeOutbound, Fault};
use crate::products::{add, stock};

/// The services an order needs, and the proxy between them.
pub(crate) struct Shop {
    pub(crate) outbound: FakeOutbound,
    pub(crate) products: RunningService,
    pub(crate) payments: RunningService,
    pub(crate) notifications: RunningService,
    pub(crate) folder: TempDir,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outbound = FakeOutbound::start().await;
        let products = alone(ShopService::Products, folder.path()).await;
        let payments = alone(ShopService::Payments, folder.path()).await;
        let notifications = alone(ShopService::Notifications, folder.path()).await;
        outbound.route("products", products.address());
        outbound.route("payments", payments.address());
        outbound.route("notifications", notifications.address());
        Self { outbound, products, payments, notifications, folder }
    }

    pub(crate) fn orders_settings(&self) -> Settings {
        let folder: &Path = self.folder.path();
        Settings { outbound: Some(self.outbound.uri.clone()), ..settings(folder) }
    }

    pub(crate) async fn orders(&self) -> RunningService {
        start(ShopService::Orders, self.orders_settings()).await.unwrap()
    }

    pub(crate) async fn stock(&self, product: i64) -> i64 {
        stock(self.products.address(), product).await
    }

    pub(crate) async fn close(self, orders: RunningService) {
        for service in [orders, self.products, self.payments, self.notifications] {
            service.shutdown().await;
        }
    }
}

pub(crate) async fn order(orders: &RunningService, user: &str, products: &[i64]) -> Answer {
    send_as(orders.address(), user, "POST /order", json!({ "product_ids": products })).await
}

async fn letters(shop: &Shop) -> Vec<Value> {
    get(shop.notifications.address(), "/notifications").await.ok(200).body.as_array().unwrap().clone()
}

#[tokio::test]
async fn an_order_is_reserved_paid_confirmed_and_told_of() {
    let shop = Shop::open().await;
    let orders = shop.orders().await;
    let at = shop.products.address();
    let (lamp, chair) = (add(at, 12.5, 3).await, add(at, 40.0, 2).await);
    let created = order(&orders, "alice", &[lamp, chair, lamp]).await.ok(201);
    assert_eq!((&created.body["total"], &created.body["status"]), (&json!(65), &json!("confirmed")));
    assert_eq!(created.body["product_ids"], json!([lamp, chair, lamp]));
    assert_eq!(created.body["user_id"], "alice");
    let id = created.body["order_id"].as_str().unwrap();
    assert_eq!(created.headers["location"], format!("/orders/{id}"));
    assert_eq!((shop.stock(lamp).await, shop.stock(chair).await), (1, 1));
    for path in [format!("/order/{id}"), format!("/orders/{id}")] {
        let found = send_as(orders.address(), "alice", &format!("GET {path}"), json!({})).await.ok(200);
        assert_eq!(found.body, created.body);
        send_as(orders.address(), "mallory", &format!("GET {path}"), json!({})).await.problem(404);
        send_as(orders.address(), "mallory", &format!("PUT {path}"), json!({ "product_id": lamp }))
            .await
            .problem(404);
        get(orders.address(), &path).await.problem(401);
    }
    let put = format!("PUT /orders/{id}");
    let added = send_as(orders.address(), "alice", &put, json!({ "product_id": chair })).await.ok(200);
    assert_eq!((&added.body["total"], shop.stock(chair).await), (&json!(105), 0));
    assert_eq!(added.body["product_ids"], json!([lamp, chair, lamp, chair]));
    let short = send_as(orders.address(), "alice", &put, json!({ "product_id": chair })).await.problem(409);
    assert_eq!(short.body["out_of_stock"], json!([chair]));
    let found = send_as(orders.address(), "alice", &format!("GET /order/{id}"), json!({})).await.ok(200);
    assert_eq!(found.body, added.body);
    until("both letters are there", || async { letters(&shop).await.len() == 2 }).await;
    shop.close(orders).await;
}

#[tokio::test]
async fn bad_orders_are_refused_before_anything_happens() {
    let shop = Shop::open().await;
    let orders = shop.orders().await;
    let too_many: Vec<i64> = (1..=101).collect();
    let cases = [
        (json!({}), vec!["#/product_ids"]),
        (json!({ "product_ids": [] }), vec!["#/product_ids"]),
        (json!({ "product_ids": "1" }), vec!["#/product_ids"]),
        (
            json!({ "product_ids": [1, "x", 0, 1.5] , "a": 1}),
            vec!["#/product_ids/1", "#/product_ids/2", "#/product_ids/3", "#/a"],
        ),
        (json!({ "product_ids": too_many }), vec!["#/product_ids"]),
    ];
    for (body, pointers) in cases {
        let answer = send_as(orders.address(), "alice", "POST /orders", body.clone()).await.problem(422);
        assert_eq!(answer.pointers(), pointers, "{body}");
    }
    send_json(orders.address(), "POST /order", json!({ "product_ids": [1] })).await.problem(401);
    send(
        orders.address(),
        "POST /order",
        &[("x-user-id", "alice"), ("content-type", "application/json")],
        "{",
    )
    .await
    .problem(400);
    send_as(orders.address(), "alice", "PUT /order/none", json!({ "product_id": 1 })).await.problem(404);
    assert_eq!(shop.outbound.seen("products/reservations"), 0);
    shop.close(orders).await;
}

#[tokio::test]
async fn an_order_with_unknown_products_names_them_and_takes_nothing() {
    let shop = Shop::open().await;
    let orders = shop.orders().await;
    let lamp = add(shop.products.address(), 1.0, 3).await;
    let refused = order(&orders, "alice", &[lamp, 77]).await.problem(422);
    assert_eq!(refused.body["unknown_products"], json!([77]));
    assert_eq!(shop.stock(lamp).await, 3);
    assert_eq!(shop.outbound.seen("payments/payments"), 0);
    shop.close(orders).await;
}

#[tokio::test]
async fn a_refused_payment_has_given_the_stock_back_when_it_is_answered() {
    let shop = Shop::open().await;
    let orders = shop.orders().await;
    let lamp = add(shop.products.address(), 6000.0, 3).await;
    order(&orders, "broke", &[lamp]).await.problem(402);
    assert_eq!(shop.stock(lamp).await, 3);
    order(&orders, "alice", &[lamp, lamp]).await.problem(402);
    assert_eq!(shop.stock(lamp).await, 3);
    // Adding to an order is refused in the same way, and leaves it as it was.
    let created = order(&orders, "alice", &[lamp]).await.ok(201);
    let dear = add(shop.products.address(), 10_000.01, 1).await;
    let id = created.body["order_id"].as_str().unwrap();
    send_as(orders.address(), "alice", &format!("PUT /order/{id}"), json!({ "product_id": dear }))
        .await
        .problem(402);
    let found = send_as(orders.address(), "alice", &format!("GET /order/{id}"), json!({})).await.ok(200);
    assert_eq!((found.body, shop.stock(dear).await), (created.body, 1));
    assert!(letters(&shop).await.len() <= 1);
    shop.close(orders).await;
}

#[tokio::test]
async fn with_a_neighbour_down_an_order_is_answered_in_time_and_nothing_stays_taken() {
    let shop = Shop::open().await;
    let orders = shop.orders().await;
    let lamp = add(shop.products.address(), 1.0, 3).await;
    for (place, fault) in [
        ("products", Fault::Down),
        ("products", Fault::HangBefore),
        ("products/reservations", Fault::HangAfter),
        ("payments", Fault::Down),
        ("payments", Fault::HangBefore),
    ] {
        shop.outbound.break_at(place, fault);
        let began = Instant::now();
        order(&orders, "alice", &[lamp]).await.problem(503);
        assert!(began.elapsed() < Duration::from_millis(3500), "{place}: {:?}", began.elapsed());
        shop.outbound.mend(place);
        until(place, || async { shop.stock(lamp).await == 3 }).await;
    }
    order(&orders, "alice", &[lamp]).await.ok(201);
    shop.close(orders).await;
}

#[tokio::test]
async fn a_letter_that_cannot_be_sent_does_not_fail_the_order_and_comes_later_once() {
    let shop = Shop::open().await;
    let orders = shop.orders().await;
    let lamp = add(shop.products.address(), 1.0, 3).await;
    shop.outbound.break_at("notifications", Fault::HangAfter);
    order(&orders, "alice", &[lamp]).await.ok(201);
    // Delivered, but nobody said so: it is sent again, and is still one letter.
    until("it was tried", || async { shop.outbound.seen("notifications/notifications/send") == 1 }).await;
    shop.outbound.mend("notifications");
    until("it was tried again", || async { shop.outbound.seen("notifications/notifications/send") >= 2 })
        .await;
    until("it is there", || async { letters(&shop).await.len() == 1 }).await;
    assert_eq!(letters(&shop).await[0]["user_id"], "alice");
    shop.close(orders).await;
}
