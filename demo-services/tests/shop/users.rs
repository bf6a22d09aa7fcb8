//! Users, their passwords, and their tokens.

use portreeve_demo_services::{Settings, ShopService, start};
use serde_json::json;

use crate::client::{alone, send_json, settings};
use crate::outbound::{FakeOutbound, Fault};

#[tokio::test]
async fn a_user_registers_and_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let outbound = FakeOutbound::start().await;
    let auth = alone(ShopService::Auth, folder.path()).await;
    outbound.route("auth", auth.address());
    let around = Settings { outbound: Some(outbound.uri.clone()), ..settings(folder.path()) };
    let users = start(ShopService::Users, around).await.unwrap();
    let alice = json!({ "user_id": "alice", "password": "correct horse" });
    let created = send_json(users.address(), "POST /users", alice.clone()).await.ok(201);
    assert_eq!(created.headers["location"], "/users/alice");
    assert_eq!(created.body, json!({ "user_id": "alice" }));
    send_json(users.address(), "POST /users", alice.clone()).await.problem(409);
    let token = send_json(users.address(), "POST /users/login", alice.clone()).await.ok(200).body;
    assert!(token["access_token"].is_string() && token["token_type"] == "Bearer");
    let wrong = json!({ "user_id": "alice", "password": "wrong horse" });
    let unknown = json!({ "user_id": "bob", "password": "correct horse" });
    let wrong = send_json(users.address(), "POST /users/login", wrong).await.problem(401);
    let unknown = send_json(users.address(), "POST /users/login", unknown).await.problem(401);
    assert_eq!(wrong.body, unknown.body, "the answer tells who exists");
    assert!(wrong.headers.contains_key("www-authenticate"));
    outbound.break_at("auth", Fault::Down);
    send_json(users.address(), "POST /users/login", alice).await.problem(503);
    users.shutdown().await;
    auth.shutdown().await;
}

#[tokio::test]
async fn all_faults_of_a_registration_are_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let users = alone(ShopService::Users, folder.path()).await;
    let cases = [
        (json!({}), vec!["#/user_id", "#/password"]),
        (json!({ "user_id": "a b", "password": "short" }), vec!["#/user_id", "#/password"]),
        (
            json!({ "user_id": 1, "password": ["x"], "admin": true }),
            vec!["#/user_id", "#/password", "#/admin"],
        ),
        (json!({ "user_id": "x".repeat(65), "password": "y".repeat(129) }), vec!["#/user_id", "#/password"]),
        (json!({ "user_id": null, "password": "long enough" }), vec!["#/user_id"]),
        (json!([]), vec!["#"]),
    ];
    for (body, pointers) in cases {
        let answer = send_json(users.address(), "POST /users", body.clone()).await.problem(422);
        assert_eq!(answer.pointers(), pointers, "{body}");
        assert!(!answer.body.to_string().contains("short"), "the password is repeated");
    }
    users.shutdown().await;
}
