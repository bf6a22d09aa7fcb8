//! Header fields: names are tokens, a colon follows at once, values hold no control characters and no line ends
//! (RFC 9112, 5; RFC 9110, 5.5).

use super::{Family, get};

const REFUSED: &[(&str, &[u8])] = &[
    ("a space before the colon", b"x-a : b\r\n"),
    ("a tab before the colon", b"x-a\t: b\r\n"),
    ("no name", b": b\r\n"),
    ("only a colon", b":\r\n"),
    ("no colon", b"x-a\r\n"),
    ("no colon, and a value", b"x-a b\r\n"),
    ("a space in the name", b"x a: b\r\n"),
    ("a space before the name", b" x-a: b\r\n"),
    ("folded", b"x-a: b\r\n c\r\n"),
    ("folded with a tab", b"x-a: b\r\n\tc\r\n"),
    ("folded from nothing", b"x-a:\r\n b\r\n"),
    ("an empty fold", b"x-a: b\r\n \r\n"),
    ("a bare CR in the value", b"x-a: b\rc\r\n"),
    ("a bare CR behind the value", b"x-a: b\r\r\n"),
    ("a bare LF behind the value", b"x-a: b\n"),
    ("a zero byte in the value", b"x-a: b\0c\r\n"),
    ("a zero byte before the value", b"x-a: \0b\r\n"),
    ("an escape in the value", b"user-agent: \x1b[2J\r\n"),
    ("a bell in the value", b"x-a: \x07\r\n"),
    ("a backspace in the value", b"x-a: b\x08c\r\n"),
    ("a delete in the value", b"x-a: \x7f\r\n"),
    ("vertical tab in the value", b"x-a: b\x0bc\r\n"),
    ("form feed in the value", b"x-a: b\x0cc\r\n"),
    ("a zero byte in the name", b"x\0a: b\r\n"),
    ("a control character in the name", b"x\x01a: b\r\n"),
    ("next line in the name", b"x\x85a: b\r\n"),
    ("wide space in the name", b"x\xa0a: b\r\n"),
    ("letters beyond ASCII in the name", "x-\u{e9}: b\r\n".as_bytes()),
    ("brackets in the name", b"x[a]: b\r\n"),
    ("a slash in the name", b"x/a: b\r\n"),
    ("an at sign in the name", b"x@a: b\r\n"),
    ("a comma in the name", b"x,a: b\r\n"),
    ("a semicolon in the name", b"x;a: b\r\n"),
    ("an equals sign in the name", b"x=a: b\r\n"),
    ("quotes around the name", b"\"x-a\": b\r\n"),
    ("a bare CR in the name", b"x\ra: b\r\n"),
    ("a request behind a bare LF", b"x: y\n\nGET /hidden HTTP/1.1\r\nhost: a\r\n"),
];

#[tokio::test]
async fn fields_have_one_reading() {
    let mut family = Family::new().await;
    for (name, lines) in REFUSED {
        family.refused(name, get(lines)).await;
        // The first line of a head is read by other code in some servers.
        let first = [b"GET / HTTP/1.1\r\n", *lines, b"host: a\r\n\r\n"].concat();
        family.refused(&format!("{name}, as the first"), first).await;
    }
    family.end().await;
}

#[tokio::test]
async fn unusual_fields_with_one_reading_pass() {
    let mut family = Family::new().await;
    for (name, line, value) in [
        ("an empty value", "x-a:\r\n", ""),
        ("no space", "x-a:b\r\n", "b"),
        ("spaces around", "x-a: \t b \t\r\n", "b"),
        ("a tab inside", "x-a: b\tc\r\n", "b\tc"),
        ("a colon", "x-a: b:c\r\n", "b:c"),
        ("letters beyond ASCII", "x-a: caf\u{e9}\r\n", "caf\u{e9}"),
        ("letters that turn the line around", "x-a: \u{202e}b\r\n", "\u{202e}b"),
        ("a line end in escapes", "x-a: %0d%0ab\r\n", "%0d%0ab"),
    ] {
        family.served(name, get(line), |seen| seen.field("x-a") == Some(value)).await;
    }
    let signs = "!#$%&'*+-.^_`|~9aZ";
    let line = format!("{signs}: b\r\n");
    family.served("every token sign", get(line), |seen| seen.field(signs) == Some("b")).await;
    family.end().await;
}

#[tokio::test]
async fn a_connection_field_cannot_be_a_trap() {
    let mut family = Family::new().await;
    for (name, line) in [
        ("letters that are no text", b"connection: \xff\xfe\r\n".as_slice()),
        ("names that are none", b"connection: a b, (), \"x\"\r\n"),
        ("many names", b"connection: ,,,,,x-a,,,x-b,\r\n"),
        ("host named", b"connection: host\r\n"),
        ("everything of this hop named", b"connection: x-forwarded-for, x-forwarded-host, traceparent\r\n"),
    ] {
        let holds = |seen: &crate::origin::Seen| {
            seen.field("host").is_some() && seen.field("x-forwarded-for") == Some("127.0.0.1")
        };
        family.either(name, get(line), holds).await;
    }
    family.end().await;
}
