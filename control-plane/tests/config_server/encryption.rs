//! Encrypted values and the endpoints that make and open them. The ciphertexts were made by Spring Security.

use portreeve_config::{ConfigServerConfig, Secret};
use serde_json::json;

use super::Server;

/// `Encryptors.text("correct horse", "deadbeef").encrypt("s3cr3t pässword")`
const SEALED: &str =
    "8821564b71e591f63642000693ff22f3af9281974d8d149190adaaa6b4cac68560aa86b46c68b30871eaf1fc1ad2cee8";

fn with_key(config: &mut ConfigServerConfig) {
    config.encryption.key = Some(Secret::new("correct horse"));
}

#[tokio::test]
async fn texts_that_spring_sealed_are_opened() {
    let server = Server::with(|config, _| with_key(config)).await;
    let kind = ("content-type", "text/plain");
    for body in [SEALED.to_owned(), format!("{{cipher}}{{key:x}}{SEALED}"), format!("{{plain}}{SEALED}")] {
        let answer = server.send("POST", "/decrypt", &[kind], &body).await;
        assert_eq!((answer.status, &*answer.text), (200, "s3cr3t pässword"), "{body}");
    }
    let form = ("content-type", "application/x-www-form-urlencoded");
    let answer = server.send("POST", "/decrypt/pay/dev", &[form], &format!("{SEALED}=")).await;
    assert_eq!(answer.text, "s3cr3t pässword");
    let values = json!({"password": format!("{{cipher}}{SEALED}"), "broken": "{cipher}ab", "plain": "x"});
    assert_eq!(server.plane.put("/v1/config/pay/default", values).await.status, 200);
    let source = server.get("/pay/default").await.json()["propertySources"][0]["source"].clone();
    let expected = json!({"invalid.broken": "<n/a>", "password": "s3cr3t pässword", "plain": "x"});
    assert_eq!(source, expected);
    let shown = server.plane.get("/v1/config/pay/default/merged").await;
    assert!(shown.text.contains(SEALED) && !shown.text.contains("s3cr3t"), "{}", shown.text);
    let mut sidecar = server.plane.sidecar("one", "pay", "default").await;
    assert_eq!(sidecar.snapshot().await.config["password"], "s3cr3t pässword");
}

#[tokio::test]
async fn what_is_encrypted_can_be_decrypted() {
    let server = Server::with(|config, _| with_key(config)).await;
    let kind = ("content-type", "text/plain");
    assert_eq!(server.get("/encrypt/status").await.json(), json!({"status": "OK"}));
    for (body, hints, text) in [
        ("mysecret", "", "mysecret"),
        ("with = and + and %", "", "with = and + and %"),
        ("{key:one}{secret:two}x", "{key:one}{secret:two}", "x"),
        ("{name:pay}{profiles:dev}{key:one}x", "{key:one}", "x"),
        ("{plain}{key:x}y", "", "{key:x}y"),
    ] {
        let sealed = server.send("POST", "/encrypt/pay/dev", &[kind], body).await;
        assert_eq!(sealed.status, 200);
        let digits = sealed.text.strip_prefix(hints).unwrap_or_else(|| panic!("{}", sealed.text));
        assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digits}");
        assert_eq!(server.send("POST", "/decrypt", &[kind], &sealed.text).await.text, text);
    }
    let form = ("content-type", "application/x-www-form-urlencoded; charset=UTF-8");
    for (body, text) in
        [("mysecret=", "mysecret"), ("a+b%2Bc=", "a b+c"), ("mysecret", "mysecret"), ("a=b", "a=b")]
    {
        let sealed = server.send("POST", "/encrypt", &[form], body).await.text;
        assert_eq!(server.send("POST", "/decrypt", &[kind], &sealed).await.text, text, "{body}");
    }
}

#[tokio::test]
async fn faults_say_what_is_wrong_and_never_the_text() {
    let server = Server::with(|config, _| with_key(config)).await;
    let kind = ("content-type", "text/plain");
    for body in ["", "ab", "not hexadecimal", &"00".repeat(32)] {
        let answer = server.send("POST", "/decrypt", &[kind], body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(
            answer.json(),
            json!({"status": "INVALID", "description": "Text not encrypted with this key"})
        );
    }
    assert_eq!(server.send("POST", "/encrypt", &[], "x").await.status, 400);
    assert_eq!(server.send("POST", "/encrypt/pay/-", &[kind], "x").await.status, 400);
    let key = server.get("/key").await;
    assert_eq!((key.status, &key.json()["status"]), (404, &json!("NOT_FOUND")));
}

#[tokio::test]
async fn without_a_key_values_are_passed_on_as_they_are() {
    let server = Server::with(|_, _| {}).await;
    let kind = ("content-type", "text/plain");
    for (method, path) in
        [("POST", "/encrypt"), ("POST", "/decrypt"), ("GET", "/encrypt/status"), ("GET", "/key")]
    {
        let answer = server.send(method, path, &[kind], "x").await;
        assert_eq!((answer.status, &answer.json()["status"]), (404, &json!("INVALID")), "{path}");
    }
    server.plane.put("/v1/config/pay/default", json!({"password": format!("{{cipher}}{SEALED}")})).await;
    let source = server.get("/pay/default").await.json()["propertySources"][0]["source"].clone();
    assert_eq!(source, json!({"password": format!("{{cipher}}{SEALED}")}));
}

#[tokio::test]
async fn a_key_can_come_from_a_file_and_opening_can_be_left_to_clients() {
    let server = Server::with(|config, folder| {
        let file = folder.join("key");
        std::fs::write(&file, "correct horse\n").unwrap();
        config.encryption.key_file = Some(file);
        config.encryption.decrypt = false;
    });
    let server = server.await;
    let kind = ("content-type", "text/plain");
    assert_eq!(server.send("POST", "/decrypt", &[kind], SEALED).await.text, "s3cr3t pässword");
    server.plane.put("/v1/config/pay/default", json!({"password": format!("{{cipher}}{SEALED}")})).await;
    let text = server.get("/pay-default.properties").await.text;
    assert_eq!(text, format!("password: {{cipher}}{SEALED}"));
}
