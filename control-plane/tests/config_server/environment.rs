//! Environments: both JSON forms, the merged forms, the order of sources, and every refusal.

use portreeve_config::{BasicUser, ConfigSource};
use serde_json::json;

use super::{Server, folder_source, write};

const FILES: [(&str, &str); 8] = [
    ("application.yml", "pool: {size: 8}\nbanner: x\nhosts: [w, v]\n"),
    ("application-dev.yml", "level: debug\n"),
    ("pay.yml", "pool: {size: 20}\nurl: http://${host:localhost}:${pool.size}/\n"),
    ("pay.properties", "motto=a\\u00e9\n"),
    ("pay-dev.yml", "pool:\n  size: 40\nhosts:\n- a\n- b\n"),
    ("pay-core-dev.yml", "core: true\n"),
    ("broken.yml", "a: [\n"),
    ("bare-default.yml", "just text\n"),
];

#[tokio::test]
async fn the_built_in_store_is_served_with_profiles_over_defaults() {
    let server = Server::with(|_, _| {}).await;
    for (path, values) in [
        ("/v1/config/application/default", json!({"a": "everyone", "b": "everyone"})),
        ("/v1/config/pay/default", json!({"a": "pay"})),
        ("/v1/config/pay/dev", json!({"a": "dev"})),
    ] {
        assert_eq!(server.plane.put(path, values).await.status, 200);
    }
    let answer = server.get("/pay/dev").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(
        answer.json(),
        json!({
            "name": "pay", "profiles": ["dev"], "label": null, "version": null, "state": null,
            "propertySources": [
                {"name": "portreeve:pay-dev", "source": {"a": "dev"}},
                {"name": "portreeve:pay", "source": {"a": "pay"}},
                {"name": "portreeve:application", "source": {"a": "everyone", "b": "everyone"}},
            ],
        })
    );
    assert_eq!(server.get("/pay/default/any").await.json()["label"], "any");
    assert_eq!(server.get("/pay-dev.properties").await.text, "a: dev\nb: everyone");
}

#[tokio::test]
async fn both_requests_of_a_starting_client_are_answered_in_order() {
    let server = Server::of_files(&FILES).await;
    for (path, expected) in [
        ("/pay/default", &["pay.properties", "pay.yml", "application.yml"][..]),
        ("/pay/dev", &["pay-dev.yml", "application-dev.yml", "pay.properties", "pay.yml", "application.yml"]),
        (
            "/pay/eu,dev",
            &["pay-dev.yml", "application-dev.yml", "pay.properties", "pay.yml", "application.yml"],
        ),
        ("/pay-core/dev", &["pay-core-dev.yml", "application-dev.yml", "application.yml"]),
        ("/unknown/default", &["application.yml"]),
        ("/pay/default/any-label", &["pay.properties", "pay.yml", "application.yml"]),
        ("/application/default", &["application.yml"]),
    ] {
        assert_eq!(server.names(path).await, expected, "{path}");
    }
    let answer = server.get("/pay/dev,eu/feature%28_%29x").await.json();
    assert_eq!((&answer["profiles"], &answer["label"]), (&json!(["dev,eu"]), &json!("feature/x")));
    let root = server.folder.path().join("files");
    let name = answer["propertySources"][0]["name"].as_str().unwrap();
    assert_eq!(name, format!("file:{}/pay-dev.yml", root.display()));
    let source = json!({"pool.size": 40, "hosts[0]": "a", "hosts[1]": "b"});
    assert_eq!(answer["propertySources"][0]["source"], source);
}

#[tokio::test]
async fn the_java_client_gets_values_with_origins() {
    let server = Server::of_files(&FILES).await;
    let kind = "application/vnd.spring-cloud.config-server.v2+json";
    for accept in [kind, "application/vnd.spring-cloud.config-server.v2+json;q=1, application/json"] {
        let answer = server.send("GET", "/pay/dev", &[("accept", accept)], "").await;
        assert_eq!(answer.headers["content-type"], kind);
        let value = &answer.json()["propertySources"][0]["source"]["pool.size"];
        assert_eq!(value["value"], 40);
        let origin = value["origin"].as_str().unwrap();
        assert!(origin.ends_with("pay-dev.yml]:2:9"), "{origin}");
    }
    for accept in ["application/json", "*/*"] {
        let answer = server.send("GET", "/pay/dev", &[("accept", accept)], "").await;
        assert_eq!(answer.json()["propertySources"][0]["source"]["pool.size"], 40);
    }
}

#[tokio::test]
async fn everything_merged_comes_in_three_forms() {
    let server = Server::of_files(&FILES).await;
    for (path, kind, expected) in [
        (
            "/pay-dev.yml",
            "text/plain;charset=UTF-8",
            "pool:\n  size: 40\nbanner: x\nurl: http://localhost:40/\nmotto: aé\nlevel: debug\nhosts:\n- a\n- b\n",
        ),
        (
            "/main/pay-dev.yaml?resolvePlaceholders=false",
            "text/plain;charset=UTF-8",
            "pool:\n  size: 40\nbanner: x\nurl: http://${host:localhost}:${pool.size}/\nmotto: aé\nlevel: debug\nhosts:\n- a\n- b\n",
        ),
        (
            "/pay-dev.properties",
            "text/plain;charset=UTF-8",
            "pool.size: 40\nbanner: x\nurl: http://localhost:40/\nmotto: aé\nlevel: debug\nhosts[0]: a\nhosts[1]: b",
        ),
        (
            "/pay-dev.json",
            "application/json",
            r#"{"pool":{"size":40},"banner":"x","url":"http://localhost:40/","motto":"aé","level":"debug","hosts":["a","b"]}"#,
        ),
        (
            "/nothing-here-default.json",
            "application/json",
            r#"{"pool":{"size":8},"banner":"x","hosts":["w","v"]}"#,
        ),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, &*answer.text), (200, expected), "{path}");
        assert_eq!(answer.headers["content-type"], kind, "{path}");
    }
}

#[tokio::test]
async fn a_document_that_is_no_mapping_stands_for_itself() {
    let server = Server::of_files(&[("bare.yml", "just text\n"), ("list.yml", "- 1\n- a: b\n")]).await;
    assert_eq!(server.get("/bare-default.yml").await.text, "just text\n");
    assert_eq!(server.get("/list-default.yml").await.text, "- 1\n- a: b\n");
    assert_eq!(server.get("/none-default.yml").await.text, "{}\n");
}

#[tokio::test]
async fn a_key_that_is_too_deep_for_a_tree_is_still_told_flat() {
    let key = format!("{}z", "a.".repeat(50_000));
    let text = format!("{key}=1\nb=2\n");
    let server = Server::of_files(&[("application.properties", text.as_str())]).await;
    for path in ["/x-default.json", "/x-default.yml"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        let document = answer.json();
        let message = document["message"].as_str().unwrap();
        assert!(message.starts_with("the key `a.a.") && message.contains("4096 bytes"), "{message}");
    }
    let answer = server.get("/x/default").await;
    assert_eq!(answer.status, 200);
    let source = &answer.json()["propertySources"][0]["source"];
    assert_eq!((&source[key.as_str()], &source["b"]), (&json!("1"), &json!("2")));
    assert_eq!(server.get("/x-default.properties").await.text, text.trim_end().replace('=', ": "));
}

#[tokio::test]
async fn a_file_whose_keys_multiply_is_refused() {
    let names = (0..60).map(|depth| format!("{}{}:\n", " ".repeat(depth), "k".repeat(900)));
    let text = format!("{}{}[{}]\n", names.collect::<String>(), " ".repeat(60), "x, ".repeat(700));
    let server = Server::of_files(&[("pay.yml", text.as_str()), ("orders.yml", "a: 1\n")]).await;
    let answer = server.get("/pay/default").await;
    assert_eq!(answer.status, 500);
    assert!(answer.text.contains("pay.yml: line 61") && answer.text.contains("32 MiB"), "{}", answer.text);
    assert_eq!(server.get("/orders/default").await.status, 200);
}

#[tokio::test]
async fn refusals_are_those_of_the_protocol() {
    let server = Server::of_files(&FILES).await;
    for (method, path, status) in [
        ("GET", "/broken/default", 500),
        ("GET", "/pay", 404),
        ("GET", "/pay/dev.yml", 404),
        ("GET", "/pay.yml", 404),
        ("GET", "/pay/-dev", 400),
        ("GET", "/pay/dev,", 400),
        ("GET", "/..%2fetc/dev", 400),
        ("GET", "/pay/dev/..", 400),
        ("GET", "/pay/dev/(_)etc", 400),
        ("GET", "/pay%23/dev", 400),
        ("GET", "/pay/dev/main/..%2f..%2fetc%2fpasswd", 400),
        ("GET", "/pay/dev/main/.git/config", 400),
        ("POST", "/pay/dev", 405),
        ("DELETE", "/pay-dev.yml", 405),
        ("GET", "/encrypt", 405),
        ("GET", "/monitor", 405),
        ("GET", "/actuator/env", 404),
    ] {
        let answer = server.send(method, path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        let document = answer.json();
        assert_eq!(document["status"], status, "{path}");
        assert!(document["timestamp"].is_string() && document["error"].is_string(), "{path}");
        assert_eq!(answer.headers.contains_key("allow"), status == 405, "{path}");
    }
    let broken = server.get("/broken/default").await.json();
    assert!(broken["message"].as_str().unwrap().contains("broken.yml: line"), "{broken}");
}

#[tokio::test]
async fn an_empty_answer_is_an_answer_unless_it_is_said_not_to_be() {
    let server = Server::of_files(&[("README", "")]).await;
    assert_eq!(server.get("/pay/dev").await.json()["propertySources"], json!([]));
    assert_eq!(server.get("/actuator/health").await.json()["status"], "UP");
    let server = Server::with(|config, _| config.accept_empty = false).await;
    assert_eq!(server.get("/pay/dev").await.status, 404);
    let health = server.get("/actuator/health").await;
    assert_eq!(
        (health.status, &health.json()["components"]["configServer"]["status"]),
        (503, &json!("DOWN"))
    );
}

#[tokio::test]
async fn earlier_sources_lie_over_later_ones_and_overrides_over_all() {
    let server = Server::with(|config, folder| {
        write(&folder.join("files"), "pay.yml", "a: file\nb: file\n");
        config.sources = vec![folder_source(folder), ConfigSource::BuiltIn];
        config.overrides.insert("b".to_owned(), "override".to_owned());
    });
    let server = server.await;
    server.plane.put("/v1/config/pay/dev", json!({"a": "store", "c": "store"})).await;
    assert_eq!(server.names("/pay/dev").await, ["overrides", "pay.yml", "portreeve:pay-dev"]);
    let merged = server.get("/pay-dev.properties").await.text;
    assert_eq!(merged, "a: file\nc: store\nb: override");
    let mut sidecar = server.plane.sidecar("one", "pay", "dev").await;
    let told = sidecar.snapshot().await.config;
    let expected = [("a", "file"), ("b", "override"), ("c", "store")];
    assert_eq!(told, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}

#[tokio::test]
async fn name_and_password_guard_everything_but_health() {
    let server = Server::with(|config, folder| {
        let file = folder.join("password");
        std::fs::write(&file, "pass:word\n").unwrap();
        let name = "reader".to_owned();
        config.users =
            vec![BasicUser { name, password_hash: None, password_file: Some(file), services: None }];
    });
    let server = server.await;
    let right = ("authorization", "Basic cmVhZGVyOnBhc3M6d29yZA==");
    for path in ["/pay/dev", "/pay-dev.yml", "/nothing", "/encrypt/status", "/pay/dev/main/x"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Basic "), "{path}");
    }
    for wrong in ["Basic cmVhZGVyOnBhc3M=", "Basic !", "Bearer cmVhZGVyOnBhc3M6d29yZA==", "Basic"] {
        assert_eq!(server.send("GET", "/pay/dev", &[("authorization", wrong)], "").await.status, 401);
    }
    assert_eq!(server.send("GET", "/pay/dev", &[right], "").await.status, 200);
    assert_eq!(server.send("POST", "/monitor", &[], "{}").await.status, 401);
    let health = server.get("/actuator/health").await;
    assert_eq!(health.json(), json!({"status": "UP", "components": {"configServer": {"status": "UP"}}}));
    let health = server.send("GET", "/actuator/health", &[right], "").await.json();
    assert!(health["components"]["configServer"]["details"]["repositories"].is_array());
}

#[tokio::test]
async fn a_prefix_stands_in_front_of_everything() {
    let server = Server::with(|config, _| config.path_prefix = "/config".to_owned()).await;
    assert_eq!(server.get("/config/pay/dev").await.status, 200);
    assert_eq!(server.get("/pay/dev").await.status, 404);
}
