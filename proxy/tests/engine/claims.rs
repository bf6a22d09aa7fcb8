//! Fields that tell a service who asks: only a token's claims set them.

use serde_json::json;

use crate::origin::Origin;
use crate::stage::{ask, config, start, with};

#[tokio::test]
async fn no_spelling_of_a_claims_field_gets_by() {
    let origin = Origin::saying("ok").await;
    let provider = json!({"issuer": "https://i.example", "audiences": ["a"], "jwks_url": "http://127.0.0.1:9/jwks",
        "claims_to_headers": {"sub": "X-User-Id"}});
    let routes = json!([{"name": "all", "match": {"path": "/*"}, "service": "s", "auth": "none"}]);
    let gateway = start(with(config(&[&origin], routes), "auth", json!({"providers": [provider]}))).await;
    for name in ["x-user-id", "X-User-Id", "X_User_Id", "X.User.Id", "x.user-id", "x_user.id", "x~user+id"] {
        let fields = format!("{name}: mallory\r\nx.user.ids: others\r\nxxuser.id: others\r\n");
        assert_eq!(ask(&gateway, "GET", "/", &fields).await.status, 200);
        let head = origin.last().head.to_ascii_lowercase();
        assert!(!head.contains("mallory"), "{name}: {head}");
        assert!(head.contains("x.user.ids: others") && head.contains("xxuser.id: others"), "{head}");
    }
    gateway.shutdown().await;
}
