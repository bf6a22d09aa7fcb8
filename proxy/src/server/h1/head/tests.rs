#![allow(clippy::unwrap_used)]

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 2048, fields: 10, line: 1024, target: 256 };

fn read(text: &str) -> Result<Option<RequestHead>, HeadFault> {
    request(&mut BytesMut::from(text), &mut Scan::default(), &LIMITS, empty_request)
}

#[test]
fn a_head_is_read_however_it_is_cut() {
    let text = "\r\nPOST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nX-Empty:\r\n\r\nrest";
    for cut in 0..text.len() - 4 {
        let (mut input, mut scan) = (BytesMut::from(&text[..cut]), Scan::default());
        assert!(request(&mut input, &mut scan, &LIMITS, empty_request).unwrap().is_none(), "{cut}");
        input.extend_from_slice(&text.as_bytes()[cut..]);
        let head = request(&mut input, &mut scan, &LIMITS, empty_request).unwrap().unwrap();
        assert_eq!((head.parts.method, head.parts.uri.to_string()), (Method::POST, "/a?b=c".into()));
        assert_eq!((head.framing, head.persists), (Framing::Length(12), true));
        assert_eq!((&input[..], head.parts.headers.len()), (&b"rest"[..], 3));
    }
}

#[test]
fn what_has_two_readings_is_no_head() {
    for fields in [
        "a: b\nc: d\r\n",
        "a: b\rc: d\r\n",
        "a : b\r\n",
        "a: b\r\n c\r\n",
        ": b\r\n",
        "a: \0\r\n",
        "content-length: 1\r\ncontent-length: 1\r\n",
        "content-length: 1, 1\r\n",
        "content-length: 01\r\n",
        "content-length: +1\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length:\r\n",
        "content-length: 1\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: gzip, chunked\r\n",
    ] {
        let text = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        assert!(matches!(read(&text), Err(Malformed(_))), "{fields:?}");
    }
    for line in
        ["GET /#a HTTP/1.1", "GET /\u{e9} HTTP/1.1", "GET * HTTP/1.1", "GET / HTTP/1.2", "GET  / HTTP/1.1"]
    {
        assert!(matches!(read(&format!("{line}\r\nhost: a\r\n\r\n")), Err(Malformed(_))), "{line}");
    }
}

#[test]
fn limits_are_told_apart() {
    let long = "x".repeat(1100);
    for (text, fault) in [
        (format!("GET /{} HTTP/1.1\r\n\r\n", &long[..300]), HeadFault::TargetTooLong),
        (format!("GET /{long}"), HeadFault::TargetTooLong),
        (format!("GET / HTTP/1.1\r\na: {long}\r\n\r\n"), HeadFault::TooLarge),
        (format!("GET / HTTP/1.1\r\na: {long}{long}"), HeadFault::TooLarge),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(11)), HeadFault::TooLarge),
        ("GET / HTTP/1.1\r\nexpect: tea\r\n\r\n".into(), HeadFault::Expectation),
    ] {
        assert_eq!(read(&text).err(), Some(fault), "{:.40}", text);
    }
}

#[test]
fn an_answers_end_is_known_from_its_head() {
    for (text, is_head, framing, persists) in [
        ("200 OK\r\ncontent-length: 3\r\n", false, Framing::Length(3), true),
        ("200 OK\r\ncontent-length: 3\r\n", true, Framing::Empty, true),
        ("304 Not Modified\r\ncontent-length: 3\r\n", false, Framing::Empty, true),
        ("200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n", false, Framing::Chunked, false),
        ("200 OK\r\n", false, Framing::Close, false),
        ("204 No Content\r\n", false, Framing::Empty, true),
    ] {
        let mut input = BytesMut::from(format!("HTTP/1.1 {text}\r\n").as_str());
        let head = answer(&mut input, &mut Scan::default(), &LIMITS, is_head, empty_answer).unwrap().unwrap();
        assert_eq!((head.framing, head.persists), (framing, persists), "{text}");
    }
}
