//! `Transfer-Encoding`: exactly `chunked`, once. What one server takes for `chunked` and the next one does not is the
//! oldest way to two requests (RFC 9112, 6.1).

use super::{Family, post};

const REFUSED: &[(&str, &[u8])] = &[
    ("empty", b"transfer-encoding:\r\n"),
    ("empty, with a space", b"transfer-encoding: \r\n"),
    ("a comma before", b"transfer-encoding: ,chunked\r\n"),
    ("a comma and a space before", b"transfer-encoding: , chunked\r\n"),
    ("a comma behind", b"transfer-encoding: chunked,\r\n"),
    ("twice in a list", b"transfer-encoding: chunked, chunked\r\n"),
    ("twice", b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
    ("twice in different case", b"Transfer-Encoding: chunked\r\ntransfer-encoding: CHUNKED\r\n"),
    ("identity, then chunked", b"transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n"),
    ("chunked, then identity", b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n"),
    ("empty, then chunked", b"transfer-encoding:\r\ntransfer-encoding: chunked\r\n"),
    ("a letter before", b"transfer-encoding: xchunked\r\n"),
    ("a letter behind", b"transfer-encoding: chunkedx\r\n"),
    ("a letter less", b"transfer-encoding: chunke\r\n"),
    ("a suffix", b"transfer-encoding: not-chunked\r\n"),
    ("double quotes", b"transfer-encoding: \"chunked\"\r\n"),
    ("single quotes", b"transfer-encoding: 'chunked'\r\n"),
    ("a parameter", b"transfer-encoding: chunked;a=b\r\n"),
    ("a weight", b"transfer-encoding: chunked; q=0\r\n"),
    ("a colon", b"transfer-encoding:: chunked\r\n"),
    ("two words", b"transfer-encoding: chunked chunked\r\n"),
    ("not the last", b"transfer-encoding: chunked, gzip\r\n"),
    ("chunked, identity", b"transfer-encoding: chunked, identity\r\n"),
    ("identity, chunked", b"transfer-encoding: identity, chunked\r\n"),
    ("gzip, chunked", b"transfer-encoding: gzip, chunked\r\n"),
    ("gzip", b"transfer-encoding: gzip\r\n"),
    ("identity", b"transfer-encoding: identity\r\n"),
    ("deflate, then chunked", b"transfer-encoding: deflate\r\ntransfer-encoding: chunked\r\n"),
    ("nonsense", b"transfer-encoding: cow\r\n"),
    ("a list of nothing", b"transfer-encoding: ,\r\n"),
    ("vertical tab before", b"transfer-encoding: \x0bchunked\r\n"),
    ("vertical tab behind", b"transfer-encoding: chunked\x0b\r\n"),
    ("form feed before", b"transfer-encoding: \x0cchunked\r\n"),
    ("form feed behind", b"transfer-encoding: chunked\x0c\r\n"),
    ("zero byte before", b"transfer-encoding: \0chunked\r\n"),
    ("zero byte behind", b"transfer-encoding: chunked\0\r\n"),
    ("wide space before", b"transfer-encoding: \xa0chunked\r\n"),
    ("wide space behind", b"transfer-encoding: chunked\xa0\r\n"),
    ("next line before", b"transfer-encoding: \x85chunked\r\n"),
    ("byte order mark", b"transfer-encoding: \xef\xbb\xbfchunked\r\n"),
    ("long s", "transfer-encoding: chun\u{212a}ed\r\n".as_bytes()),
    ("bare CR before", b"transfer-encoding: \rchunked\r\n"),
    ("bare CR behind", b"transfer-encoding: chunked\r\r\n"),
    ("bare LF before", b"transfer-encoding:\nchunked\r\n"),
    ("folded", b"transfer-encoding:\r\n chunked\r\n"),
    ("folded with a tab", b"transfer-encoding:\r\n\tchunked\r\n"),
    ("folded behind", b"transfer-encoding: chunked\r\n , identity\r\n"),
    ("a space before the colon", b"transfer-encoding : chunked\r\n"),
    ("a tab before the colon", b"transfer-encoding\t: chunked\r\n"),
    ("vertical tab before the colon", b"transfer-encoding\x0b: chunked\r\n"),
    ("zero byte in the name", b"transfer\0-encoding: chunked\r\n"),
    ("a space in the name", b"transfer encoding: chunked\r\n"),
    ("hidden behind a bare CR", b"x: y\rtransfer-encoding: chunked\r\n"),
    ("hidden behind a bare LF", b"x: y\ntransfer-encoding: chunked\r\n"),
];

#[tokio::test]
async fn the_only_coding_is_chunked_once() {
    let mut family = Family::new().await;
    for (name, lines) in REFUSED {
        family.refused(name, post(lines, "5\r\nhello\r\n0\r\n\r\n")).await;
    }
    for (name, lines) in [
        ("plain", "transfer-encoding: chunked\r\n"),
        ("no space", "transfer-encoding:chunked\r\n"),
        ("spaces around", "transfer-encoding: \t chunked \t\r\n"),
        ("in capitals", "TRANSFER-ENCODING: CHUNKED\r\n"),
    ] {
        let body = post(lines, "5\r\nhello\r\n0\r\n\r\n");
        family.served(name, body, |seen| seen.body == b"hello").await;
    }
    family.end().await;
}

#[tokio::test]
async fn a_coding_that_the_client_hides_is_not_passed_on() {
    let mut family = Family::new().await;
    let fields = "connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n";
    let body = post(fields, "5\r\nhello\r\n0\r\n\r\n");
    family.either("named by connection", body, |seen| seen.body == b"hello").await;
    let fields = "connection: content-length\r\ncontent-length: 5\r\n";
    family.either("length named by connection", post(fields, "hello"), |seen| seen.body == b"hello").await;
    family.end().await;
}
