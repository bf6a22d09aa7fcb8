//! Story 2: signed tokens, users with passwords, discovery, and a new key without a restart.

use serde_json::json;

use crate::client::Client;
use crate::demo::Demo;

#[tokio::test]
async fn tokens_users_and_a_rotated_key() {
    let demo = Demo::start().await;
    let gateway = demo.gateway();
    let signed = gateway.get("/auth/signIn?user_id=alice").await.expect(200);
    assert_eq!(signed["token_type"], "Bearer");
    assert!(signed["expires_in"].as_u64().unwrap() > 0);
    let alice = gateway.bearer(signed["access_token"].as_str().unwrap());
    alice.get("/products").await.expect(200);

    let user = json!({"user_id": "bob", "password": "correct horse"});
    gateway.post("/users", user.clone()).await.expect(201);
    gateway.post("/users", user.clone()).await.expect_problem(409);
    gateway
        .post("/users/login", json!({"user_id": "bob", "password": "wrong horse"}))
        .await
        .expect_problem(401);
    let signed = gateway.post("/users/login", user).await.expect(200);
    gateway.bearer(signed["access_token"].as_str().unwrap()).get("/products").await.expect(200);

    let discovery = gateway.get("/auth/.well-known/openid-configuration").await.expect(200);
    assert_eq!(discovery["issuer"], "http://auth.shop");
    let keys = gateway.get("/auth/.well-known/jwks.json").await.expect(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);

    // Keys are rotated by the service's operator, who reaches it directly; clients of the gateway cannot.
    gateway.send("POST", "/auth/rotate", None).await.expect_problem(404);
    gateway.send("POST", "/auth/token", Some(json!({"user_id": "root"}))).await.expect_problem(404);
    Client::new(&demo.apps("auth")[0]).send("POST", "/rotate", None).await;
    let signed = gateway.get("/auth/signIn?user_id=alice").await.expect(200);
    let keys = gateway.get("/auth/.well-known/jwks.json").await.expect(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    gateway.bearer(signed["access_token"].as_str().unwrap()).get("/products").await.expect(200);
    alice.get("/products").await.expect(200);
    demo.stop().await;
}
