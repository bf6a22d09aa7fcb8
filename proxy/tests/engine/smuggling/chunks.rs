//! Chunks: sizes are plain hexadecimal, line ends are CRLF, extensions end here (RFC 9112, 7.1).

use super::{Family, post};

const BROKEN: &[(&str, &[u8])] = &[
    ("bare LF everywhere", b"5\nhello\n0\n\n"),
    ("bare LF behind the size", b"5\nhello\r\n0\r\n\r\n"),
    ("bare LF behind the data", b"5\r\nhello\n0\r\n\r\n"),
    ("bare LF at the end", b"5\r\nhello\r\n0\r\n\n"),
    ("bare LF behind the last size", b"5\r\nhello\r\n0\n\r\n"),
    ("bare CR behind the size", b"5\rhello\r\n0\r\n\r\n"),
    ("bare CR behind the data", b"5\r\nhello\r0\r\n\r\n"),
    ("CR CR LF behind the size", b"5\r\r\nhello\r\n0\r\n\r\n"),
    ("no line end behind the data", b"5\r\nhello0\r\n\r\n"),
    ("data longer than the size", b"5\r\nhello!\r\n0\r\n\r\n"),
    ("any two bytes behind the data", b"5\r\nhelloXX0\r\n\r\n"),
    ("data shorter than the size", b"7\r\nhello\r\n0\r\n\r\n"),
    ("0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("0x nothing", b"0x\r\n\r\n"),
    ("plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("minus nothing", b"-0\r\n\r\n"),
    ("underscore", b"5_\r\nhello\r\n0\r\n\r\n"),
    ("underscore between", b"0_5\r\nhello\r\n0\r\n\r\n"),
    ("empty size", b"\r\nhello\r\n0\r\n\r\n"),
    ("an extension without a size", b";a=b\r\nhello\r\n0\r\n\r\n"),
    ("a space before", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("a tab before", b"\t5\r\nhello\r\n0\r\n\r\n"),
    ("a space inside", b"0 5\r\nhello\r\n0\r\n\r\n"),
    ("a point", b"5.0\r\nhello\r\n0\r\n\r\n"),
    ("no digit", b"zz\r\n\r\n"),
    ("h behind", b"5h\r\nhello\r\n0\r\n\r\n"),
    ("quotes", b"\"5\"\r\nhello\r\n0\r\n\r\n"),
    ("a comma", b"5,5\r\nhello\r\n0\r\n\r\n"),
    ("zero byte behind", b"5\0\r\nhello\r\n0\r\n\r\n"),
    ("vertical tab behind", b"5\x0b\r\nhello\r\n0\r\n\r\n"),
    ("wide space behind", b"5\xa0\r\nhello\r\n0\r\n\r\n"),
    ("two to the 64, and five", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("two to the 68", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("LF in an extension", b"5;a=\nb\r\nhello\r\n0\r\n\r\n"),
    ("CR in an extension", b"5;a=\rb\r\nhello\r\n0\r\n\r\n"),
    ("LF ends an extension", b"5;a\nhello\r\n0\r\n\r\n"),
    ("CR ends an extension", b"5;a\rhello\r\n0\r\n\r\n"),
    ("zero byte in an extension", b"5;a=\0\r\nhello\r\n0\r\n\r\n"),
    ("LF in the last extension", b"0;a\n\r\n\r\n"),
    ("LF hidden in quotes", b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
];

/// Sizes that a reader with small numbers takes for less: `hello` is then the data, and what follows a request.
const HUGE: &[(&str, &[u8])] = &[
    ("two to the 64, less one", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("two to the 63", b"8000000000000000\r\nhello\r\n0\r\n\r\n"),
    ("two to the 32, and five", b"100000005\r\nhello\r\n0\r\n\r\n"),
    ("two to the 16, and five", b"10005\r\nhello\r\n0\r\n\r\n"),
];

/// Every way to hide a second request in what somebody skips.
const HIDDEN: &[(&str, &[u8])] = &[
    ("behind a last chunk with LF", b"0\n\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"),
    (
        "in an extension that ends with LF",
        b"2;\nxx\r\n49\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n",
    ),
    (
        "in an extension that ends with CR",
        b"2;\rxx\r\n49\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n",
    ),
    ("behind data that spills", b"1\r\nZQ\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"),
];

fn chunked(chunks: impl AsRef<[u8]>) -> Vec<u8> {
    post("transfer-encoding: chunked\r\n", chunks)
}

#[tokio::test]
async fn chunks_have_one_reading() {
    let mut family = Family::new().await;
    for (name, chunks) in BROKEN.iter().chain(HIDDEN) {
        family.broken(name, chunked(chunks)).await;
    }
    for (name, chunks) in HUGE {
        let bytes = chunked(chunks);
        let outcome = family.outcome(&bytes).await;
        // It may wait for the rest, for as long as it waits for anybody.
        let is_sound = matches!(outcome.statuses()[..], [] | [400 | 408 | 413]) && outcome.reached.is_empty();
        if !is_sound {
            family.note(name, &bytes, "400, 408, 413 or nothing, and no whole request", &outcome);
        }
    }
    family.end().await;
}

#[tokio::test]
async fn sound_chunks_arrive_and_extensions_do_not() {
    let mut family = Family::new().await;
    let longest = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(250));
    for (name, chunks) in [
        ("plain", "5\r\nhello\r\n0\r\n\r\n"),
        ("two", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        ("capitals", "5\r\nhello\r\n0\r\n\r\n"),
        ("zeros before", "0005\r\nhello\r\n000\r\n\r\n"),
        ("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("an extension in quotes", "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
        ("an extension of the last", "5\r\nhello\r\n0;a=b\r\n\r\n"),
        ("an extension of 250 bytes", &longest),
    ] {
        family.served(name, chunked(chunks), |seen| seen.body == b"hello").await;
    }
    let ten = chunked("A\r\nhellohello\r\n0\r\n\r\n");
    family.served("a capital digit", ten, |seen| seen.body == b"hellohello").await;
    for (name, chunks) in [
        ("a space behind", "5 \r\nhello\r\n0\r\n\r\n"),
        ("a space before an extension", "5 ;a=b\r\nhello\r\n0\r\n\r\n"),
        ("twenty zeros before", "000000000000000000005\r\nhello\r\n0\r\n\r\n"),
    ] {
        let bytes = chunked(chunks);
        let outcome = family.outcome(&bytes).await;
        if !outcome.is_broken() && !outcome.is_served(|seen| seen.body == b"hello") {
            family.note(name, &bytes, "refused, or read as everybody does", &outcome);
        }
    }
    family.end().await;
}

#[tokio::test]
async fn long_extensions_are_refused() {
    let mut family = Family::new().await;
    for (name, length) in [("300 bytes", 300), ("20 KiB", 20 << 10), ("64 KiB", 64 << 10)] {
        let extension = "x".repeat(length);
        family.broken(name, chunked(format!("5;{extension}\r\nhello\r\n0\r\n\r\n"))).await;
    }
    let many = "1;aaaaaaaaaa=bbbbbbbbbb\r\nx\r\n".repeat(10_000);
    let bytes = chunked(format!("{many}0\r\n\r\n"));
    let outcome = family.outcome(&bytes).await;
    // Each is short; a gateway may still lose patience.
    let is_sound = outcome.is_served(|seen| seen.body == "x".repeat(10_000).as_bytes());
    if !is_sound && !outcome.is_broken() {
        family.note("10,000 short ones", &bytes, "refused, or all the data", &outcome);
    }
    family.end().await;
}
