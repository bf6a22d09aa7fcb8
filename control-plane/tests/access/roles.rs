//! Every operation with every role: nobody gets further than the role says.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::Plane;
use crate::{get, guarded, secret, send};

const ROLES: [&str; 5] = ["reader", "operator", "admin", "node", "gateway"];

/// Who may, said a second time: by rules for people, not by the table.
fn may(role: &str, method: &str, path: &str) -> bool {
    let is_instance = path.starts_with("/v1/services/{service}/instances/{id}");
    let is_for_nodes = ["/v1/openapi.json", "/v1/revision", "/v1/services", "/v1/instances"].contains(&path)
        || path.ends_with("/acknowledged")
        || is_instance && method == "get";
    match role {
        "admin" => true,
        _ if path == "/v1/backup" => false,
        "operator" => path != "/v1/stream",
        "reader" => method == "get",
        "node" => is_for_nodes || path == "/v1/stream" || is_instance,
        _ => is_for_nodes || path == "/v1/stream",
    }
}

#[tokio::test]
async fn no_role_does_more_than_it_may_over_every_operation() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let document = get(&plane, "reader", "/v1/openapi.json").await.json();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            for role in ROLES {
                let allowed = may(role, method, path);
                let status = attempt(&plane, role, method, path).await;
                let refused = status == 403;
                assert_eq!(refused, !allowed, "{role} {method} {path}: {status}");
                assert_ne!(status, 401, "{role} {method} {path}");
                tried += 1;
            }
            assert_eq!(attempt(&plane, "", method, path).await, 401, "{method} {path}");
        }
    }
    assert!(tried > 5 * 30, "{tried}");
}

/// With names that are not there, and bodies that do little.
async fn attempt(plane: &Plane, role: &str, method: &str, path: &str) -> u16 {
    let target = path.replace("{service}", "orders").replace("{id}", "none").replace("{revision}", "1");
    let target =
        target.replace("{name}", "none").replace("{application}", "none").replace("{profile}", "none");
    let target = if target.ends_with("/acknowledged") { format!("{target}?timeout=1ms") } else { target };
    let body = if method == "get" || method == "delete" { Value::Null } else { json!({}) };
    send(plane, role, &method.to_uppercase(), &target, body).await.status
}

#[tokio::test]
async fn what_is_beside_the_api_has_its_roles_too() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let pages = ["/metrics", "/zipkin/", "/zipkin/traces.js", "/api/v2/services", "/zipkin/api/v2/traces"];
    for (role, expected) in
        [("reader", 200), ("operator", 200), ("admin", 200), ("node", 403), ("gateway", 403)]
    {
        for path in pages {
            assert_eq!(get(&plane, role, path).await.status, expected, "{role} {path}");
        }
        let spans = send(&plane, role, "POST", "/api/v2/spans", json!([])).await;
        assert_eq!(spans.status, 202, "{role}");
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_no_way_around() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    assert_eq!(send(&plane, "node", "HEAD", "/v1/routes", Value::Null).await.status, 403);
    assert_eq!(send(&plane, "reader", "HEAD", "/v1/routes", Value::Null).await.status, 200);
    let answer = send(&plane, "reader", "PATCH", "/v1/routes", json!({})).await;
    assert_eq!((answer.status, answer.headers["allow"].to_str().unwrap()), (405, "GET,POST,PUT,HEAD"));
    for path in ["/v1/routes/", "//v1/routes", "/v1/./routes", "/V1/routes", "/v1%2froutes"] {
        let status = send(&plane, "node", "GET", path, Value::Null).await.status;
        assert!(status == 404 || status == 403, "{path}: {status}");
    }
    let fields =
        [("x-http-method-override", "GET"), ("x-original-url", "/livez"), ("x-rewrite-url", "/livez")];
    for (name, value) in fields {
        let request = plane.request("POST", "/v1/routes").header("content-type", "application/json");
        let request =
            request.header("authorization", format!("Bearer {}", secret("reader"))).header(name, value);
        assert_eq!(plane.send(request.body("{}".into()).unwrap()).await.status, 403, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_names_the_role_and_the_token_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let answer = send(&plane, "reader", "DELETE", "/v1/routes/a", Value::Null).await;
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    for words in ["`operate` or `admin`", "the token `reader`", "the role `read`"] {
        assert!(detail.contains(words), "{detail}");
    }
    assert!(!answer.text.contains(&secret("reader")));
}

#[tokio::test]
async fn a_reader_sees_configuration_and_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let values = json!({"greeting": "hello", "db.password": "s3cret", "url": "http://u:s3cret@h/"});
    assert_eq!(send(&plane, "operator", "PUT", "/v1/config/orders/default", values).await.status, 200);
    let route = json!({"name": "a", "match": {"path": "/a"}, "service": "orders",
        "request_headers": {"set": {"Authorization": "Bearer s3cret"}}});
    send(&plane, "operator", "PUT", "/v1/services/orders", Value::Null).await;
    let written = send(&plane, "operator", "POST", "/v1/routes", route).await;
    assert_eq!(written.status, 201, "{}", written.text);
    for path in [
        "/v1/config/orders/default",
        "/v1/config/orders/default/merged",
        "/v1/desired-state",
        "/v1/routes",
        "/v1/routes/a",
        "/v1/history",
    ] {
        let (seen, whole) = (get(&plane, "reader", path).await, get(&plane, "operator", path).await);
        assert_eq!((seen.status, whole.status), (200, 200), "{path}");
        assert!(!seen.text.contains("s3cret"), "{path}: {}", seen.text);
        assert_eq!(seen.headers["etag"], whole.headers["etag"], "{path}");
        assert!(path == "/v1/history" || whole.text.contains("s3cret"), "{path}: {}", whole.text);
    }
}

#[tokio::test]
async fn the_history_names_the_token_and_whom_it_acts_for() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let put = async |service: &str, actor: Option<&str>| {
        let mut request = plane.request("PUT", &format!("/v1/services/{service}"));
        if let Some(actor) = actor {
            request = request.header("x-portreeve-actor", actor);
        }
        let request = request.header("authorization", format!("Bearer {}", secret("operator")));
        plane.send(request.body(Bytes::new()).unwrap()).await.status
    };
    assert_eq!(put("a", None).await, 200);
    assert_eq!(put("b", Some("alice")).await, 200);
    let history = get(&plane, "reader", "/v1/history").await.json();
    let listed = history.as_object().unwrap().values().find_map(Value::as_array).unwrap();
    let who: Vec<_> = listed.iter().map(|entry| entry["who"].as_str().unwrap()).collect();
    assert_eq!(who, ["operator (alice)", "operator"]);
}
