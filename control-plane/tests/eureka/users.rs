//! HTTP Basic, as the original has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portreeve_config::{BasicUser, EurekaConfig};

use crate::client::{send, with};

#[tokio::test]
async fn only_users_with_their_password_are_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "opén sesame\n").unwrap();
    let users = vec![
        BasicUser {
            name: "filed".to_owned(),
            password_hash: None,
            password_file: Some(file),
            services: None,
        },
        BasicUser {
            name: "hashed".to_owned(),
            password_hash: Some(hash("s3cret")),
            password_file: None,
            services: None,
        },
    ];
    let plane = with(&folder.path().join("data"), EurekaConfig { users, ..EurekaConfig::default() }).await;
    let basic = |credentials: &str| format!("Basic {}", STANDARD.encode(credentials));
    for (authorization, expected) in [
        (basic("filed:opén sesame"), 200),
        (basic("hashed:s3cret"), 200),
        (basic("hashed:s3cret").replace("Basic", "bAsIc"), 200),
        (basic("filed:s3cret"), 401),
        (basic("hashed:opén sesame"), 401),
        (basic("hashed:"), 401),
        (basic("nobody:s3cret"), 401),
        (basic("hashed"), 401),
        ("Basic !!!".to_owned(), 401),
        ("Bearer s3cret".to_owned(), 401),
        (String::new(), 401),
    ] {
        // The second time it is known already; who guesses too often is told another thing.
        for _ in 0..if expected == 200 { 2 } else { 1 } {
            let headers = [("authorization", authorization.as_str())];
            let reply = send(&plane, "GET /eureka/apps", &headers, "").await;
            assert_eq!(reply.status, expected, "{authorization}");
            assert_eq!(reply.header("www-authenticate").starts_with("Basic realm="), expected == 401);
        }
    }
    assert_eq!(send(&plane, "GET /eureka/apps", &[], "").await.status, 401);
    assert_eq!(send(&plane, "PUT /eureka/apps/ORDERS/x", &[], "").await.status, 401);
}

#[tokio::test]
async fn without_its_password_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    for (hash, file) in [(Some("$argon2id$broken"), None), (None, Some("/nowhere/at/all"))] {
        let user = BasicUser {
            name: "user".to_owned(),
            password_hash: hash.map(str::to_owned),
            password_file: file.map(Into::into),
            services: None,
        };
        let eureka =
            EurekaConfig { listen: "127.0.0.1:0".to_owned(), users: vec![user], ..EurekaConfig::default() };
        let config = crate::support::config(folder.path());
        let config = portreeve_config::ControlPlaneConfig { eureka: Some(eureka), ..config };
        let fault = portreeve_control_plane::ControlPlane::start(config).await.unwrap_err().to_string();
        assert!(fault.contains("`user`"), "{fault}");
    }
}

fn hash(password: &str) -> String {
    use argon2::{Argon2, PasswordHasher};
    let parameters = argon2::Params::new(64, 1, 1, None).unwrap();
    let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters);
    argon.hash_password(password.as_bytes()).unwrap().to_string()
}
