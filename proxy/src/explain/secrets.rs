//! What an explanation never shows: values that go by the name of a secret, in header fields and in queries.

/// What stands in place of a secret.
pub(super) const HIDDEN: &str = "(hidden)";

/// Parts of names whose values are kept back. Rather too many: a value that is not shown costs a second look, one that
/// is shown may cost more.
const TELLING: [&str; 14] = [
    "auth",
    "cookie",
    "credential",
    "cert",
    "jwt",
    "key",
    "pass",
    "pwd",
    "secret",
    "session",
    "sid",
    "signature",
    "ticket",
    "token",
];

/// Query parameters that are short for one: those of OAuth 2 (RFC 6749) and of signed URLs.
const PARAMETERS: [&str; 5] = ["code", "sig", "state", "pin", "otp"];

/// Whether values of this name are kept back.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // `x-real-authority` tells nothing, and neither does the host of HTTP/2.
    TELLING.iter().any(|part| name.contains(part)) && !matches!(name.as_str(), "authority" | ":authority")
}

/// A value as it may be shown.
pub(super) fn shown(name: &str, value: &str) -> String {
    if is_secret(name) { HIDDEN.to_owned() } else { value.to_owned() }
}

/// A path or URL whose query holds no secret any more.
pub(super) fn target(text: &str) -> String {
    let Some((before, query)) = text.split_once('?') else { return text.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret_parameter(name) => format!("{name}={HIDDEN}"),
        _ => pair.to_owned(),
    });
    format!("{before}?{}", pairs.collect::<Vec<_>>().join("&"))
}

pub(super) fn is_secret_parameter(name: &str) -> bool {
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
    PARAMETERS.contains(&name.as_str()) || is_secret(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_by_their_names() {
        for name in ["Authorization", "Cookie", "set-cookie", "X-Api-Key", "proxy-authorization", "PHPSESSID"]
        {
            assert_eq!(shown(name, "x"), HIDDEN, "{name}");
        }
        for name in ["host", "x-request-id", "traceparent", "accept", ":authority"] {
            assert_eq!(shown(name, "x"), "x", "{name}");
        }
    }

    #[test]
    fn queries_lose_theirs_in_any_spelling() {
        for (given, expected) in [
            ("/a", "/a"),
            ("/a?b=1&c", "/a?b=1&c"),
            ("/a?access_token=x&b=1", "/a?access_token=(hidden)&b=1"),
            ("/a?access%5Ftoken=x&SIG=y=z", "/a?access%5Ftoken=(hidden)&SIG=(hidden)"),
        ] {
            assert_eq!(target(given), expected);
        }
    }
}
