//! `POST /monitor`: a git host says that something was pushed. Which files, tells which applications are told.

use std::collections::BTreeSet;

use aws_lc_rs::{constant_time, hmac};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use portreeve_config::Secret;
use serde_json::Value;

use super::refusal::Refusal;
use crate::configuration::targets_of;

/// Stands for a push whose files are not named: everyone's.
const EVERYTHING: &str = "application.yml";
/// Paths that are taken from one call.
const PATHS: usize = 10_000;

/// What a push of each host looks like: a header field, and what it says.
const PUSHES: [(&str, &str); 5] = [
    ("x-github-event", "push"),
    ("x-gitlab-event", "Push Hook"),
    ("x-gitea-event", "push"),
    ("x-gogs-event", "push"),
    ("x-git-oschina-event", "Push Hook"),
];
/// Bitbucket's events, in the cloud and on a server.
const BITBUCKET: [&str; 4] = ["repo:push", "pullrequest:fulfilled", "repo:refs_changed", "pr:merged"];

/// Whom a call is meant for; nobody where it tells of no push.
pub(super) fn targets(headers: &HeaderMap, body: &Bytes) -> Result<BTreeSet<String>, Refusal> {
    let kind = field(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default().to_ascii_lowercase();
    let paths = match kind.starts_with("application/x-www-form-urlencoded") {
        true => form_paths(body),
        false => {
            let document: Value = serde_json::from_slice(body)
                .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body is not valid JSON"))?;
            pushed(headers, &document)
        }
    };
    Ok(paths.iter().take(PATHS).flat_map(|path| targets_of(path)).collect())
}

fn pushed(headers: &HeaderMap, document: &Value) -> Vec<String> {
    if PUSHES.iter().any(|(name, event)| field(headers, name).is_some_and(|value| value == *event)) {
        let commits = document["commits"].as_array().map(Vec::as_slice).unwrap_or_default();
        let lists =
            commits.iter().flat_map(|commit| ["added", "removed", "modified"].map(|list| &commit[list]));
        return lists.flat_map(texts).collect();
    }
    let signed = headers.contains_key("x-hook-uuid") || headers.contains_key("x-request-id");
    if signed && field(headers, "x-event-key").is_some_and(|event| BITBUCKET.contains(&event)) {
        return vec![EVERYTHING.to_owned()];
    }
    texts(&document["path"])
}

/// A text, or the texts of a list.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn form_paths(body: &Bytes) -> Vec<String> {
    let text = String::from_utf8_lossy(body).replace('+', " ");
    let pairs = text.split('&').filter_map(|pair| pair.strip_prefix("path="));
    pairs.map(|path| percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()).collect()
}

/// Whether a call carries the secret, or is signed with it.
pub(super) fn is_authentic(secret: &Secret, headers: &HeaderMap, body: &Bytes) -> bool {
    let secret = secret.reveal().as_bytes();
    let said = |name| field(headers, name);
    let equal = |text: &str| constant_time::verify_slices_are_equal(text.as_bytes(), secret).is_ok();
    if ["x-gitlab-token", "x-gitee-token"].into_iter().filter_map(said).any(equal) {
        return true;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signed = |text: &str| {
        let digits = text.strip_prefix("sha256=").unwrap_or(text);
        crate::configuration::from_hex(digits).is_some_and(|tag| hmac::verify(&key, body, &tag).is_ok())
    };
    ["x-hub-signature-256", "x-hub-signature", "x-gitea-signature", "x-gogs-signature"]
        .into_iter()
        .filter_map(said)
        .any(signed)
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn pushes_of_every_host_are_recognised() {
        let commits =
            r#"{"commits": [{"added": ["pay-dev.yml"], "removed": [], "modified": ["x/application.yml"]}]}"#;
        for (fields, body, expected) in [
            (&[("x-github-event", "push")][..], commits, &["*", "pay", "pay-dev"][..]),
            (&[("x-gitlab-event", "Push Hook")], commits, &["*", "pay", "pay-dev"]),
            (&[("x-gitea-event", "push")], commits, &["*", "pay", "pay-dev"]),
            (&[("x-gogs-event", "push")], commits, &["*", "pay", "pay-dev"]),
            (&[("x-git-oschina-event", "Push Hook")], commits, &["*", "pay", "pay-dev"]),
            (&[("x-event-key", "repo:push"), ("x-hook-uuid", "1")], "{}", &["*"]),
            (&[("x-event-key", "pr:merged"), ("x-request-id", "1")], "{}", &["*"]),
            (&[("x-event-key", "repo:push")], "{}", &[]),
            (&[("x-github-event", "ping")], commits, &[]),
            (&[], r#"{"path": "users.yml"}"#, &["users"]),
            (&[], r#"{"path": ["users.yml", 7]}"#, &["users"]),
            (
                &[("content-type", "application/x-www-form-urlencoded")],
                "path=a.yml&x=y&path=b%2Dc.yml",
                &["a", "b", "b-c"],
            ),
            (&[], r#"{"commits": 1}"#, &[]),
        ] {
            let found = targets(&headers(fields), &Bytes::from(body.to_owned())).unwrap();
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{fields:?}");
        }
        assert!(targets(&HeaderMap::new(), &Bytes::from_static(b"{")).is_err());
    }

    #[test]
    fn a_call_is_authentic_when_it_knows_the_secret() {
        let (secret, body) =
            (Secret::new("It's a Secret to Everybody"), Bytes::from_static(b"Hello, World!"));
        // The example of GitHub's documentation.
        let signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        for (name, value, expected) in [
            ("x-hub-signature-256", format!("sha256={signature}"), true),
            ("x-gitea-signature", signature.to_owned(), true),
            ("x-hub-signature", format!("sha256={signature}"), true),
            ("x-hub-signature-256", format!("sha256={}", signature.replace('7', "8")), false),
            ("x-hub-signature-256", "sha256=".to_owned(), false),
            ("x-gitlab-token", "It's a Secret to Everybody".to_owned(), true),
            ("x-gitlab-token", "It's".to_owned(), false),
        ] {
            assert_eq!(is_authentic(&secret, &headers(&[(name, &value)]), &body), expected, "{name} {value}");
        }
        assert!(!is_authentic(&secret, &HeaderMap::new(), &body));
    }
}
