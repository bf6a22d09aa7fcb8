//! Orders whose answers were lost, and orders whose service died between two steps.

use std::thread;

use portreeve_demo_services::{RunningService, ShopService, start};
use serde_json::{Value, json};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::oneshot;

use crate::client::{send_as, until};
use crate::orders::{Shop, order};
use crate::outbound::Fault;
use crate::products::add;

/// What payments keeps: there is no request that lists it.
async fn statuses(shop: &Shop) -> Vec<String> {
    rows(shop, "payments", "SELECT status FROM payments").await
}

/// The first column of a query, straight from a service's database.
async fn rows(shop: &Shop, service: &str, query: &'static str) -> Vec<String> {
    let options = SqliteConnectOptions::new().filename(shop.folder.path().join(format!("{service}.sqlite")));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let rows = sqlx::query_scalar(query).fetch_all(&pool).await.unwrap();
    pool.close().await;
    rows
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

#[tokio::test]
async fn a_service_that_is_stopped_answers_what_it_has_begun() {
    let shop = Shop::open().await;
    let lamp = add(shop.products.address(), 1.0, 3).await;
    let orders = shop.orders().await;
    let address = orders.address();
    shop.outbound.break_at("payments/payments", Fault::HangBefore);
    let body = json!({ "product_ids": [lamp] });
    let answer = tokio::spawn(async move { send_as(address, "alice", "POST /order", body).await });
    until("it is paying", || async { shop.outbound.seen("payments/payments") == 1 }).await;
    orders.shutdown().await;
    answer.await.unwrap().problem(503);
    assert_eq!((shop.stock(lamp).await, statuses(&shop).await), (3, vec!["cancelled".to_owned()]));
    let orders = shop.orders().await;
    shop.close(orders).await;
}

#[tokio::test]
async fn many_orders_at_once_share_the_stock_there_is() {
    let shop = Shop::open().await;
    let at = shop.products.address();
    let (lamp, table, chair) = (add(at, 1.0, 6).await, add(at, 2.0, 1).await, add(at, 4.0, 2).await);
    let orders = shop.orders().await;
    let mut answered = place(&orders, 20, lamp).await;
    answered.sort_unstable();
    assert_eq!(answered, [[201; 6].as_slice(), &[409; 14]].concat());
    // Two products added to one order at once are both in it.
    let created = order(&orders, "alice", &[table]).await.ok(201);
    let path = created.headers["location"].to_str().unwrap();
    let put = format!("PUT {path}");
    let add = || send_as(orders.address(), "alice", &put, json!({ "product_id": chair }));
    let (one, two) = tokio::join!(add(), add());
    assert_eq!((one.status.as_u16(), two.status.as_u16()), (200, 200));
    let found = send_as(orders.address(), "alice", &format!("GET {path}"), json!({})).await.ok(200);
    assert_eq!(found.body["product_ids"], json!([table, chair, chair]));
    assert_eq!(found.body["total"], 10);
    shop.close(orders).await;
}

/// Places so many orders of one product at once; the status of each.
async fn place(orders: &RunningService, count: usize, product: i64) -> Vec<u16> {
    let address = orders.address();
    let one = |_| {
        let order = async move {
            let body = json!({ "product_ids": [product] });
            send_as(address, "alice", "POST /order", body).await.status.as_u16()
        };
        tokio::spawn(order)
    };
    let placed: Vec<_> = (0..count).map(one).collect();
    let mut answered = Vec::new();
    for order in placed {
        answered.push(order.await.unwrap());
    }
    answered
}

#[tokio::test]
async fn after_a_storm_what_was_confirmed_is_what_was_paid_and_taken() {
    let shop = Shop::open().await;
    let lamp = add(shop.products.address(), 1.0, 1000).await;
    let orders = shop.orders().await;
    shop.outbound.storm(true);
    let mut answered = place(&orders, 20, lamp).await;
    answered.extend(place(&orders, 20, lamp).await);
    shop.outbound.storm(false);
    let unfinished = "SELECT state FROM changes WHERE state NOT IN ('done', 'undone')";
    until("all is decided", || async { rows(&shop, "orders", unfinished).await.is_empty() }).await;
    let sold = answered.iter().filter(|status| **status == 201).count();
    assert!(answered.iter().all(|status| [201, 503].contains(status)), "{answered:?}");
    assert!(sold > 0 && sold < answered.len(), "no storm: {answered:?}");
    let confirmed = rows(&shop, "orders", "SELECT status FROM orders WHERE status = 'confirmed'").await;
    let paid = statuses(&shop).await.into_iter().filter(|status| status == "paid").count();
    assert_eq!((confirmed.len(), paid, shop.stock(lamp).await), (sold, sold, 1000 - sold as i64));
    let letters = || async { rows(&shop, "notifications", "SELECT message FROM messages").await.len() };
    until("every buyer has a letter", || async { letters().await == sold }).await;
    shop.close(orders).await;
}
