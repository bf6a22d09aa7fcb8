//! Story 8: routes change under load; a bad change is refused whole, with every fault.

use std::time::Duration;

use serde_json::json;

use crate::demo::{Demo, eventually};
use crate::load::Load;

#[tokio::test]
async fn routes_change_while_load_runs_and_bad_ones_change_nothing() {
    let demo = Demo::start().await;
    let (alice, control_plane) = (demo.user("alice").await, demo.control_plane());
    let id = alice.post("/products", json!({"name": "Lamp", "price": 2, "stock": 9})).await.expect(201)["id"]
        .clone();
    let load = Load::start(alice.clone(), &format!("/products/{id}"), 200);
    load.more(20).await;

    let catalogue = |to: &str| json!({"match": {"path": "/catalogue", "methods": ["GET"]}, "service": "products", "rewrite": {"path": to}});
    alice.get("/catalogue").await.expect_problem(404);
    control_plane.put("/v1/routes/catalogue", catalogue("/products")).await.expect(200);
    let took =
        eventually("the route is in force", async || alice.get("/catalogue").await.status == 200).await;
    // The story says 50 ms; the bound leaves room for a busy machine.
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(alice.get("/catalogue").await.expect(200).is_array());

    control_plane.put("/v1/routes/catalogue", catalogue(&format!("/products/{id}"))).await.expect(200);
    eventually("the change is in force", async || alice.get("/catalogue").await.json()["name"] == "Lamp")
        .await;

    let before = control_plane.get("/v1/routes").await.json();
    let bad = json!({"routes": [
        {"name": "a", "match": {"path": "/a"}, "service": "prodcuts"},
        {"name": "a", "match": {"path": "no-slash"}, "service": "products"},
        {"name": "c", "match": {"path": "/c", "hots": "x"}, "service": "products"},
    ]});
    let problem = control_plane.put("/v1/routes", bad).await.expect_problem(422);
    let faults = problem["faults"].as_array().unwrap();
    let text = |part: &str| faults.iter().map(|fault| fault[part].to_string()).collect::<Vec<_>>().join("\n");
    for place in ["routes[0].service", "routes[1].name", "routes[1].match.path", "routes[2].match.hots"] {
        assert!(text("path").contains(place), "{place}: {problem}");
    }
    assert!(text("hint").contains("products") && text("hint").contains("host"), "{problem}");
    let dry = control_plane.put("/v1/routes/new?dry_run=true", catalogue("/products")).await;
    dry.expect(200);
    assert_eq!(control_plane.get("/v1/routes").await.json(), before, "what was live stays live");

    control_plane.send("DELETE", "/v1/routes/catalogue", None).await;
    eventually("the route is gone", async || alice.get("/catalogue").await.status == 404).await;
    let nodes = control_plane.get("/v1/nodes").await.json();
    assert!(nodes["nodes"].as_array().is_some_and(|nodes| nodes.len() == 8), "{nodes}");
    let noted = load.stop().await;
    assert_eq!(noted.failures, Vec::<String>::new(), "of {}", noted.answers);
    demo.stop().await;
}
