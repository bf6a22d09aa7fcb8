//! Which values are not shown in history and logs. Told by their names, for a control plane cannot know what a
//! service means by a key; too much hidden does no harm there.

use serde_json::Value;

/// What stands in the place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// Parts of names that speak of a secret.
const WORDS: [&str; 13] = [
    "password",
    "passwd",
    "pwd",
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

/// Ends of names whose `key` opens nothing, without what may stand between their words.
const OPEN_KEYS: [&str; 5] = ["publickey", "routingkey", "partitionkey", "cachekey", "sortkey"];

/// What stands before a secret in the middle of a value, such as a connection string of JDBC or of Azure.
const PAIRS: [&str; 7] = ["password=", "passwd=", "pwd=", "secret=", "token=", "accountkey=", "accesskey="];

/// Whether `value`, found at `path`, is or may be a secret.
pub(crate) fn is_secret(path: &str, value: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let last = path.rsplit('.').next().unwrap_or_default();
    WORDS.iter().any(|word| path.contains(word))
        || is_key(last)
        || last.rsplit(['-', '_']).next() == Some("pass")
        || value.starts_with("{cipher}")
        || value.contains("PRIVATE KEY-----")
        || has_pair(value)
        || has_user_info(value)
}

/// Whether a name in small letters is that of a key, in whatever way its words are joined.
fn is_key(name: &str) -> bool {
    let bare = name.replace(['-', '_'], "");
    bare.ends_with("key") && !OPEN_KEYS.iter().any(|open| bare.ends_with(open))
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

fn has_pair(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    PAIRS.iter().any(|pair| value.contains(pair))
}

/// Whether a URL in it has anything before its host: what has no colon may be a token.
fn has_user_info(value: &str) -> bool {
    let ends = |next: char| matches!(next, '/' | '?' | '#') || next.is_whitespace();
    let mut authorities = value.split("://").skip(1).filter_map(|rest| rest.split(ends).next());
    authorities.any(|authority| authority.contains('@'))
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
            ("jwt.signingKey", "x"),
            ("signingkey", "x"),
            ("JWT_SIGNING_KEY", "x"),
            ("storage.accountKey", "x"),
            ("cosmos.primaryKey", "x"),
            ("encrypt.key", "x"),
            ("encrypt.KEY", "x"),
            ("secret.public-key", "x"),
            ("db.pwd", "x"),
            ("dbPwd", "x"),
            ("mail.pass", "x"),
            ("MAIL_PASS", "x"),
            ("request_headers.set.Authorization", "Bearer x"),
            ("anything", "{cipher}abc"),
            ("database.url", "postgres://user:pass@host/db"),
            ("database.url", "jdbc:mysql://h/db?user=u&password=p"),
            ("database.url", "jdbc:sqlserver://h:1433;database=d;user=u;Password=p"),
            ("database.url", "Server=h;Uid=u;PWD=p"),
            ("database.url", "mysql:host=h;passwd=p"),
            ("storage", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=k=="),
            ("bus", "Endpoint=sb://a.example/;SharedAccessKeyName=n;SharedAccessKey=k="),
            ("hook", "https://h/hooks?client_secret=x"),
            ("hook", "https://h/hooks?access_token=x#y"),
            ("repository", "https://TOKEN@host/"),
            ("repository", "https://TOKEN@host"),
            ("repository", "git+https://TOKEN@host:8443?x"),
            ("mirrors", "https://a.example/x@y, https://TOKEN@b.example/"),
            ("mongo", "mongodb://user:p@h1:1,h2:2/db"),
        ] {
            assert!(is_secret(path, value), "{path}: {value}");
        }
        for (path, value) in [
            ("greeting", "hello"),
            ("match.path", "/keys/*"),
            ("page-size", "20"),
            ("url", "http://host:80/a@b:c"),
            ("url", "https://h/a@b"),
            ("url", "https://h?to=a@b"),
            ("url", "https://h#a@b"),
            ("url", "https://h:80/a"),
            ("url", "see https://h or ask a@b"),
            ("mail.from", "shop@host.example"),
            ("repository", "git@host:a/b.git"),
            ("database.url", "jdbc:mysql://h/db?user=u"),
            ("keyboard", "x"),
            ("keys", "x"),
            ("key-prefix", "x"),
            ("jwt.public-key", "x"),
            ("jwt.publicKey", "x"),
            ("rabbit.orders_routing_key", "x"),
            ("routingKey", "x"),
            ("partition-key", "x"),
            ("headers.set.X-Cache-Key", "x"),
            ("sortkey", "x"),
            ("bypass", "x"),
            ("compass", "x"),
            ("pass.through", "x"),
        ] {
            assert!(!is_secret(path, value), "{path}: {value}");
        }
    }
}
