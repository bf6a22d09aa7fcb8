//! Story 1: without a good token there is nothing but 401 and its reason, and no token is ever logged.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::demo::{Demo, eventually};

/// The key the demo's auth service signs with, taken from its database as only its owner can.
async fn signing_key(demo: &Demo) -> (String, String) {
    let file = SqliteConnectOptions::new().filename(demo.data().join("shop/auth.sqlite"));
    let pool = SqlitePool::connect_with(file).await.unwrap();
    let row = sqlx::query("SELECT kid, pem FROM keys").fetch_one(&pool).await.unwrap();
    pool.close().await;
    (row.get("kid"), row.get("pem"))
}

fn now() -> i64 {
    i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs())
        .unwrap()
}

fn claims(change: Value) -> Value {
    let mut claims =
        json!({"iss": "http://auth.shop", "aud": "shop", "sub": "mallory", "iat": now(), "exp": now() + 600});
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    claims
}

#[tokio::test]
async fn every_bad_token_is_refused_with_its_reason_and_never_logged() {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let demo = Demo::start().await;
    let gateway = demo.gateway();
    let (kid, pem) = signing_key(&demo).await;
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::RS256) };
    let signed = |change: Value| encode(&header, &claims(change), &key).unwrap();
    let good = signed(json!({}));
    gateway.bearer(&good).get("/products").await.expect(200);

    let public =
        gateway.get("/auth/.well-known/jwks.json").await.json()["keys"][0]["n"].as_str().unwrap().to_owned();
    let hs256 = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::HS256) };
    let confused = encode(&hs256, &claims(json!({})), &EncodingKey::from_secret(public.as_bytes())).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let none = "eyJhbGciOiJub25lIn0";
    let altered = encode(&header, &claims(json!({"sub": "root"})), &key).unwrap();
    let altered = format!("{}.{}.{}", parts[0], altered.split('.').nth(1).unwrap(), parts[2]);
    let bad = [
        ("expired", signed(json!({"exp": now() - 60}))),
        ("not yet valid", signed(json!({"nbf": now() + 600}))),
        ("another issuer", signed(json!({"iss": "http://evil.shop"}))),
        ("another audience", signed(json!({"aud": "bank"}))),
        ("alg none", format!("{none}.{}.", parts[1])),
        ("HS256 with the public key", confused),
        ("altered", altered),
        ("oversized", signed(json!({"padding": "x".repeat(9000)}))),
        ("no token at all", "nonsense".to_owned()),
    ];
    let answer = gateway.get("/products").await;
    let problem = answer.expect_problem(401);
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"portreeve\"");
    assert_eq!(problem["trace_id"].as_str().unwrap().len(), 32);
    for (what, token) in &bad {
        let answer = gateway.bearer(token).get("/products").await;
        assert_eq!(answer.status, 401, "{what}");
        let problem = answer.expect_problem(401);
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{what}: {problem}");
        assert!(problem["trace_id"].is_string(), "{what}");
        assert!(
            answer.header("www-authenticate").starts_with("Bearer realm=\"portreeve\", error=\""),
            "{what}"
        );
    }

    eventually("the access log is written", async || {
        demo.log().matches("\"reason\":\"token\"").count() > bad.len()
    })
    .await;
    let log = demo.log();
    for token in bad.iter().map(|(_, token)| token).chain([&good]) {
        let secret = token.rsplit('.').find(|part| part.len() > 20);
        assert!(!log.contains(token.as_str()), "a token was logged");
        assert!(secret.is_none_or(|secret| !log.contains(secret)), "a part of a token was logged");
    }
    demo.stop().await;
}
