//! Story 3: products are made, listed and read, and reading alternates strictly between the two instances.

use serde_json::json;

use crate::demo::Demo;

#[tokio::test]
async fn products_alternate_between_two_instances() {
    let demo = Demo::start().await;
    let alice = demo.user("alice").await;
    let made = alice.post("/products", json!({"name": "Lamp", "price": 12.5, "stock": 10})).await;
    let product = made.expect(201);
    assert_eq!(made.header("location"), format!("/products/{}", product["id"]));
    assert_eq!(
        (&product["name"], &product["price"], &product["stock"]),
        (&json!("Lamp"), &json!(12.5), &json!(10))
    );
    let path = format!("/products/{}", product["id"]);

    let mut ports = Vec::new();
    for _ in 0..20 {
        let answer = alice.get(&path).await;
        assert_eq!(answer.expect(200)["name"], "Lamp");
        ports.push(answer.header("server-port").to_owned());
    }
    let mut expected: Vec<String> =
        demo.apps("products").iter().map(|address| address.rsplit(':').next().unwrap().to_owned()).collect();
    if expected[0] != ports[0] {
        expected.reverse();
    }
    let expected: Vec<String> = expected.iter().cycle().take(ports.len()).cloned().collect();
    assert_eq!(ports, expected);

    assert_eq!(alice.get("/products").await.expect(200).as_array().unwrap().len(), 1);
    alice.get("/products/9999").await.expect_problem(404);
    assert_eq!(demo.admin().get("/readyz").await.status, 200);
    let metrics = demo.admin().get("/metrics").await;
    let counted = r#"portreeve_requests_total{plane="gateway",route="products-read",service="products",status="2xx"} 20"#;
    assert!(String::from_utf8_lossy(&metrics.body).contains(counted), "{metrics:?}");
    alice.post("/products", json!({"name": "", "price": -1, "stock": 1.5})).await.expect_problem(422);
    demo.stop().await;
}
