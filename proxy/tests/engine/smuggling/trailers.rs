//! Trailers: fields that frame, route or vouch for a request count only in its head (RFC 9110, 6.5.1).

use super::{Family, post};

fn with_trailers(lines: &[u8]) -> Vec<u8> {
    post("transfer-encoding: chunked\r\n", [b"5\r\nhello\r\n0\r\n", lines, b"\r\n"].concat())
}

#[tokio::test]
async fn trailers_carry_nothing_that_steers() {
    let mut family = Family::new().await;
    for line in [
        "content-length: 5",
        "content-length: 99",
        "Transfer-Encoding: chunked",
        "host: evil.example",
        "authorization: Bearer evil",
        "connection: keep-alive",
        "x-forwarded-for: 1.2.3.4",
        "X_Forwarded_For: 1.2.3.4",
        "forwarded: for=1.2.3.4",
        "x-real-ip: 1.2.3.4",
        "content-encoding: gzip",
        "content-type: text/evil",
        "cookie: a=b",
        "expect: 100-continue",
        "te: trailers",
        "trailer: host",
        "upgrade: websocket",
        "proxy-authorization: Basic eA==",
        "cache-control: no-store",
    ] {
        let name = line.split(':').next().unwrap().to_ascii_lowercase();
        let bytes = with_trailers(format!("{line}\r\nx-late: 7\r\n").as_bytes());
        let holds = |seen: &crate::origin::Seen| {
            let trailers = seen.trailers.to_ascii_lowercase();
            let has_it = trailers.lines().any(|line| line.starts_with(&format!("{name}:")));
            seen.body == b"hello" && !has_it && trailers.contains("x-late: 7\r\n")
        };
        family.either(line, bytes, holds).await;
    }
    family.end().await;
}

#[tokio::test]
async fn plain_trailers_pass_in_order() {
    let mut family = Family::new().await;
    let twice = with_trailers(b"x-sum: 1\r\nx-sum: 2\r\n");
    family
        .served("twice", twice, |seen| {
            seen.trailers.eq_ignore_ascii_case("x-sum: 1\r\nx-sum: 2\r\n") && !seen.head.contains("x-sum")
        })
        .await;
    let none = with_trailers(b"");
    family.served("none", none, |seen| seen.trailers.is_empty() && seen.body == b"hello").await;
    family.end().await;
}

#[tokio::test]
async fn trailers_that_cannot_be_read_break_the_request() {
    let mut family = Family::new().await;
    for (name, lines) in [
        ("a space before the colon", b"x-late : 7\r\n".as_slice()),
        ("no colon", b"x-late\r\n"),
        ("no name", b": 7\r\n"),
        ("folded", b"x-late: 7\r\n 8\r\n"),
        ("a bare CR", b"x-late: 7\r8\r\n"),
        ("a bare LF", b"x-late: 7\n"),
        ("a zero byte", b"x-late: \0\r\n"),
        ("a control character in the name", b"x\x01late: 7\r\n"),
        ("a request", b"GET /hidden HTTP/1.1\r\nhost: a\r\n"),
    ] {
        family.broken(name, with_trailers(lines)).await;
    }
    let many = "x-late: 7\r\n".repeat(200);
    let long = format!("x-late: {}\r\n", "x".repeat(40 << 10));
    for (name, lines) in [("200 of them", many), ("one of 40 KiB", long)] {
        let bytes = with_trailers(lines.as_bytes());
        let outcome = family.outcome(&bytes).await;
        let is_refused = matches!(outcome.statuses()[..], [] | [400 | 431]) && outcome.reached.is_empty();
        if !is_refused {
            family.note(name, &bytes, "400, 431 or nothing, and no whole request", &outcome);
        }
    }
    family.end().await;
}
