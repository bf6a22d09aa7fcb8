//! How tokens are shown, and every way in which they are not.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use portreeve_config::{ControlPlaneConfig, Secret, TokenConfig, TokenRole};
use portreeve_control_plane::ControlPlane;

use crate::support::{LIMIT, Plane, config};
use crate::{guarded, secret, token};

/// The status that a request with these fields gets.
async fn status(plane: &Plane, path: &str, fields: &[(&str, &str)]) -> u16 {
    let mut request = plane.request("GET", path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    plane.send(request.body(Bytes::new()).unwrap()).await.status
}

#[tokio::test]
async fn a_token_is_shown_in_one_field_and_in_no_other_way() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let right = secret("reader");
    let authorization = |value: String| plane_status(&plane, value);
    let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
    for value in [
        format!("Bearer {right}"),
        format!("bearer   {right} "),
        basic(format!("anybody:{right}")),
        basic(format!(":{right}")),
    ] {
        assert_eq!(authorization(value.clone()).await, 200, "{value}");
    }
    let wrong = [
        right.clone(),
        format!("Bearer{right}"),
        format!("Token {right}"),
        format!("Digest {right}"),
        format!("Bearer {}", &right[..right.len() - 1]),
        format!("Bearer {right}x"),
        format!("Bearer {}", right.to_uppercase()),
        format!("Bearer \"{right}\""),
        format!("Bearer {right}, Bearer {right}"),
        "Bearer".to_owned(),
        "Bearer  ".to_owned(),
        "Basic !".to_owned(),
        basic(right.clone()),
        basic(format!("{right}:")),
        basic(format!("x:{right}\n")),
    ];
    // Each is a guess from one address; a plane of its own for some of them, so that none is slowed down.
    for wrong in wrong.chunks(8) {
        let folder = tempfile::tempdir().unwrap();
        let plane = Plane::with(guarded(folder.path())).await;
        for value in wrong {
            assert_eq!(plane_status(&plane, value.clone()).await, 401, "{value}");
        }
    }
}

async fn plane_status(plane: &Plane, value: String) -> u16 {
    status(plane, "/v1/routes", &[("authorization", &value)]).await
}

#[tokio::test]
async fn two_fields_queries_cookies_and_huge_fields_are_no_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let bearer = format!("Bearer {}", secret("reader"));
    let twice = [("authorization", bearer.as_str()), ("authorization", "Bearer x")];
    assert_eq!(status(&plane, "/v1/routes", &twice).await, 401);
    let same = [("authorization", bearer.as_str()); 2];
    assert_eq!(status(&plane, "/v1/routes", &same).await, 401);
    for parameter in ["access_token", "token", "authorization"] {
        let path = format!("/v1/routes?{parameter}={}", secret("reader"));
        assert_eq!(status(&plane, &path, &[]).await, 401, "{path}");
    }
    assert_eq!(status(&plane, "/v1/routes", &[("cookie", &bearer)]).await, 401);
    assert_eq!(status(&plane, "/v1/routes", &[("x-authorization", &bearer)]).await, 401);
    let huge = format!("Bearer {}", "x".repeat(30_000));
    assert_eq!(status(&plane, "/v1/routes", &[("authorization", &huge)]).await, 401);
    let larger = format!("Bearer {}", "x".repeat(100_000));
    assert_eq!(status(&plane, "/v1/routes", &[("authorization", &larger)]).await, 431);
    assert_eq!(status(&plane, "/v1/routes", &[("authorization", &bearer)]).await, 200);
}

#[tokio::test]
async fn only_health_is_open_and_both_schemes_are_offered() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(plane.get(path).await.status, 200, "{path}");
        assert_eq!(status(&plane, path, &[("authorization", "Bearer wrong")]).await, 200, "{path}");
    }
    for path in [
        "/",
        "/zipkin/",
        "/zipkin/traces.js",
        "/metrics",
        "/v1/openapi.json",
        "/v1/nowhere",
        "/api/v2/services",
    ] {
        let answer = plane.get(path).await;
        assert_eq!(answer.status, 401, "{path}");
        let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(
            challenges,
            ["Bearer realm=\"Portreeve\"", "Basic realm=\"Portreeve\", charset=\"UTF-8\""]
        );
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    let spans = plane.json("POST", "/api/v2/spans", serde_json::json!([])).await;
    assert_eq!(spans.status, 401);
}

#[tokio::test]
async fn spans_come_without_a_token_only_where_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(ControlPlaneConfig { anonymous_spans: true, ..guarded(folder.path()) }).await;
    for path in ["/api/v2/spans", "/zipkin/api/v2/spans"] {
        assert_eq!(plane.json("POST", path, serde_json::json!([])).await.status, 202, "{path}");
        assert_eq!(plane.get(path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn guessing_is_slow_and_a_right_token_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let mut slowed = 0;
    for _ in 0..12 {
        let began = Instant::now();
        let status = plane_status(&plane, "Bearer wrong".to_owned()).await;
        assert!(status == 401 || status == 429, "{status}");
        if status == 429 {
            assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
            slowed += 1;
        }
        assert_eq!(plane_status(&plane, format!("Bearer {}", secret("reader"))).await, 200);
    }
    assert!(slowed >= 1);
}

#[tokio::test]
async fn a_token_is_rotated_without_a_restart_and_a_damaged_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::with(guarded(folder.path())).await;
    let file = folder.path().join("reader.token");
    let new = "another-token-of-the-reader-1";
    let is = |token: &str| plane_status(&plane, format!("Bearer {token}"));
    assert_eq!(is(&secret("reader")).await, 200);
    std::fs::write(folder.path().join("new"), format!("{new}\nsecond line\n")).unwrap();
    std::fs::rename(folder.path().join("new"), &file).unwrap();
    let began = Instant::now();
    while is(new).await != 200 {
        assert!(began.elapsed() < LIMIT, "the new token is not known");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_ne!(is(&secret("reader")).await, 200);
    for damaged in ["short", "", &secret("admin")] {
        std::fs::write(&file, damaged).unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(is(new).await, 200, "{damaged}");
    }
}

#[tokio::test]
async fn tokens_by_hash_work_and_one_secret_twice_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    // sha256sum of `hashed-0123456789abcdefghijklmnop`.
    let hash = aws_hash(&secret("hashed"));
    let hashed = |name: &str| TokenConfig {
        name: name.to_owned(),
        role: TokenRole::Read,
        token_file: None,
        sha256: Some(Secret::new(&*hash)),
        services: None,
    };
    let with = |tokens| ControlPlaneConfig { tokens, ..config(&folder.path().join("data")) };
    let plane = Plane::with(with(vec![hashed("a")])).await;
    assert_eq!(plane_status(&plane, format!("Bearer {}", secret("hashed"))).await, 200);
    assert_ne!(plane_status(&plane, format!("Bearer {hash}")).await, 200);
    plane.running.shutdown().await;
    let twice = vec![hashed("a"), token(folder.path(), "hashed", TokenRole::Admin, None)];
    let fault = ControlPlane::start(with(twice)).await.unwrap_err().to_string();
    assert!(fault.contains("tokens[1]") && fault.contains("has this secret already"), "{fault}");
    assert!(!fault.contains(&hash), "{fault}");
}

#[tokio::test]
async fn every_token_that_cannot_be_used_is_told_at_once_and_none_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut tokens: Vec<_> =
        ["a", "b", "c"].map(|name| token(folder.path(), name, TokenRole::Read, None)).into();
    std::fs::write(folder.path().join("a.token"), "hunter2").unwrap();
    std::fs::write(folder.path().join("b.token"), "hunter2 hunter2 hunter2 hunter2").unwrap();
    tokens[2].token_file = Some(folder.path().join("nowhere"));
    let config = ControlPlaneConfig { tokens, ..config(&folder.path().join("data")) };
    let fault = ControlPlane::start(config).await.unwrap_err().to_string();
    for words in
        ["tokens[0].token_file", "24 to 4096", "tokens[1].token_file", "tokens[2].token_file", "nowhere"]
    {
        assert!(fault.contains(words), "{words}: {fault}");
    }
    assert!(!fault.contains("hunter2"), "{fault}");
}

fn aws_hash(text: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
