//! The host: exactly one, a name or an address, and the same wherever a request names it (RFC 9110, 7.2; RFC 9112, 3.2).

use super::Family;

const REFUSED: &[(&str, &str)] = &[
    ("none", "GET / HTTP/1.1\r\n"),
    ("two that agree", "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n"),
    ("two that differ", "GET / HTTP/1.1\r\nhost: a\r\nHost: b\r\n"),
    ("two, the first empty", "GET / HTTP/1.1\r\nhost:\r\nhost: a\r\n"),
    ("two with 1.0", "GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\nconnection: keep-alive\r\n"),
    ("empty", "GET / HTTP/1.1\r\nhost:\r\n"),
    ("a list", "GET / HTTP/1.1\r\nhost: a, b\r\n"),
    ("a comma", "GET / HTTP/1.1\r\nhost: a,b\r\n"),
    ("a user", "GET / HTTP/1.1\r\nhost: user@a\r\n"),
    ("a user and a password", "GET / HTTP/1.1\r\nhost: user:pass@a\r\n"),
    ("a path", "GET / HTTP/1.1\r\nhost: a/b\r\n"),
    ("a query", "GET / HTTP/1.1\r\nhost: a?b\r\n"),
    ("a fragment", "GET / HTTP/1.1\r\nhost: a#b\r\n"),
    ("a scheme", "GET / HTTP/1.1\r\nhost: http://a\r\n"),
    ("a backslash", "GET / HTTP/1.1\r\nhost: a\\b\r\n"),
    ("a space", "GET / HTTP/1.1\r\nhost: a b\r\n"),
    ("a tab", "GET / HTTP/1.1\r\nhost: a\tb\r\n"),
    ("a percent sign", "GET / HTTP/1.1\r\nhost: a%2eb\r\n"),
    ("letters beyond ASCII", "GET / HTTP/1.1\r\nhost: caf\u{e9}\r\n"),
    ("a word as port", "GET / HTTP/1.1\r\nhost: a:b\r\n"),
    ("a port beyond all", "GET / HTTP/1.1\r\nhost: a:65536\r\n"),
    ("a signed port", "GET / HTTP/1.1\r\nhost: a:+80\r\n"),
    ("two ports", "GET / HTTP/1.1\r\nhost: a:80:80\r\n"),
    ("only a port", "GET / HTTP/1.1\r\nhost: :80\r\n"),
    ("only a dot", "GET / HTTP/1.1\r\nhost: .\r\n"),
    ("an open bracket", "GET / HTTP/1.1\r\nhost: [::1\r\n"),
    ("a bare IPv6 address", "GET / HTTP/1.1\r\nhost: ::1\r\n"),
    ("no address in brackets", "GET / HTTP/1.1\r\nhost: [evil]\r\n"),
    ("a zone", "GET / HTTP/1.1\r\nhost: [fe80::1%25eth0]\r\n"),
    ("text behind brackets", "GET / HTTP/1.1\r\nhost: [::1]evil\r\n"),
    ("absolute, without a field", "GET http://a/ HTTP/1.1\r\n"),
    ("absolute, another host", "GET http://b/ HTTP/1.1\r\nhost: a\r\n"),
    ("absolute, another port", "GET http://a:81/ HTTP/1.1\r\nhost: a\r\n"),
    ("absolute, two fields", "GET http://a/ HTTP/1.1\r\nhost: a\r\nhost: b\r\n"),
    ("absolute, an empty field", "GET http://a/ HTTP/1.1\r\nhost:\r\n"),
    ("absolute, a user", "GET http://user@a/ HTTP/1.1\r\nhost: a\r\n"),
    ("absolute, an empty user", "GET http://@a/ HTTP/1.1\r\nhost: a\r\n"),
    ("absolute, no host", "GET http:/// HTTP/1.1\r\nhost: a\r\n"),
    ("absolute, no host and a path", "GET http:///a HTTP/1.1\r\nhost: a\r\n"),
    ("absolute, one slash", "GET http:/a HTTP/1.1\r\nhost: a\r\n"),
    ("absolute, a backslash", "GET http://a\\b/ HTTP/1.1\r\nhost: a\r\n"),
    ("absolute, a comma", "GET http://a,b/ HTTP/1.1\r\nhost: a,b\r\n"),
    ("absolute, another scheme", "GET ftp://a/ HTTP/1.1\r\nhost: a\r\n"),
    ("absolute, a file", "GET file:///etc/passwd HTTP/1.1\r\nhost: a\r\n"),
    ("absolute, a script", "GET javascript:alert(1) HTTP/1.1\r\nhost: a\r\n"),
    ("only an authority", "GET a:80 HTTP/1.1\r\nhost: a:80\r\n"),
    ("two slashes as authority", "GET //a/b HTTP/1.1\r\nhost: a\r\n"),
];

#[tokio::test]
async fn a_host_has_one_reading() {
    let mut family = Family::new().await;
    for (name, head) in REFUSED {
        family.refused(name, format!("{head}\r\n")).await;
    }
    family.end().await;
}

#[tokio::test]
async fn everybody_sees_the_same_host() {
    let mut family = Family::new().await;
    for (name, head, host) in [
        ("a name", "GET /x HTTP/1.1\r\nhost: shop.example\r\n", "shop.example"),
        ("a port", "GET /x HTTP/1.1\r\nhost: a:8080\r\n", "a:8080"),
        ("an IPv6 address", "GET /x HTTP/1.1\r\nhost: [::1]:80\r\n", "[::1]:80"),
        ("absolute, the same", "GET http://b/x HTTP/1.1\r\nhost: b\r\n", "b"),
        ("absolute, with a port", "GET http://b:81/x HTTP/1.1\r\nhost: b:81\r\n", "b:81"),
    ] {
        let holds = |seen: &crate::origin::Seen| {
            seen.line() == "GET /x HTTP/1.1"
                && seen.field("host") == Some(host)
                && seen.field("x-forwarded-host") == Some(host)
        };
        family.served(name, format!("{head}\r\n"), holds).await;
    }
    for (name, head, host) in [
        ("capitals", "GET http://B/x HTTP/1.1\r\nhost: b\r\n", "b"),
        ("the port of the scheme", "GET http://b:80/x HTTP/1.1\r\nhost: b\r\n", "b"),
        ("a scheme in capitals", "GET HTTP://b/x HTTP/1.1\r\nhost: b\r\n", "b"),
        ("a final dot", "GET http://b./x HTTP/1.1\r\nhost: b\r\n", "b"),
        ("port 0", "GET /x HTTP/1.1\r\nhost: b:0\r\n", "b"),
    ] {
        let same = |seen: &crate::origin::Seen| {
            let field = seen.field("host").unwrap_or_default().to_ascii_lowercase();
            field.split(':').next().unwrap_or_default().trim_end_matches('.') == host
        };
        family.either(name, format!("{head}\r\n"), same).await;
    }
    family.end().await;
}
