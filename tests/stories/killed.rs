//! Nothing outlives a demo that is killed, and nothing it answered is lost; a state file that was cut off is put
//! aside and does not keep a gateway from starting.

use std::fs;

use serde_json::json;

use crate::client::id;
use crate::demo::{Demo, eventually};

#[tokio::test]
async fn a_demo_killed_with_sigkill_leaves_no_process_and_loses_nothing() {
    let demo = Demo::start().await;
    let alice = demo.user("alice").await;
    let user = json!({"user_id": "carol", "password": "correct horse"});
    demo.gateway().post("/users", user.clone()).await.expect(201);
    let lamp =
        alice.post("/products", json!({"name": "Lamp", "price": 2, "stock": 9})).await.expect(201)["id"]
            .clone();
    let order = alice.post("/order", json!({"product_ids": [lamp]})).await.expect(201);
    let route =
        json!({"match": {"path": "/catalogue"}, "service": "products", "rewrite": {"path": "/products"}});
    demo.control_plane().put("/v1/routes/catalogue", route).await.expect(200);
    demo.control_plane().patch("/v1/config/products/default", json!({"low-stock": "8"})).await.expect(200);

    let demo = demo.killed_and_started_again().await;
    // The token of the first run is good: the signing keys are kept too.
    let alice = demo.gateway().with("authorization", &alice.authorization());
    assert_eq!(alice.get(&format!("/order/{}", id(&order["order_id"]))).await.expect(200), order);
    assert_eq!(alice.get("/catalogue").await.expect(200)[0]["stock"], 8);
    demo.gateway().post("/users/login", user).await.expect(200);
    let merged = demo.control_plane().get("/v1/config/products/default/merged").await.expect(200);
    assert_eq!(merged["values"]["low-stock"], "8");
    demo.stop().await;
}

#[tokio::test]
async fn a_gateway_starts_over_a_snapshot_that_was_cut_off() {
    let mut demo = Demo::start().await;
    let alice = demo.user("alice").await;
    alice.get("/products").await.expect(200);
    let folder = demo.data().join("gateway");
    eventually("the gateway keeps its state", async || snapshot(&folder).is_some()).await;
    let control_plane = demo.kill(&["control-plane"]).await;
    let gateway = demo.kill(&["gateway"]).await;
    let file = snapshot(&folder).unwrap();
    let text = fs::read(&file).unwrap();
    fs::write(&file, &text[..text.len() / 2]).unwrap();

    demo.start_again(&gateway);
    let admin = demo.admin();
    let ready = async || admin.try_send("GET", "/readyz", None).await.map(|answer| answer.status.as_u16());
    eventually("it says that it has no routes", async || ready().await == Ok(503)).await;
    alice.get("/products").await.expect_problem(404);
    let aside = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
    let aside: Vec<_> = aside.filter(|path| path.extension().is_some_and(|end| end == "damaged")).collect();
    assert_eq!(fs::read(&aside[0]).unwrap(), text[..text.len() / 2], "what was found is kept for a look");

    demo.start_again(&control_plane);
    eventually("it has routes again", async || alice.get("/products").await.status == 200).await;
    assert_eq!(ready().await, Ok(200));
    demo.stop().await;
}

fn snapshot(folder: &std::path::Path) -> Option<std::path::PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files.into_iter().find(|path| path.extension().is_some_and(|end| end == "json"))
}
