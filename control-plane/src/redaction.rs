//! Which values are not shown in history and logs. Told by their names, for a control plane cannot know what a
//! service means by a key; too much hidden does no harm there.

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

/// Whether it is a URL with a password in it.
fn has_user_info(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

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
