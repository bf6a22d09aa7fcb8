//! Encrypted values where the key is an RSA key. Key, ciphertext and public half were made for this test, the two last
//! by Spring Security (`RsaSecretEncryptor`).

use portreeve_config::Secret;
use serde_json::json;

use super::Server;

const KEY: &str = include_str!("rsa_key.pem");
const SEALED: &str = "AQCoSrZSC8YSQ7uLh90hxIf+7xhhJjrse5Xx7tYafhPgOAkRS1APvPE0eEy8Pqq4ejG85N71nXuHFWIuSIe1LJTRGY2y9kashElaG/xWY+WCZ20wsuUbpPQYz1LzF5I1Mu6drFsmwOGZaCM+Y3clwemT8IOp6RYxW+Q1V2zmyoAQDp6atRVcW3wM7F1nw5ugfVcFVH9EMi1JSLyEH3aB2c84htXf2f8uXnsZ6JmeQqTA81AbIsoomhfvwkkrsJaeHyEueO4hS+Kg52eN8/PJGzenpgdixSh9NTZ8jWZ+cDOiLwtWKtHQ3oqCYhcfN0Aby9wVpKQ77+TFa5Xr2YHvOJ729cGrF8PF0wjVApto6GvZpmvhFFbk3D8eshrjLudDsTU=";
const TEXT: &str = "a value with ü";
const PUBLIC: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCujXofSeY/jH5xW1gPTbTMkXuW39jTNfhfV39TH+N6yKuKmgVGrFQGTki5eDKwBgtT6lJpPrCj4cPapa7Z0gO3aXJCC6pjAvV3QCFI8uUbaYK7vnR4VesQ8NCNoZ2yyG1SXPGySbe5M0jtqHZywMuqs+r/zgk97N3poeF9EEcKRCooNm5Wwy1VADwQR1PitpNZ+2E9JXNTXQxJcxnmB0dqaE5LiTa3WyrOF/4GF2J+dsSWSaHTa80CfQgafYAUYtYLe+Yl/i+egdSQg7e4GcIwpk5Zo5h3NSGmg2DxWpDCIEyM2I+pKQUUiaLQ4aOAnQfBW5oQmukPxo8L4wxDFCBf application";
const PLAIN: (&str, &str) = ("content-type", "text/plain");

async fn server(key: &str) -> Server {
    let key = Secret::new(key);
    Server::with(move |config, _| config.encryption.key = Some(key)).await
}

#[tokio::test]
async fn what_spring_sealed_for_an_rsa_key_is_opened() {
    // As a file holds it, and as a variable of the environment often does.
    for key in [KEY.to_owned(), KEY.replace('\n', "")] {
        let server = server(&key).await;
        let public = server.get("/key").await;
        assert_eq!((public.status, &*public.text), (200, PUBLIC));
        assert_eq!(server.send("POST", "/decrypt", &[PLAIN], SEALED).await.text, TEXT);
        let values = json!({"password": format!("{{cipher}}{SEALED}"), "broken": "{cipher}AAAA"});
        assert_eq!(server.plane.put("/v1/config/pay/default", values).await.status, 200);
        let source = server.get("/pay/default").await.json()["propertySources"][0]["source"].clone();
        assert_eq!(source, json!({"invalid.broken": "<n/a>", "password": TEXT}));
    }
}

#[tokio::test]
async fn what_is_sealed_for_an_rsa_key_can_be_opened_and_damage_is_refused() {
    let server = server(KEY).await;
    let sealed = server.send("POST", "/encrypt", &[PLAIN], TEXT).await;
    assert_eq!(sealed.status, 200);
    assert_ne!(server.send("POST", "/encrypt", &[PLAIN], TEXT).await.text, sealed.text);
    assert_eq!(server.send("POST", "/decrypt", &[PLAIN], &sealed.text).await.text, TEXT);
    let form = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(server.send("POST", "/decrypt", &[form], &format!("{}=", sealed.text)).await.text, TEXT);
    let middle = sealed.text.len() / 2;
    let damaged = [&sealed.text[..middle], "AAAA", &sealed.text[middle + 4..]].concat();
    for text in ["", "AAAA", "not base64!", &sealed.text[4..], &damaged] {
        assert_eq!(server.send("POST", "/decrypt", &[PLAIN], text).await.status, 400, "{text}");
    }
}
