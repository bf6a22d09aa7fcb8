//! What the audit log has: every attempt to write, whoever made it and whatever came of it, and no secret.

use std::path::Path;
use std::time::{Duration, Instant};

use portreeve_config::{AuditConfig, BasicUser, ControlPlaneConfig, EurekaConfig};
use portreeve_control_plane::{ControlPlane, StartError};
use serde_json::{Value, json};

use crate::support::{LIMIT, Node, Plane};
use crate::users::{basic, instance, send_basic};
use crate::{get, guarded, secret, send};

fn audited(folder: &Path) -> (ControlPlaneConfig, std::path::PathBuf) {
    let file = folder.join("audit.log");
    let audit = AuditConfig { file: Some(file.clone()) };
    (ControlPlaneConfig { audit, ..guarded(folder) }, file)
}

/// The lines of a file, once there are as many.
async fn lines(file: &Path, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(began.elapsed() < LIMIT, "{count} lines were expected: {text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_attempt_over_the_api_is_noted_once() {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = audited(folder.path());
    let plane = Plane::with(config).await;
    let secrets = json!({"db.password": "s3cret"});
    let accepted = send(&plane, "operator", "PUT", "/v1/config/orders/default?message=s3cret", secrets).await;
    assert_eq!(accepted.status, 200);
    send(&plane, "operator", "PUT", "/v1/services/orders?dry_run=true", Value::Null).await;
    send(&plane, "reader", "DELETE", "/v1/routes/a", Value::Null).await;
    send(&plane, "", "DELETE", "/v1/routes/a", Value::Null).await;
    send(&plane, "operator", "POST", "/v1/routes", json!({"name": 1})).await;
    send(&plane, "operator", "POST", "/v1/nowhere", Value::Null).await;
    let path = "/v1/services/orders/instances/o-1";
    send(&plane, "node", "PUT", path, json!({"address": "127.0.0.1:1", "lease_ms": 60_000})).await;
    send(&plane, "node", "PUT", &format!("{path}/lease"), Value::Null).await;
    get(&plane, "reader", "/v1/routes").await;
    get(&plane, "admin", "/v1/backup").await;
    let lines = lines(&file, 8).await;
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["who"].clone(),
                line["operation"].clone(),
                line["outcome"].clone(),
                line["status"].as_u64().unwrap(),
            )
        })
        .collect();
    let token = |name: &str| json!({"token": name});
    let expected = [
        (token("operator"), "put_config_application_profile", "accepted", 200),
        (token("operator"), "put_services_service", "accepted", 200),
        (token("reader"), "delete_routes_name", "refused", 403),
        (json!("anonymous"), "delete_routes_name", "refused", 401),
        (token("operator"), "post_routes", "refused", 422),
        (token("operator"), "", "refused", 404),
        (token("node"), "put_services_service_instances_id", "accepted", 200),
        (token("admin"), "get_backup", "accepted", 200),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(who, operation, outcome, status)| (who, json!(operation), json!(outcome), status))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(lines[0]["path"], "/v1/config/orders/default");
    assert_eq!(lines[0]["revision"], accepted.revision());
    assert_eq!(lines[1]["dry_run"], true);
    assert!(lines[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(lines[0]["time"].is_string());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("s3cret") && !text.contains(&secret("operator")), "{text}");
}

#[tokio::test]
async fn registrations_of_a_stream_are_noted_and_signs_of_life_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = audited(folder.path());
    let plane = Plane::with(config).await;
    let hello = json!({"type": "hello", "node": "n", "kind": "gateway"});
    let mut node = Node::open_with(plane.running.address(), Some(&secret("node")), hello).await.ok().unwrap();
    node.register("orders", "o-1", 4001, 60_000);
    node.outcome().await.unwrap();
    node.say_raw("{\"type\":\"renew\"}");
    node.register("payments", "p-1", 4001, 60_000);
    node.outcome().await.unwrap_err();
    node.say_raw("{\"type\":\"deregister\",\"service\":\"orders\",\"id\":\"o-1\"}");
    node.outcome().await.unwrap();
    let lines = lines(&file, 3).await;
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            [&line["operation"], &line["instance"], &line["outcome"]].map(|field| field.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ["register", "orders/o-1", "accepted"],
            ["register", "payments/p-1", "refused"],
            ["deregister", "orders/o-1", "accepted"],
        ]
    );
    assert_eq!(lines[1]["status"], 403);
    assert_eq!(lines[1]["who"], json!({"token": "node"}));
    assert!(lines[0]["revision"].is_u64());
}

#[tokio::test]
async fn what_users_of_eureka_try_is_noted_but_no_heartbeat() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, file) = audited(folder.path());
    let password = folder.path().join("password");
    std::fs::write(&password, "pass-word").unwrap();
    let user = BasicUser {
        name: "shop".to_owned(),
        password_hash: None,
        password_file: Some(password),
        services: None,
    };
    config.eureka =
        Some(EurekaConfig { listen: "127.0.0.1:0".to_owned(), users: vec![user], ..EurekaConfig::default() });
    let plane = Plane::with(config).await;
    let address = plane.running.eureka_address().unwrap();
    let right = basic("shop", "pass-word");
    let one = "/eureka/apps/ORDERS/o-1";
    for (method, path, body, authorization, status) in [
        ("POST", "/eureka/apps/ORDERS", instance("ORDERS", "orders"), &right, 204),
        ("PUT", one, Value::Null, &right, 200),
        ("PUT", "/eureka/apps/ORDERS/o-1/status?value=DOWN", Value::Null, &right, 200),
        ("DELETE", one, Value::Null, &basic("shop", "wrong"), 401),
        ("DELETE", one, Value::Null, &right, 200),
        ("DELETE", one, Value::Null, &right, 404),
    ] {
        let answer = send_basic(address, authorization, (method, path), body).await;
        assert_eq!(answer.status, status, "{method} {path} {}", answer.text);
    }
    let lines = lines(&file, 5).await;
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line["operation"].as_str().unwrap(), line["status"].as_u64().unwrap()))
        .collect();
    let expected = [
        ("register", 204),
        ("override_status", 200),
        ("deregister", 401),
        ("deregister", 200),
        ("deregister", 404),
    ];
    assert_eq!(seen, expected);
    assert_eq!(lines[0]["who"], json!({"user": "shop"}));
    assert_eq!(lines[2]["who"], "anonymous");
    assert_eq!(lines[0]["listener"], "eureka");
}

#[tokio::test]
async fn a_log_that_was_moved_away_goes_on_and_all_is_written_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = audited(folder.path());
    let plane = Plane::with(config).await;
    send(&plane, "operator", "PUT", "/v1/services/a", Value::Null).await;
    lines(&file, 1).await;
    let moved = folder.path().join("audit.log.1");
    std::fs::rename(&file, &moved).unwrap();
    for name in ["b", "c"] {
        send(&plane, "operator", "PUT", &format!("/v1/services/{name}"), Value::Null).await;
    }
    plane.running.shutdown().await;
    assert_eq!(std::fs::read_to_string(&moved).unwrap().lines().count(), 1);
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn a_full_disk_stops_nobody_and_a_place_that_is_none_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, _) = audited(folder.path());
    config.audit.file = Some("/dev/full".into());
    let plane = Plane::with(config.clone()).await;
    for number in 0..20 {
        let path = format!("/v1/services/a{number}");
        assert_eq!(send(&plane, "operator", "PUT", &path, Value::Null).await.status, 200);
    }
    plane.running.shutdown().await;
    config.audit.file = Some(folder.path().join("nowhere/audit.log"));
    let fault = ControlPlane::start(config).await.unwrap_err();
    assert!(
        matches!(fault, StartError::Audit { .. }) && fault.to_string().contains("nowhere/audit.log"),
        "{fault}"
    );
}

#[tokio::test]
async fn guesses_without_end_do_not_fill_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = audited(folder.path());
    let plane = Plane::with(config).await;
    for _ in 0..200 {
        assert_eq!(send(&plane, "", "DELETE", "/v1/routes/a", Value::Null).await.status, 401);
    }
    plane.running.shutdown().await;
    let count = std::fs::read_to_string(&file).unwrap().lines().count();
    assert!((10..100).contains(&count), "{count}");
}
