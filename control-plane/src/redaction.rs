//! Which values are not shown in history and logs. Told by their names, for a control plane cannot know what a
//! service means by a key; too much hidden does no harm there.

use serde_json::Value;

/// What stands in the place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// Parts of names that speak of a secret.
const WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "apikey",
    "api-key",
    "api_key",
    "private",
    "authorization",
    "cookie",
];

/// Whether `value`, found at `path`, is or may be a secret.
pub(crate) fn is_secret(path: &str, value: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let last = path.rsplit('.').next().unwrap_or_default();
    WORDS.iter().any(|word| path.contains(word))
        || last == "key"
        || last.ends_with("-key")
        || last.ends_with("_key")
        || value.starts_with("{cipher}")
        || value.contains("PRIVATE KEY-----")
        || has_user_info(value)
}

/// Puts [`HIDDEN`] in the place of every secret below `path`.
pub(crate) fn hide(path: &str, value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| {
            let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            hide(&place, field);
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(path, item)),
        Value::String(text) if is_secret(path, text) => *text = HIDDEN.to_owned(),
        _ => {}
    }
}

/// Whether it is a URL with a password in it.
fn has_user_info(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_at_any_depth_and_nothing_else() {
        let mut value = json!({"config": {"orders": {"default": {"db.password": "x", "page-size": "20"}}},
            "routes": [{"name": "a", "headers": {"set": {"Authorization": "Bearer x"}}}], "list": [["{cipher}a", "b"]]});
        hide("", &mut value);
        let expected = json!({"config": {"orders": {"default": {"db.password": "***", "page-size": "20"}}},
            "routes": [{"name": "a", "headers": {"set": {"Authorization": "***"}}}], "list": [["***", "b"]]});
        assert_eq!(value, expected);
    }

    #[test]
    fn what_speaks_of_a_secret_is_one() {
        for (path, value) in [
            ("spring.datasource.password", "x"),
            ("jwt.signing-key", "x"),
            ("encrypt.key", "x"),
            ("request_headers.set.Authorization", "Bearer x"),
            ("anything", "{cipher}abc"),
            ("database.url", "postgres://user:pass@host/db"),
        ] {
            assert!(is_secret(path, value), "{path}");
        }
        for (path, value) in [
            ("greeting", "hello"),
            ("match.path", "/keys/*"),
            ("page-size", "20"),
            ("url", "http://host:80/a@b:c"),
            ("keyboard", "x"),
        ] {
            assert!(!is_secret(path, value), "{path}");
        }
    }
}
