//! Story 10: without the control plane everything goes on; killed and restarted, it has lost nothing.

use serde_json::json;

use crate::demo::{Demo, eventually};
use crate::load::Load;

#[tokio::test]
async fn everything_goes_on_and_nothing_is_lost() {
    let mut demo = Demo::start().await;
    let alice = demo.user("alice").await;
    let id =
        alice.post("/products", json!({"name": "Lamp", "price": 2, "stock": 99})).await.expect(201)["id"]
            .clone();
    let path = format!("/products/{id}");
    let route =
        json!({"match": {"path": "/catalogue"}, "service": "products", "rewrite": {"path": "/products"}});
    demo.control_plane().put("/v1/routes/catalogue", route).await.expect(200);
    demo.control_plane().patch("/v1/config/products/default", json!({"low-stock": "8"})).await.expect(200);
    eventually("the route is in force", async || alice.get("/catalogue").await.status == 200).await;
    let state = demo.data().join("gateway");
    eventually("the gateway has kept it", async || kept(&state).contains("catalogue")).await;
    let instances = demo.control_plane().get("/v1/instances").await.json();

    // Killed in the middle of load: nobody notices.
    let load = Load::start(alice.clone(), &path, 100);
    load.more(20).await;
    let control_plane = demo.kill(&["control-plane"]).await;
    load.more(200).await;
    alice.post("/order", json!({"product_ids": [id]})).await.expect(201);
    let noted = load.stop().await;
    assert_eq!(noted.failures, Vec::<String>::new(), "of {}", noted.answers);

    // A gateway that starts now serves from what the last one kept.
    let gateway = demo.kill(&["gateway"]).await;
    demo.start_again(&gateway);
    eventually("the new gateway serves", async || {
        alice.try_send("GET", &path, None).await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    alice.get("/catalogue").await.expect(200);

    // Back again: everything is there, and everyone has found it.
    demo.start_again(&control_plane);
    let nodes = demo.control_plane();
    eventually("all nodes are back", async || {
        let listed = nodes.try_send("GET", "/v1/nodes", None).await.map(|answer| answer.json());
        listed.is_ok_and(|listed| listed["nodes"].as_array().is_some_and(|nodes| nodes.len() == 8))
    })
    .await;
    let ids = |listed: &serde_json::Value| {
        let instances = listed["instances"].as_array().unwrap().iter();
        instances.map(|instance| (instance["id"].clone(), instance["address"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(ids(&nodes.get("/v1/instances").await.json()), ids(&instances));
    assert_eq!(nodes.get("/v1/config/products/default/merged").await.expect(200)["values"]["low-stock"], "8");
    nodes.get("/v1/routes/catalogue").await.expect(200);
    nodes.send("DELETE", "/v1/routes/catalogue", None).await;
    eventually("changes reach the gateway again", async || alice.get("/catalogue").await.status == 404).await;
    demo.stop().await;
}

fn kept(folder: &std::path::Path) -> String {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
}
