//! Requests of HTTP/2 that would become another request, or two, in HTTP/1 (RFC 9113, 8.2, 8.3 and 10.3).

use portreeve_proxy::Gateway;

use super::wire::{CONTINUATION, DATA, END_HEADERS, END_STREAM, End, HEADERS, Wire, block, frame, request};
use super::{gateway, origin};
use crate::origin::{Origin, Seen};

type Fields<'f> = &'f [(&'f [u8], &'f [u8])];

const METHOD: (&[u8], &[u8]) = (b":method", b"GET");
const SCHEME: (&[u8], &[u8]) = (b":scheme", b"http");
const AUTHORITY: (&[u8], &[u8]) = (b":authority", b"a");
const PATH: (&[u8], &[u8]) = (b":path", b"/");

const HEADS: &[(&str, Fields<'_>)] = &[
    (
        "a request in the path",
        &[METHOD, SCHEME, AUTHORITY, (b":path", b"/ HTTP/1.1\r\nhost: a\r\n\r\nGET /hidden")],
    ),
    ("a space in the path", &[METHOD, SCHEME, AUTHORITY, (b":path", b"/ HTTP/1.1")]),
    ("a line end in the path", &[METHOD, SCHEME, AUTHORITY, (b":path", b"/\r\nx: y")]),
    ("a bare LF in the path", &[METHOD, SCHEME, AUTHORITY, (b":path", b"/\nx: y")]),
    ("a bare CR in the path", &[METHOD, SCHEME, AUTHORITY, (b":path", b"/\rx: y")]),
    ("a zero byte in the path", &[METHOD, SCHEME, AUTHORITY, (b":path", b"/\0")]),
    ("a tab in the path", &[METHOD, SCHEME, AUTHORITY, (b":path", b"/\tx")]),
    ("an empty path", &[METHOD, SCHEME, AUTHORITY, (b":path", b"")]),
    ("a relative path", &[METHOD, SCHEME, AUTHORITY, (b":path", b"evil")]),
    ("an absolute path", &[METHOD, SCHEME, AUTHORITY, (b":path", b"http://evil/")]),
    ("an asterisk with GET", &[METHOD, SCHEME, AUTHORITY, (b":path", b"*")]),
    ("dots in the path", &[METHOD, SCHEME, AUTHORITY, (b":path", b"/x/../admin")]),
    ("no path", &[METHOD, SCHEME, AUTHORITY]),
    ("two paths", &[METHOD, SCHEME, AUTHORITY, PATH, (b":path", b"/hidden")]),
    (
        "a request in the method",
        &[(b":method", b"GET /hidden HTTP/1.1\r\nhost: a\r\n\r\nGET"), SCHEME, AUTHORITY, PATH],
    ),
    ("a space in the method", &[(b":method", b"GET /hidden"), SCHEME, AUTHORITY, PATH]),
    ("a line end in the method", &[(b":method", b"GET\r\n"), SCHEME, AUTHORITY, PATH]),
    ("an empty method", &[(b":method", b""), SCHEME, AUTHORITY, PATH]),
    ("no method", &[SCHEME, AUTHORITY, PATH]),
    ("two methods", &[METHOD, (b":method", b"POST"), SCHEME, AUTHORITY, PATH]),
    ("a line end in the authority", &[METHOD, SCHEME, (b":authority", b"a\r\nx: y"), PATH]),
    ("a space in the authority", &[METHOD, SCHEME, (b":authority", b"a b"), PATH]),
    ("a user in the authority", &[METHOD, SCHEME, (b":authority", b"user@a"), PATH]),
    ("a path in the authority", &[METHOD, SCHEME, (b":authority", b"a/b"), PATH]),
    ("an empty authority", &[METHOD, SCHEME, (b":authority", b""), PATH]),
    ("two authorities", &[METHOD, SCHEME, AUTHORITY, (b":authority", b"b"), PATH]),
    ("no authority and no host", &[METHOD, SCHEME, PATH]),
    ("another host", &[METHOD, SCHEME, AUTHORITY, PATH, (b"host", b"b")]),
    ("two hosts", &[METHOD, SCHEME, AUTHORITY, PATH, (b"host", b"a"), (b"host", b"b")]),
    ("an empty host", &[METHOD, SCHEME, AUTHORITY, PATH, (b"host", b"")]),
    ("a request in the scheme", &[METHOD, (b":scheme", b"http://evil/ HTTP/1.1\r\n\r\n"), AUTHORITY, PATH]),
    ("an authority in the scheme", &[METHOD, (b":scheme", b"http://evil/?"), AUTHORITY, PATH]),
    ("no scheme", &[METHOD, AUTHORITY, PATH]),
    ("two schemes", &[METHOD, SCHEME, (b":scheme", b"https"), AUTHORITY, PATH]),
    ("a pseudo-header behind a field", &[METHOD, SCHEME, AUTHORITY, (b"x", b"y"), PATH]),
    ("a pseudo-header that nobody knows", &[METHOD, SCHEME, AUTHORITY, PATH, (b":evil", b"1")]),
    ("a pseudo-header of answers", &[METHOD, SCHEME, AUTHORITY, PATH, (b":status", b"200")]),
    (
        "a request in a value",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"y\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n")],
    ),
    ("a field in a value", &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"y\r\ntransfer-encoding: chunked")]),
    ("a bare LF in a value", &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"y\nz: 1")]),
    ("a bare CR in a value", &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"y\rz: 1")]),
    ("a zero byte in a value", &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"y\0z")]),
    ("a field in a name", &[METHOD, SCHEME, AUTHORITY, PATH, (b"x: y\r\nz", b"1")]),
    ("a colon in a name", &[METHOD, SCHEME, AUTHORITY, PATH, (b"x:y", b"1")]),
    ("a space in a name", &[METHOD, SCHEME, AUTHORITY, PATH, (b"x y", b"1")]),
    ("a space behind a name", &[METHOD, SCHEME, AUTHORITY, PATH, (b"transfer-encoding ", b"chunked")]),
    ("a zero byte in a name", &[METHOD, SCHEME, AUTHORITY, PATH, (b"x\0y", b"1")]),
    ("capitals in a name", &[METHOD, SCHEME, AUTHORITY, PATH, (b"X-A", b"1")]),
    ("capitals in a length", &[METHOD, SCHEME, AUTHORITY, PATH, (b"Content-Length", b"5")]),
    ("letters beyond ASCII in a name", &[METHOD, SCHEME, AUTHORITY, PATH, (b"x\xc3\xa9", b"1")]),
    ("an empty name", &[METHOD, SCHEME, AUTHORITY, PATH, (b"", b"1")]),
    ("a transfer coding", &[METHOD, SCHEME, AUTHORITY, PATH, (b"transfer-encoding", b"chunked")]),
    ("connection", &[METHOD, SCHEME, AUTHORITY, PATH, (b"connection", b"keep-alive")]),
    ("connection with names", &[METHOD, SCHEME, AUTHORITY, PATH, (b"connection", b"x-forwarded-for")]),
    ("keep-alive", &[METHOD, SCHEME, AUTHORITY, PATH, (b"keep-alive", b"timeout=5")]),
    ("proxy-connection", &[METHOD, SCHEME, AUTHORITY, PATH, (b"proxy-connection", b"close")]),
    ("upgrade", &[METHOD, SCHEME, AUTHORITY, PATH, (b"upgrade", b"h2c")]),
    ("te with a coding", &[METHOD, SCHEME, AUTHORITY, PATH, (b"te", b"gzip")]),
    ("te with a list", &[METHOD, SCHEME, AUTHORITY, PATH, (b"te", b"trailers, gzip")]),
    ("a length without a body", &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"5")]),
    ("a signed length", &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"+0")]),
    ("two lengths", &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"0"), (b"content-length", b"5")]),
    ("a list of lengths", &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"0, 5")]),
];

/// How a request on a connection of its own ends, and what the origin saw of it.
async fn outcome(gateway: &Gateway, origin: &Origin, frames: &[Vec<u8>]) -> (End, Vec<Seen>, usize) {
    let (count, bytes) = (origin.count(), origin.bytes());
    let mut wire = Wire::connect(gateway.local_addrs().listen).await;
    wire.send(frames.concat()).await;
    let end = wire.end_of(1).await;
    (end, origin.seen().split_off(count), origin.bytes() - bytes)
}

fn is_refusal(end: &End) -> bool {
    matches!(end, End::Answer(400, _) | End::Reset(1) | End::GoAway(1))
}

#[tokio::test]
async fn heads_that_would_become_others_are_refused() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let mut wrong = Vec::new();
    for (name, fields) in HEADS {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
        let (end, seen, bytes) = outcome(&gateway, &origin, &[head]).await;
        if !is_refusal(&end) || bytes > 0 {
            let lines: Vec<&str> = seen.iter().map(Seen::line).collect();
            wrong.push(format!("{name}: {end:?}, and the origin {bytes} bytes {lines:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} went wrong:\n{}", wrong.len(), HEADS.len(), wrong.join("\n"));
    gateway.shutdown().await;
}

#[tokio::test]
async fn methods_that_lead_past_everything_are_not_served() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    for (name, head) in [
        ("CONNECT", block(&[(":method", "CONNECT"), (":authority", "a:443")])),
        (
            "CONNECT with a path",
            block(&[(":method", "CONNECT"), (":scheme", "http"), (":authority", "a"), (":path", "/")]),
        ),
        ("TRACE", request("TRACE", "/")),
        (
            "a protocol that nobody knows",
            block(&[
                (":method", "CONNECT"),
                (":protocol", "evil"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/"),
            ]),
        ),
    ] {
        let (end, seen, bytes) =
            outcome(&gateway, &origin, &[frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)]).await;
        let is_sound = is_refusal(&end) || matches!(end, End::Answer(501 | 405, _));
        assert!(is_sound && bytes == 0, "{name}: {end:?}, {bytes}, {seen:?}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_length_that_the_data_belies_is_no_whole_request() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    for (name, length, data) in [
        ("less than was said", "10", b"hello".as_slice()),
        ("more than was said", "3", b"helloGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("some, and none was said", "0", b"GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"),
    ] {
        let head = [request("POST", "/"), block(&[("content-length", length)])].concat();
        let frames = [frame(HEADERS, END_HEADERS, 1, &head), frame(DATA, END_STREAM, 1, data)];
        let (end, seen, _) = outcome(&gateway, &origin, &frames).await;
        assert!(is_refusal(&end) && seen.is_empty(), "{name}: {end:?} {seen:?}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn trailers_that_would_become_something_else_are_refused() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    for (name, field) in [
        ("a pseudo-header", (b":path".as_slice(), b"/hidden".as_slice())),
        ("a status", (b":status", b"200")),
        ("the end of a line", (b"x-late", b"7\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n")),
        ("capitals", (b"X-Late", b"7")),
        ("a transfer coding", (b"transfer-encoding", b"chunked")),
        ("no name", (b"", b"7")),
    ] {
        let frames = [
            frame(HEADERS, END_HEADERS, 1, &request("POST", "/")),
            frame(DATA, 0, 1, b"hello"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[field])),
        ];
        let (end, seen, _) = outcome(&gateway, &origin, &frames).await;
        // A gateway may leave out what it cannot pass on, as long as nothing comes of it.
        let is_left_out = seen.iter().all(|seen| seen.trailers.is_empty() && seen.body == b"hello");
        let is_sound = if seen.is_empty() { is_refusal(&end) } else { is_left_out };
        assert!(is_sound, "{name}: {end:?} {seen:?}");
    }
    // Trailers must be the end.
    let frames = [
        frame(HEADERS, END_HEADERS, 1, &request("POST", "/")),
        frame(HEADERS, END_HEADERS, 1, &block(&[("x-late", "7")])),
        frame(DATA, END_STREAM, 1, b"hello"),
    ];
    let (end, seen, _) = outcome(&gateway, &origin, &frames).await;
    assert!(is_refusal(&end) && seen.is_empty(), "not the end: {end:?} {seen:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn values_with_spaces_around_arrive_without_or_not_at_all() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    for value in [" 7", "7 ", "\t7", "7\t", " 7 "] {
        let head = [request("GET", "/"), block(&[("x-a", value)])].concat();
        let (end, seen, _) =
            outcome(&gateway, &origin, &[frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)]).await;
        match end {
            End::Answer(200, _) => {
                assert!(seen[0].head.contains("x-a: 7\r\n"), "{value:?}: {}", seen[0].head)
            }
            end => assert!(is_refusal(&end) && seen.is_empty(), "{value:?}: {end:?}"),
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_fragment_is_seen_by_nobody_or_refused() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    for path in ["/a#b", "/a#/../b", "/a?b#c"] {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("GET", path));
        let (end, seen, _) = outcome(&gateway, &origin, &[head]).await;
        match end {
            End::Answer(200, _) => {
                let plain = path.split('#').next().unwrap();
                assert_eq!(seen[0].line(), format!("GET {plain} HTTP/1.1"));
            }
            end => assert!(is_refusal(&end) && seen.is_empty(), "{path}: {end:?}"),
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn one_host_in_either_form_is_served() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    for (name, fields) in [
        ("only an authority", vec![METHOD, SCHEME, AUTHORITY, PATH]),
        ("both, the same", vec![METHOD, SCHEME, AUTHORITY, PATH, (b"host", b"a")]),
        ("te with trailers", vec![METHOD, SCHEME, AUTHORITY, PATH, (b"te", b"trailers")]),
        ("only a host", vec![METHOD, SCHEME, PATH, (b"host", b"a")]),
        ("another order", vec![PATH, AUTHORITY, SCHEME, METHOD]),
    ] {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields));
        let (end, seen, _) = outcome(&gateway, &origin, &[head]).await;
        assert_eq!(end, End::Answer(200, b"ok".to_vec()), "{name}");
        assert_eq!(seen[0].field("host"), Some("a"), "{name}");
        assert_eq!(seen[0].line(), "GET / HTTP/1.1", "{name}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let origin = origin().await;
    let gateway = gateway(&origin).await;
    let many: Vec<(String, String)> =
        (0..200).map(|number| (format!("x-{number}"), "1".to_owned())).collect();
    let long = vec![("x-a".to_owned(), "x".repeat(17 << 10))];
    let wide: Vec<(String, String)> =
        (0..10).map(|number| (format!("x-{number}"), "x".repeat(4 << 10))).collect();
    let small: Vec<(String, String)> = (0..90).map(|_| ("x".to_owned(), "x".repeat(400))).collect();
    for (name, fields) in [("many", many), ("long", long), ("wide", wide), ("all together", small)] {
        let head = [request("GET", "/"), block(&fields)].concat();
        let (end, _, bytes) = outcome(&gateway, &origin, &in_pieces(&head)).await;
        let is_sound = matches!(end, End::Answer(431, _) | End::Reset(_) | End::GoAway(_));
        assert!(is_sound && bytes == 0, "{name}: {end:?}, {bytes}");
    }
    let path = format!("/{}", "x".repeat(8 << 10));
    let (end, _, bytes) = outcome(&gateway, &origin, &in_pieces(&request("GET", &path))).await;
    assert!(matches!(end, End::Answer(414, _)) && bytes == 0, "the path: {end:?}, {bytes}");
    gateway.shutdown().await;
}

/// A head in as many frames as it takes.
fn in_pieces(head: &[u8]) -> Vec<Vec<u8>> {
    let pieces: Vec<&[u8]> = head.chunks(16 << 10).collect();
    let last = pieces.len() - 1;
    let frames = pieces.iter().enumerate().map(|(number, piece)| {
        let end = if number == last { END_HEADERS } else { 0 };
        match number {
            0 => frame(HEADERS, END_STREAM | end, 1, piece),
            _ => frame(CONTINUATION, end, 1, piece),
        }
    });
    frames.collect()
}
