//! Tokens and the keys they are checked with.

use std::os::unix::fs::PermissionsExt;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use portreeve_demo_services::ShopService::Auth;
use serde_json::{Value, json};

use crate::client::{alone, get, send, send_json};

fn claims(token: &str, keys: &Value) -> Option<Value> {
    let keys: JwkSet = serde_json::from_value(keys.clone()).unwrap();
    let key = keys.find(decode_header(token).unwrap().kid.as_deref()?)?.clone();
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&["shop"]);
    rules.set_issuer(&["http://auth.shop"]);
    rules.validate_nbf = true;
    Some(decode::<Value>(token, &DecodingKey::from_jwk(&key).unwrap(), &rules).unwrap().claims)
}

#[tokio::test]
async fn a_token_is_checked_with_the_published_key() {
    let folder = tempfile::tempdir().unwrap();
    let auth = alone(Auth, folder.path()).await;
    let answer = get(auth.address(), "/signIn?user_id=alice").await.ok(200);
    assert_eq!((&answer.body["token_type"], &answer.body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["server-port"], auth.address().port().to_string());
    let keys = get(auth.address(), "/.well-known/jwks.json").await.ok(200).body;
    assert_eq!((&keys["keys"][0]["alg"], &keys["keys"][0]["use"]), (&json!("RS256"), &json!("sig")));
    assert!(keys["keys"][0].get("d").is_none(), "a private key is published");
    let claims = claims(answer.body["access_token"].as_str().unwrap(), &keys).unwrap();
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert!(claims["jti"].is_string() && claims["nbf"] == claims["iat"]);
    let discovery = get(auth.address(), "/.well-known/openid-configuration").await.ok(200).body;
    assert_eq!(discovery["issuer"], "http://auth.shop");
    assert_eq!(discovery["jwks_uri"], "http://auth.shop/.well-known/jwks.json");
    assert_eq!(discovery["id_token_signing_alg_values_supported"], json!(["RS256"]));
    auth.shutdown().await;
}

#[tokio::test]
async fn a_new_key_signs_and_the_old_one_stays_published_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let auth = alone(Auth, folder.path()).await;
    let old = get(auth.address(), "/signIn?user_id=a").await.ok(200).body;
    let kid = send(auth.address(), "POST /rotate", &[], "").await.ok(201).body["kid"].clone();
    auth.shutdown().await;
    let auth = alone(Auth, folder.path()).await;
    let new = get(auth.address(), "/signIn?user_id=a").await.ok(200).body;
    let new = new["access_token"].as_str().unwrap();
    assert_eq!(json!(decode_header(new).unwrap().kid), kid);
    let keys = get(auth.address(), "/.well-known/jwks.json").await.ok(200).body;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert!(claims(old["access_token"].as_str().unwrap(), &keys).is_some());
    assert!(claims(new, &keys).is_some());
    for end in ["", "-wal", "-shm"] {
        let file = folder.path().join(format!("auth.sqlite{end}"));
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    auth.shutdown().await;
}

#[tokio::test]
async fn bad_sign_ins_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let auth = alone(Auth, folder.path()).await;
    let long = format!("/signIn?user_id={}", "a".repeat(65));
    let cases = [
        "/signIn",
        "/signIn?user_id=",
        &long,
        "/signIn?user_id=a%20b",
        "/signIn?user_id=%FF",
        "/signIn?user_id=a&user_id=b",
    ];
    for path in cases {
        get(auth.address(), path).await.problem(400);
    }
    let refused = send_json(auth.address(), "POST /token", json!({ "user": "a" })).await.problem(422);
    assert_eq!(refused.pointers(), ["#/user_id", "#/user"]);
    send(auth.address(), "POST /signIn", &[], "").await.problem(405);
    get(auth.address(), "/nothing").await.problem(404);
    auth.shutdown().await;
}
