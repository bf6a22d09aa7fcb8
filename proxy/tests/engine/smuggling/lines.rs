//! The request line and the ends of lines: three words, two single spaces, CRLF (RFC 9112, 2.2 and 3).

use super::Family;

const REFUSED: &[(&str, &[u8])] = &[
    ("bare LF everywhere", b"GET / HTTP/1.1\nhost: a\n\n"),
    ("bare LF behind the request line", b"GET / HTTP/1.1\nhost: a\r\n\r\n"),
    ("bare LF behind a field", b"GET / HTTP/1.1\r\nhost: a\n\r\n"),
    ("bare LF at the end", b"GET / HTTP/1.1\r\nhost: a\r\n\n"),
    ("bare CR behind the request line", b"GET / HTTP/1.1\rhost: a\r\n\r\n"),
    ("bare CR at the end", b"GET / HTTP/1.1\r\nhost: a\r\n\rx: y\r\n\r\n"),
    ("CR CR LF", b"GET / HTTP/1.1\r\r\nhost: a\r\n\r\n"),
    ("two spaces before the target", b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("two spaces behind the target", b"GET /  HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a space behind the version", b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n"),
    ("a space before the method", b" GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a tab before the target", b"GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a tab behind the target", b"GET /\tHTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a space in the target", b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a request in the target", b"GET / HTTP/1.1 /x HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("vertical tab between", b"GET\x0b/\x0bHTTP/1.1\r\nhost: a\r\n\r\n"),
    ("wide space between", b"GET\xa0/ HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("no version", b"GET /\r\nhost: a\r\n\r\n"),
    ("no target", b"GET HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("empty target", b"GET  HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("only a method", b"GET\r\nhost: a\r\n\r\n"),
    ("no method", b"/ HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("small letters in the version", b"GET / http/1.1\r\nhost: a\r\n\r\n"),
    ("a version of three parts", b"GET / HTTP/1.1.1\r\nhost: a\r\n\r\n"),
    ("a version of one part", b"GET / HTTP/1\r\nhost: a\r\n\r\n"),
    ("two digits in the version", b"GET / HTTP/1.10\r\nhost: a\r\n\r\n"),
    ("zeros in the version", b"GET / HTTP/01.1\r\nhost: a\r\n\r\n"),
    ("a letter behind the version", b"GET / HTTP/1.1x\r\nhost: a\r\n\r\n"),
    ("plus in the version", b"GET / HTTP/1.+1\r\nhost: a\r\n\r\n"),
    ("another protocol", b"GET / ICAP/1.0\r\nhost: a\r\n\r\n"),
    ("a zero byte in the method", b"G\0T / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a colon in the method", b"GET: / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("brackets in the method", b"G[T / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a letter beyond ASCII in the method", b"G\xc3\x89T / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a zero byte in the target", b"GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a bare CR in the target", b"GET /\rx HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a delete in the target", b"GET /\x7f HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("an escape in the target", b"GET /\x1b[31m HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("letters beyond ASCII in the target", b"GET /caf\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a fragment", b"GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a fragment in the query", b"GET /a?b#c HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("an empty fragment", b"GET /a# HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a fragment in an absolute form", b"GET http://a/b#c HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("asterisk", b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("asterisk with GET", b"GET * HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("asterisk and more", b"OPTIONS *x HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a relative target", b"GET nothing HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("only a query", b"GET ?a HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("two empty lines before", b"\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a bare LF before", b"\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a bare CR before", b"\rGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a zero byte before", b"\0GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a byte order mark before", b"\xef\xbb\xbfGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("an answer", b"HTTP/1.1 200 OK\r\nhost: a\r\n\r\n"),
    ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ("half of the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
    ("the HTTP/2 preface with a field", b"PRI * HTTP/2.0\r\nhost: a\r\n\r\n"),
];

#[tokio::test]
async fn a_request_line_has_one_reading() {
    let mut family = Family::new().await;
    for (name, bytes) in REFUSED {
        family.refused(name, bytes).await;
    }
    for version in ["0.9", "1.2", "1.9", "2.0", "3.0", "9.9"] {
        let bytes = format!("GET / HTTP/{version}\r\nhost: a\r\n\r\n");
        family.refused_with(&[400, 505], &format!("version {version}"), bytes).await;
    }
    for line in ["CONNECT a:443", "CONNECT /", "CONNECT http://a/", "TRACE /", "TRACE *"] {
        // A target that does not belong to the method may be seen first.
        let statuses: &[u16] = if matches!(line, "CONNECT a:443" | "TRACE /") { &[501] } else { &[400, 501] };
        family.refused_with(statuses, line, format!("{line} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    }
    family.end().await;
}

#[tokio::test]
async fn unusual_lines_with_one_reading_are_served() {
    let mut family = Family::new().await;
    for (name, bytes, line) in [
        ("a method of one's own", "REPORT / HTTP/1.1\r\nhost: a\r\n\r\n", "REPORT / HTTP/1.1"),
        ("a method in small letters", "get / HTTP/1.1\r\nhost: a\r\n\r\n", "get / HTTP/1.1"),
        (
            "a method of every token sign",
            "A!#$%&'*+-.^_`|~9 / HTTP/1.1\r\nhost: a\r\n\r\n",
            "A!#$%&'*+-.^_`|~9 / HTTP/1.1",
        ),
        ("an empty query", "GET /? HTTP/1.1\r\nhost: a\r\n\r\n", "GET /? HTTP/1.1"),
        ("slashes in the query", "GET /?a=//../%2f HTTP/1.1\r\nhost: a\r\n\r\n", "GET /?a=//../%2f HTTP/1.1"),
    ] {
        family.served(name, bytes, |seen| seen.line() == line).await;
    }
    let early = "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n";
    family.either("one empty line before", early, |seen| seen.line() == "GET / HTTP/1.1").await;
    family.end().await;
}
