//! Story 9: configuration in layers reaches the running service.

use std::time::Duration;

use serde_json::json;

use crate::client::Client;
use crate::demo::{Demo, eventually};

#[tokio::test]
async fn a_changed_value_reaches_the_running_service() {
    let demo = Demo::start().await;
    let control_plane = demo.control_plane();
    let products = Client::new(&demo.apps("products")[0]);
    let payments = Client::new(&demo.apps("payments")[0]);
    let seen = async |client: &Client, key: &str| client.get("/config").await.json()[key].clone();
    assert_eq!(
        (seen(&products, "currency").await, seen(&products, "low-stock").await),
        (json!("EUR"), json!("5"))
    );

    control_plane.patch("/v1/config/products/default", json!({"low-stock": "7"})).await.expect(200);
    let took = eventually("the value is there", async || seen(&products, "low-stock").await == "7").await;
    // The story says 1 s; the bound leaves room for a busy machine.
    assert!(took < Duration::from_secs(3), "{took:?}");

    control_plane.patch("/v1/config/application/default", json!({"currency": "CHF"})).await.expect(200);
    for client in [&products, &payments] {
        eventually("everyone's value is there", async || seen(client, "currency").await == "CHF").await;
    }
    control_plane.patch("/v1/config/products/default", json!({"currency": "SEK"})).await.expect(200);
    eventually("the own layer is stronger", async || seen(&products, "currency").await == "SEK").await;
    assert_eq!(seen(&payments, "currency").await, "CHF");
    control_plane.patch("/v1/config/products/default", json!({"currency": null})).await.expect(200);
    eventually("the weaker one shows again", async || seen(&products, "currency").await == "CHF").await;
    demo.stop().await;
}
