//! `Content-Length`: one value, digits only, and nothing beside it (RFC 9110, 8.6; RFC 9112, 6.3).

use super::{Family, post};

/// Lines that give a length in a way that somebody reads otherwise.
const REFUSED: &[(&str, &[u8])] = &[
    ("two that differ", b"content-length: 5\r\ncontent-length: 6\r\n"),
    ("two that agree", b"content-length: 5\r\ncontent-length: 5\r\n"),
    ("two in different case", b"Content-Length: 5\r\nCONTENT-LENGTH: 6\r\n"),
    ("two with a field between", b"content-length: 0\r\nx-a: b\r\ncontent-length: 5\r\n"),
    ("a list that differs", b"content-length: 5, 6\r\n"),
    ("a list that agrees", b"content-length: 5, 5\r\n"),
    ("a list without spaces", b"content-length: 5,5\r\n"),
    ("empty", b"content-length:\r\n"),
    ("empty, with a space", b"content-length: \r\n"),
    ("empty, then a value", b"content-length:\r\ncontent-length: 5\r\n"),
    ("a value, then empty", b"content-length: 5\r\ncontent-length:\r\n"),
    ("a comma before", b"content-length: ,5\r\n"),
    ("a comma behind", b"content-length: 5,\r\n"),
    ("plus", b"content-length: +5\r\n"),
    ("minus", b"content-length: -5\r\n"),
    ("minus nothing", b"content-length: -0\r\n"),
    ("hexadecimal", b"content-length: 0x5\r\n"),
    ("hexadecimal digits", b"content-length: a\r\n"),
    ("octal mark", b"content-length: 0o5\r\n"),
    ("underscore", b"content-length: 1_0\r\n"),
    ("a point", b"content-length: 5.0\r\n"),
    ("an exponent", b"content-length: 5e0\r\n"),
    ("a space inside", b"content-length: 5 5\r\n"),
    ("a tab inside", b"content-length: 5\t5\r\n"),
    ("a parameter", b"content-length: 5;a=b\r\n"),
    ("quotes", b"content-length: \"5\"\r\n"),
    ("a word", b"content-length: five\r\n"),
    ("chunked", b"content-length: chunked\r\n"),
    ("wide digits", "content-length: \u{ff15}\r\n".as_bytes()),
    ("vertical tab before", b"content-length: \x0b5\r\n"),
    ("vertical tab behind", b"content-length: 5\x0b\r\n"),
    ("form feed behind", b"content-length: 5\x0c\r\n"),
    ("wide space before", b"content-length: \xa05\r\n"),
    ("next line behind", b"content-length: 5\x85\r\n"),
    ("zero byte behind", b"content-length: 5\0\r\n"),
    ("two to the 64", b"content-length: 18446744073709551616\r\n"),
    ("two to the 64, and five", b"content-length: 18446744073709551621\r\n"),
    ("forty digits", b"content-length: 9999999999999999999999999999999999999999\r\n"),
    ("a space before the colon", b"content-length : 5\r\n"),
    ("a tab before the colon", b"content-length\t: 5\r\n"),
    ("folded", b"content-length:\r\n 5\r\n"),
];

/// Lines that give a length and chunks both: whoever keeps the other one sees another request.
const BOTH: &[(&str, &[u8])] = &[
    ("length first", b"content-length: 5\r\ntransfer-encoding: chunked\r\n"),
    ("chunks first", b"transfer-encoding: chunked\r\ncontent-length: 5\r\n"),
    ("no length first", b"content-length: 0\r\ntransfer-encoding: chunked\r\n"),
    ("chunks first, then no length", b"transfer-encoding: chunked\r\ncontent-length: 0\r\n"),
    ("two lengths and chunks", b"content-length: 5\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n"),
    ("in capitals", b"CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: CHUNKED\r\n"),
    ("another coding", b"content-length: 5\r\ntransfer-encoding: identity\r\n"),
    ("an empty coding", b"content-length: 5\r\ntransfer-encoding:\r\n"),
];

#[tokio::test]
async fn a_length_is_one_number() {
    let mut family = Family::new().await;
    for (name, lines) in REFUSED {
        family.refused(name, post(lines, "hello")).await;
    }
    for (name, length) in [("two to the 64, less one", u64::MAX), ("two to the 63", 1 << 63)] {
        family.refused_with(&[400, 413], name, post(format!("content-length: {length}\r\n"), "hello")).await;
    }
    for (name, length) in [("zeros before", "0005"), ("many zeros before", "00000000000000000000000005")] {
        let plain = |seen: &crate::origin::Seen| seen.field("content-length") == Some("5");
        family.either(name, post(format!("content-length: {length}\r\n"), "hello"), plain).await;
    }
    for (name, lines) in [
        ("plain", "content-length: 5\r\n"),
        ("no space", "content-length:5\r\n"),
        ("spaces around", "content-length:  5 \t\r\n"),
        ("in capitals", "CONTENT-LENGTH: 5\r\n"),
    ] {
        let holds =
            |seen: &crate::origin::Seen| seen.body == b"hello" && seen.field("content-length") == Some("5");
        family.served(name, post(lines, "hello"), holds).await;
    }
    family.end().await;
}

#[tokio::test]
async fn length_and_chunks_exclude_each_other() {
    let mut family = Family::new().await;
    for (name, lines) in BOTH {
        family.refused(name, post(lines, "0\r\n\r\n")).await;
    }
    for (name, lines) in [
        ("1.0 with chunks", "transfer-encoding: chunked\r\n"),
        ("1.0 with chunks, kept alive", "connection: keep-alive\r\ntransfer-encoding: chunked\r\n"),
        ("1.0 with both", "content-length: 5\r\ntransfer-encoding: chunked\r\n"),
        ("1.0 with another coding", "transfer-encoding: identity\r\n"),
    ] {
        family.refused(name, format!("POST / HTTP/1.0\r\nhost: a\r\n{lines}\r\n0\r\n\r\n")).await;
    }
    family.end().await;
}
