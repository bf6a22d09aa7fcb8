//! Orders whose answers were lost, and orders whose service died between two steps.

use std::thread;

use portreeve_demo_services::{ShopService, start};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::client::{send_as, until};
use crate::orders::{Shop, order};
use crate::outbound::Fault;
use crate::products::add;

/// What payments keeps, straight from its database: there is no request that lists it.
async fn statuses(shop: &Shop) -> Vec<String> {
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(shop.folder.path().join("payments.sqlite"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let statuses = sqlx::query_scalar("SELECT status FROM payments").fetch_all(&pool).await.unwrap();
    pool.close().await;
    statuses
}

#[tokio::test]
async fn money_taken_without_an_answer_is_given_back() {
    let shop = Shop::open().await;
    let orders = shop.orders().await;
    let lamp = add(shop.products.address(), 1.0, 3).await;
    shop.outbound.break_at("payments/payments", Fault::HangAfter);
    order(&orders, "alice", &[lamp]).await.problem(503);
    until("the money is back", || async { statuses(&shop).await == ["refunded"] }).await;
    until("the stock is back", || async { shop.stock(lamp).await == 3 }).await;
    // The same while payments cannot be asked for some time afterwards either.
    shop.outbound.break_at("payments/payments/cancel", Fault::Down);
    order(&orders, "alice", &[lamp]).await.problem(503);
    assert_eq!(statuses(&shop).await.iter().filter(|status| *status == "paid").count(), 1);
    shop.outbound.mend("payments/payments/cancel");
    until("the money is back", || async { statuses(&shop).await == ["refunded", "refunded"] }).await;
    until("the stock is back", || async { shop.stock(lamp).await == 3 }).await;
    shop.outbound.mend("payments/payments");
    order(&orders, "alice", &[lamp]).await.ok(201);
    shop.close(orders).await;
}

/// Sends `request` to an orders service of its own, kills that service once `place` was asked `times` times,
/// and says nothing more to it: its tasks are dropped where they stand.
async fn die_at(shop: &Shop, place: &str, request: &'static str, body: Value) {
    let (tell_address, address) = oneshot::channel();
    let (kill, killed) = oneshot::channel::<()>();
    let settings = shop.orders_settings();
    let process = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let orders = start(ShopService::Orders, settings).await.unwrap();
            tell_address.send(orders.address()).unwrap();
            killed.await.unwrap();
            // Not even its destructor runs: a killed process says no good-bye.
            std::mem::forget(orders);
        });
        runtime.shutdown_background();
    });
    let address = address.await.unwrap();
    let client = tokio::spawn(async move { send_as(address, "alice", request, body).await.status });
    let before = shop.outbound.seen(place);
    until("the step was begun", || async { shop.outbound.seen(place) > before }).await;
    kill.send(()).unwrap();
    tokio::task::spawn_blocking(move || process.join().unwrap()).await.unwrap();
    assert!(client.await.is_err(), "the order was answered");
}

#[tokio::test]
async fn an_order_whose_service_dies_while_reserving_leaves_nothing() {
    let shop = Shop::open().await;
    let lamp = add(shop.products.address(), 1.0, 3).await;
    shop.outbound.break_at("products/reservations", Fault::HangAfter);
    die_at(&shop, "products/reservations", "POST /order", json!({ "product_ids": [lamp] })).await;
    shop.outbound.mend("products/reservations");
    let orders = shop.orders().await;
    until("the stock is back", || async { shop.stock(lamp).await == 3 }).await;
    assert!(statuses(&shop).await.is_empty());
    shop.close(orders).await;
}

#[tokio::test]
async fn an_order_whose_service_dies_while_paying_is_paid_back() {
    let shop = Shop::open().await;
    let lamp = add(shop.products.address(), 1.0, 3).await;
    shop.outbound.break_at("payments/payments", Fault::HangAfter);
    die_at(&shop, "payments/payments", "POST /order", json!({ "product_ids": [lamp] })).await;
    let orders = shop.orders().await;
    until("the stock is back", || async { shop.stock(lamp).await == 3 }).await;
    until("the money is back", || async { statuses(&shop).await == ["refunded"] }).await;
    shop.close(orders).await;
}

#[tokio::test]
async fn an_order_that_was_confirmed_is_told_of_by_the_next_process() {
    let shop = Shop::open().await;
    let lamp = add(shop.products.address(), 1.0, 3).await;
    shop.outbound.break_at("notifications", Fault::HangBefore);
    let orders = shop.orders().await;
    let id = order(&orders, "alice", &[lamp]).await.ok(201).body["order_id"].clone();
    orders.shutdown().await;
    shop.outbound.mend("notifications");
    let orders = shop.orders().await;
    let letter = || async {
        let all = send_as(shop.notifications.address(), "alice", "GET /notifications", json!({})).await.body;
        all[0]["message"].as_str().is_some_and(|message| message.contains(id.as_str().unwrap()))
    };
    until("the letter is there", letter).await;
    assert_eq!(shop.stock(lamp).await, 2);
    shop.close(orders).await;
}
